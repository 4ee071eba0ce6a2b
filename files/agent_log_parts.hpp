#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
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

/// Where a document of a log stands.
struct DocumentPlace {
  std::string text;      ///< "FILE:LINE", or "FILE" for one that takes the whole file.
  std::size_t line = 0;  ///< 0: the whole file.
};

/// Hands over the JSON documents of a file, gzipped or not: one a line, or a single one over all
/// lines. Ends with the first error of `each`, or its own: not_found, io, too_large, invalid; they
/// name file and line.
Result<void> read_documents(const std::filesystem::path& file, const TraceLimits& limits,
                            std::size_t depth_max,
                            const std::function<Result<void>(const json::Value& document,
                                                             const DocumentPlace& place)>& each);

/// Whether an output may stand in a trace.
bool fits_output(const json::Value& output);

}  // namespace forerun
