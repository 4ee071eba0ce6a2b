#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"

namespace forerun {

/// What a store's SQLite connections write through: a thin layer over SQLite's own file access that
/// counts syncs and, for tests, stands in for a power cut. Thread-safe. Must outlive the
/// connections that use it.
class Disk {
public:
  enum class Kind {
    /// Costs nothing beyond a count a sync. Simulated where a failpoint is to cut the power
    /// (base/failpoint.hpp).
    real,
    simulated,  ///< Syncs nothing; remembers instead what is not synced yet, for lose_unsynced().
    lying,      ///< The same, but a sync that succeeded makes nothing safe, as some disks do.
  };
  /// Sees each sync before it happens, with its number from 1. False makes it fail.
  using SyncHook = std::function<bool(std::uint64_t number)>;

  /// Sees each write and truncation of a simulated disk before it happens.
  using WriteHook = std::function<void()>;

  explicit Disk(Kind kind = Kind::real, SyncHook before_sync = {}, WriteHook before_write = {});
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  /// The name under which SQLite knows it.
  const std::string& name() const;
  /// How much of a write a power cut takes or leaves at once.
  enum class Grain {
    write,   ///< All of it: disks reorder.
    sector,  ///< Each part of it in one 512-byte sector of the file: disks tear.
  };

  /// Syncs of files that succeeded.
  std::uint64_t sync_count() const;

  /// A power cut: takes back every write since its file was last synced, then lets each grain of
  /// them happen after all if `survives` says so. Every later write and sync fails. Errors: io;
  /// refused on a real disk.
  Result<void> lose_unsynced(const std::function<bool()>& survives, Grain grain = Grain::write);

  struct State;

private:
  std::shared_ptr<State> state_;
};

}  // namespace forerun
