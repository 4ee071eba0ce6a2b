#pragma once

#include <cstddef>
#include <string>

#include "base/result.hpp"
#include "node/executors/executor.hpp"

/// What goes into a command, and what comes out.
namespace forerun {

/// What a command reads: its input, canonical.
std::string text_for(const Run& run);

/// What a task's text says. Errors: invalid, too_large (`output_bytes`).
Result<RunEnded> ended_with(const Task& task, const std::string& text, std::size_t output_bytes);

}  // namespace forerun
