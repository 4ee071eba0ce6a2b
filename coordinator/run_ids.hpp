#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "speculation/durable.hpp"
#include "speculation/ids.hpp"

namespace forerun {

/// Hands out run IDs, one namespace a worker, none ever twice (design.md §3): a block of numbers is
/// durable at the coordinator and at the home worker before one of it is used. Pure.
class RunIdAllocator {
public:
  explicit RunIdAllocator(std::uint64_t block) : block_(block) {}

  /// A block to make durable on both sides; answer with stored_here and stored_at_home.
  struct Reservation {
    WorkerId worker;
    std::uint64_t mark = 0;
  };
  /// A mark that a store knew. @pre before any worker joined.
  void restore(const MarkRow& row);
  /// A worker (re)joined with its own mark; the higher mark wins. Asks for a block unless one is
  /// already usable.
  std::optional<Reservation> joined(WorkerId worker, std::uint64_t mark);
  void stored_here(WorkerId worker, std::uint64_t mark);
  void stored_at_home(WorkerId worker, std::uint64_t mark);
  /// The mark that this worker was asked to make durable, while its answer is out.
  std::optional<std::uint64_t> awaited_at_home(WorkerId worker) const;
  /// Workers whose marks a store knew and that have not joined.
  std::vector<WorkerId> unseen() const;
  /// The next run ID of this namespace, or nothing until a block is durable.
  std::optional<RunId> take(WorkerId worker);
  /// The block to reserve next when less than half of one is left and none is on its way.
  std::optional<Reservation> refill(WorkerId worker);

private:
  struct Space {
    std::uint64_t next = 1;       ///< First number not handed out.
    std::uint64_t here = 0;       ///< Durable at the coordinator.
    std::uint64_t home = 0;       ///< Durable at the home worker.
    std::uint64_t requested = 0;  ///< Highest asked for.
    bool is_joined = false;
  };
  std::uint64_t block_;
  std::map<WorkerId, Space> spaces_;
};

}  // namespace forerun
