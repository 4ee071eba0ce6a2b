#pragma once

#include <cstddef>
#include <string>

#include "base/json.hpp"
#include "base/result.hpp"
#include "node/executors/executor.hpp"

/// What goes into a task that takes its session's state, and what comes out beside its output.
namespace forerun {

/// What a command reads: its input, or with `envelope` `{"input": …, "state": …}`; canonical.
std::string text_for(const Run& run);

/// A run that returned. `writes` and `effects` may be null: none. Errors: as output_of(); invalid
/// for writes that are no object and effects that are no list.
Result<RunEnded> ended_with(const json::Value& output, const json::Value& writes,
                            const json::Value& effects, std::size_t output_bytes);

/// What a task's text says: an output, or with `envelope` `{"output": …, "writes"?: …, "effects"?:
/// …}`. Errors: invalid, too_large (`output_bytes`).
Result<RunEnded> ended_with(const Task& task, const std::string& text, std::size_t output_bytes);

}  // namespace forerun
