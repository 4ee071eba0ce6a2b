#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "node/executors/child_process.hpp"
#include "node/executors/executor.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {

inline constexpr std::size_t exec_runs_max = 1024;  ///< Started and not ended; more are refused.

/// A run that an executor was asked for.
struct ExecStart {
  std::uint64_t id = 0;
  Run run;
  RunDone done;
  RunClock::time_point started;
  bool is_refused = false;
};

/// How other threads reach the exec executor's thread. Thread-safe. Outlives the executor while
/// handles refer to it.
class ExecInbox {
public:
  struct Content {
    std::vector<ExecStart> starts;
    std::vector<std::uint64_t> stops;
    std::optional<std::vector<Task>> prepared;
    bool is_closed = false;
  };

  ExecInbox();
  std::uint64_t start(Run run, RunDone done);
  void stop(std::uint64_t id);
  void prepare(std::vector<Task> tasks);
  void close();
  /// A run has ended: there is room for another, and stopping it does nothing.
  void ended(std::uint64_t id);
  Content take();
  /// Readable when there is something to take.
  int wake_descriptor() const { return wake_.get(); }

private:
  void wake();

  Descriptor wake_;
  std::mutex mutex_;
  Content content_;
  std::set<std::uint64_t> open_;
  std::uint64_t last_id_ = 0;
};

}  // namespace forerun
