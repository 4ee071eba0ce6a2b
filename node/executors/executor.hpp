#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/json.hpp"
#include "base/result.hpp"
#include "node/executors/native_function.hpp"
#include "speculation/call.hpp"
#include "speculation/catalog.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

inline constexpr const char* run_tenant_default = "default";

/// The deadline of a run, as whoever started it knows it. Copies are one and the same.
/// Thread-safe.
class RunDeadline {
public:
  using Clock = Deadline::Clock;
  RunDeadline() : RunDeadline(Clock::time_point::max(), false) {}
  RunDeadline(Clock::time_point at, bool is_speculative)
      : state_(std::make_shared<State>(at, is_speculative)) {}

  /// A speculation became confirmed work.
  void confirm(Clock::time_point at) const {
    state_->at = at;
    state_->is_speculative = false;  // Last: who sees it sees the time that goes with it.
  }
  bool is_speculative() const { return state_->is_speculative; }
  Clock::time_point at() const { return state_->at; }
  Deadline shown() const {
    Deadline deadline;
    deadline.at_ = {state_, &state_->at};
    return deadline;
  }

private:
  struct State {
    State(Clock::time_point when, bool is_guess) : at(when), is_speculative(is_guess) {}
    std::atomic<Clock::time_point> at;
    std::atomic<bool> is_speculative;
  };
  std::shared_ptr<State> state_;
};

/// One run of a branch as an executor sees it: no run ID, step or seed.
struct Run {
  Task task;
  Call call;
  json::Value state;
  std::string outside_key;  ///< For a `write`.
  std::optional<WorldPosition> world;
  std::string tenant = run_tenant_default;  ///< Whose session it is of.
  RunDeadline deadline{};                   ///< Kept by others: an executor need not end the run.
};

/// How a run ended. Exactly one is delivered for each start, also after a stop.
struct RunEnded {
  /// returned, failed, cancelled or lost; expired: a speculation that cannot end in time.
  Ending ending = Ending::returned;
  std::string output;                ///< Canonical JSON.
  std::string writes;
  std::string effects;
  std::string cause;
  Duration latency{};
  std::uint32_t dead_handles = 0;  ///< Processes or descriptors that outlived their stop.
};
using RunDone = std::function<void(RunEnded)>;

/// A handle to a run in progress.
class RunningTask {
public:
  virtual ~RunningTask() = default;  ///< Stops it and waits for nothing.
  /// Ends it early and for real. `done` is still called, with `cancelled` unless it had ended.
  /// Idempotent.
  virtual void stop() = 0;
};

/// Runs one kind of task. Thread-safe; `done` comes on a thread of the executor and must not block.
/// It may come before start() returns. The destructor stops every run, waits until its `done` has
/// been called, and must not run inside one.
class Executor {
public:
  virtual ~Executor() = default;
  /// Null when `done` has been called already.
  virtual std::unique_ptr<RunningTask> start(Run run, RunDone done) = 0;
  /// The tasks of a catalog that has just arrived: what is slow to start may start now.
  virtual void prepare(const Catalog&) {}
};

/// Runs functions on a pool of `threads` threads of its own. Those named in `quick` answer within
/// microseconds and never wait: they run where they are started, without a hand-over.
std::unique_ptr<Executor> make_native_executor(NativeFunctions functions, std::size_t threads,
                                               std::set<std::string> quick = {});

class Cgroups;
class Sandbox;
struct ExecSettings {
  std::string folder = ".";                     ///< Where commands run (the node's --tasks-dir).
  std::size_t output_bytes = output_bytes_max;  ///< Beside a task's own output_kb.
  Duration kill_after =
      std::chrono::milliseconds(10);  ///< From SIGTERM to SIGKILL of the whole group.
  bool use_pidfd =
      true;  ///< False: ask for ended commands every 2 ms, as on kernels without pidfds.
  std::shared_ptr<const Sandbox> sandbox{};  ///< Null: tasks that want one are refused.
  std::shared_ptr<Cgroups> cgroups{};  ///< For each command one; null: none.
  std::size_t residents = 1;  ///< Processes of one resident program: the node's slots.
  /// Gets what commands write to stderr, as lines, bounded (command_log.hpp); on the executor's
  /// thread.
  std::function<void(const std::string& line)> log{};
};
/// Runs commands: input as canonical JSON on stdin, output as one JSON document on stdout (with
/// `envelope`, both as in envelope.hpp), the last line of stderr as cause of a failure; residents
/// as docs/catalog.md tells. Own process group, the catalog's environment, no inherited descriptor;
/// in a sandbox unless the task says not. One thread of its own for all runs.
std::unique_ptr<Executor> make_exec_executor(const ExecSettings& settings);

class HttpLoop;
/// Sends requests on `loop`, which it closes at its end. `folder`: what files of secrets and
/// certificates are relative to (the node's --tasks-dir).
std::unique_ptr<Executor> make_http_executor(std::shared_ptr<HttpLoop> loop,
                                             const std::string& folder);

class RecordedWorld;
/// Answers from a recorded world after the recorded latency; one timer thread for all runs.
std::unique_ptr<Executor> make_world_executor(std::shared_ptr<const RecordedWorld> world);

/// Executors by kind; a kind that is absent makes its tasks fail with a cause that says what to do.
using Executors = std::map<ExecutorKind, std::unique_ptr<Executor>>;

}  // namespace forerun
