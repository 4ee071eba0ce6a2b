#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>

#include "base/json.hpp"
#include "base/result.hpp"
#include "speculation/call.hpp"
#include "speculation/catalog.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

inline constexpr const char* run_tenant_default = "default";

/// One run of a branch as an executor sees it: no run ID, step or seed.
struct Run {
  Task task;
  Call call;
  json::Value state;
  std::string outside_key;  ///< For a `write`.
  std::optional<WorldPosition> world;
  std::string tenant = run_tenant_default;  ///< Whose session it is of.
};

/// How a run ended. Exactly one is delivered for each start, also after a stop.
struct RunEnded {
  Ending ending = Ending::returned;  ///< returned, failed, cancelled or lost.
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

/// What a native function gets. It must look at `stop` at least every few milliseconds.
struct NativeCall {
  const json::Object& input;
  const json::Value& state;  ///< What the task gets of its session's state: an object.
  std::string_view outside_key;
  std::stop_token stop;
};
/// What a native function returns: an output, and what it changes in its session's state.
struct NativeAnswer {
  NativeAnswer() = default;
  NativeAnswer(json::Value value) : output(std::move(value)) {}
  json::Value output;
  json::Value writes;   ///< A merge patch (RFC 7396), an object; null: none.
  json::Value effects;  ///< A list of effects (docs/catalog.md); null: none.
};
using NativeFunction = std::function<Result<NativeAnswer>(const NativeCall&)>;
using NativeFunctions = std::map<std::string, NativeFunction, std::less<>>;

/// Runs functions on a pool of `threads` threads of its own. Those named in `quick` answer within
/// microseconds and never wait: they run where they are started, without a hand-over.
std::unique_ptr<Executor> make_native_executor(NativeFunctions functions, std::size_t threads,
                                               std::set<std::string> quick = {});

class Sandbox;
struct ExecSettings {
  std::string folder = ".";                     ///< Where commands run (the node's --tasks-dir).
  std::size_t output_bytes = output_bytes_max;  ///< Beside a task's own output_kb.
  Duration kill_after =
      std::chrono::milliseconds(10);  ///< From SIGTERM to SIGKILL of the whole group.
  bool use_pidfd =
      true;  ///< False: ask for ended commands every 2 ms, as on kernels without pidfds.
  std::shared_ptr<const Sandbox> sandbox{};  ///< Null: tasks that want one are refused.
  std::size_t residents = 1;  ///< Processes of one resident program: the node's slots.
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
