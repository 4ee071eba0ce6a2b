#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

/// A worker's place in the cluster, with the slots that branches take.
struct WorkerSeat {
  WorkerId id;
  NodeId node;
  std::uint32_t slots = 0;
  std::uint32_t busy = 0;
  std::uint32_t outrun = 0;  ///< Times that another worker was faster, less what is forgotten,
  Instant outrun_at{};       ///< as of then.
};

struct NodeSeat {
  NodeId id;
  std::string name;
  std::string version;
  std::uint64_t instance = 0;
  ConnectionId connection;
  bool is_live = false;
  Instant heard{};
  LedgerHead head;
  std::vector<WorkerId> workers;
  std::set<BranchToken> tokens;  ///< Dispatched to it and not known to have ended.
};

/// Who is in the cluster, who is silent, and which slots are free. Pure.
class Membership {
public:
  struct Settings {
    Duration silence_max = std::chrono::milliseconds(2000);  ///< Then a node is taken for dead.
    Duration copy_wait = std::chrono::milliseconds(
        800);  ///< A known node's other instance waits so long for its silence.
    std::size_t nodes_max = 1024;
    std::uint64_t lag_entries_max = 50'000;  ///< A replica further behind gets no work.
    Duration outrun_forgotten = std::chrono::seconds(1);  ///< One time after each such time.
  };
  explicit Membership(Settings settings) : settings_(settings) {}

  enum class Admission : std::uint8_t {
    welcome,    ///< In; `replaced` tells whether an earlier instance of it must be given up first.
    reconnect,  ///< The same process on a new connection: its branches go on.
    wait,       ///< `replaced` claims this identity and may live: ask whether it does, and judge
                ///< again when it is lost or with take_waiting().
    refuse,
  };
  struct Verdict {
    Admission admission = Admission::welcome;
    std::string why;
    std::optional<NodeId> replaced;
  };
  /// Judges a Join. Nothing changes for `wait` and `refuse`; for `welcome` with `replaced`, call
  /// lose() first, then seat().
  Verdict judge(Instant now, ConnectionId connection, const NodeId& node, const Join& join);
  void seat(Instant now, ConnectionId connection, const NodeId& node, const Join& join);

  struct Waiting {
    ConnectionId connection;
    NodeId node;
    Join join;
    Instant since{};
  };
  /// Joins whose wait is over; judge them again.
  std::vector<Waiting> take_waiting(Instant now);

  /// The seated node of this connection, or null.
  NodeSeat* by_connection(ConnectionId connection);
  NodeSeat* find(const NodeId& node);
  const std::map<NodeId, NodeSeat>& nodes() const { return nodes_; }
  /// Live nodes that have been silent too long.
  std::vector<NodeId> silent(Instant now) const;
  /// Takes a node and its workers out; returns the tokens that were on it.
  std::vector<BranchToken> lose(const NodeId& node);
  /// The node stays, with its replica, and is given no slot any more, also when it joins again.
  /// @pre its tokens were released.
  void quarantine(const NodeId& node);
  bool is_quarantined(const NodeId& node) const { return quarantined_.contains(node); }
  std::optional<Instant> next_deadline() const;

  const WorkerSeat* worker(const WorkerId& id) const;
  /// Live workers in UUID order, without those of quarantined nodes.
  std::vector<WorkerId> live_workers() const;
  /// What one branch wishes of its place.
  struct Wish {
    Instant now{};
    std::uint64_t draw = 0;                    ///< Decides among equals, together with the UUIDs.
    const std::set<WorkerId>* warm = nullptr;  ///< If any: all others count as half as free.
    std::span<const NodeId> but{};             ///< Not one of these.
  };
  /// The live worker with the largest free share; none when all are full or lag behind
  /// `ledger_size`. Each time that a worker was outrun lately counts as a slot that it lacks.
  std::optional<WorkerId> place(std::uint64_t ledger_size, const Wish& wish) const;
  std::uint64_t free_slots() const { return slots_total_ - slots_busy_; }
  std::uint64_t total_slots() const { return slots_total_; }
  /// A call's second attempt, on another worker, answered before the first one, on this. What is
  /// remembered is at most twice the worker's slots.
  void outrun(const WorkerId& id, Instant now);
  void occupy(const WorkerId& id, BranchToken token);
  void release(const WorkerId& id, BranchToken token);

private:
  void forget_waiting(ConnectionId connection);
  std::uint32_t still_outrun(const WorkerSeat& seat, Instant now) const;

  Settings settings_;
  std::map<NodeId, NodeSeat> nodes_;
  std::map<ConnectionId, NodeId> by_connection_;
  std::map<WorkerId, WorkerSeat> workers_;
  std::vector<Waiting> waiting_;
  std::set<NodeId> quarantined_;
  std::uint64_t slots_total_ = 0;
  std::uint64_t slots_busy_ = 0;
};

}  // namespace forerun
