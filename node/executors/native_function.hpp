#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.hpp"
#include "base/result.hpp"

/// What a C++ function is that answers calls (`executor = "native"`). Part of what is installed.
namespace forerun {

/// When a run must have ended. It may move while the run goes on, and then is later: a speculation
/// that is confirmed gets its whole time from then on. Thread-safe.
class Deadline {
public:
  using Clock = std::chrono::steady_clock;
  Deadline() = default;
  /// The latest that is known; time_point::max() where there is none.
  Clock::time_point at() const { return at_ ? at_->load() : Clock::time_point::max(); }

private:
  friend class RunDeadline;
  std::shared_ptr<const std::atomic<Clock::time_point>> at_;
};

/// What a native function gets. It must look at `stop` at least every few milliseconds: a run that
/// nobody needs any more, or whose deadline has passed, is stopped, and its slot is taken until the
/// function returns. What a stopped one returns is dropped.
struct NativeCall {
  const json::Object& input;
  const json::Value& state;      ///< What the task gets of its session's state: an object.
  std::string_view outside_key;  ///< Of a `write`: the same whenever this call runs again.
  std::stop_token stop;
  Deadline deadline{};
};

/// What a native function returns: an output, and what it changes in its session's state.
struct NativeAnswer {
  NativeAnswer() = default;
  NativeAnswer(json::Value value) : output(std::move(value)) {}
  json::Value output;
  json::Value writes;   ///< A merge patch (RFC 7396), an object; null: none.
  json::Value effects;  ///< A list of effects (docs/catalog.md); null: none.
};

/// Called from several threads at once. An error's message, or an exception's, becomes the cause of
/// the branch that is invalid then.
using NativeFunction = std::function<Result<NativeAnswer>(const NativeCall&)>;
/// By the name that a catalog's `function` says.
using NativeFunctions = std::map<std::string, NativeFunction, std::less<>>;

}  // namespace forerun
