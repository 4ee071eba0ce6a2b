#pragma once

#include <functional>
#include <memory>

#include "node/executors/executor.hpp"

namespace forerun {

/// An answer and the time that it takes. Texts are canonical JSON.
struct TimedAnswer {
  std::string output;
  Duration latency{};
  std::string writes{};
  std::string effects{};
};
using TimedSource = std::function<Result<TimedAnswer>(const Run&)>;

/// Asks `source` at each start, on the caller's thread, and gives its answer after the answer's
/// latency; an Error becomes `failed` at once. One timer thread for all runs. @pre source is
/// thread-safe.
std::unique_ptr<Executor> make_timed_executor(TimedSource source);

}  // namespace forerun
