#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "files/agent_logs.hpp"

/// What the readers of agents' logs share.
namespace forerun {

/// The value whose JSON text this is, or the text.
json::Value value_of_text(const std::string& text);

/// A call's arguments: an object, or a text that holds one ("" is an empty one). Nothing when they
/// are anything else, or too large for a call.
std::optional<json::Object> arguments_of(const json::Value& value);

/// Checks a task's or session's name. Errors: invalid, too_large; `place` says of what.
Result<std::string> name_of(const json::Value* value, const std::string& place);

/// Checks limits that a trace has too. Errors: too_large.
Result<void> check_session(const TraceSession& session, const std::string& place,
                           const TraceLimits& limits);

/// Whether an output may stand in a trace.
bool fits_output(const json::Value& output);

}  // namespace forerun
