#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/result.hpp"
#include "node/executors/executor.hpp"

namespace forerun {

/// The line of time on which executors measure runs.
using RunClock = std::chrono::steady_clock;

/// Why a run ended, fit for a ledger entry: one line of valid UTF-8 without control characters, at
/// most cause_bytes_max. What does not fit is cut, what is malformed becomes U+FFFD.
std::string clean_cause(std::string_view text);

/// The last line that is not empty, without its end.
std::string last_line(std::string_view text);

/// An end without output.
RunEnded ended_without_output(Ending ending, std::string_view cause);

/// The canonical text of a value that did not come from json::parse(). Errors: too_large (bytes,
/// depth); invalid (a number that is not finite, a text that is not UTF-8).
Result<std::string> output_of(const json::Value& value, std::size_t bytes_max);

/// Time passed since a run was started.
Duration run_time_since(RunClock::time_point started);

}  // namespace forerun
