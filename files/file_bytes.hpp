#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "base/result.hpp"

namespace forerun {

/// The whole file. Errors: not_found; io; too_large beyond `bytes_max`, found while reading, so
/// that a pipe cannot grow without end.
Result<std::string> read_file(const std::filesystem::path& file, std::size_t bytes_max);

}  // namespace forerun
