#pragma once

#include <cstddef>
#include <filesystem>

#include "node/executors/http_request.hpp"

namespace forerun {

inline constexpr std::size_t node_value_bytes_max = 64U << 10U;

/// Reads `${env:NAME}` from this process's environment and `${file:PATH}` from a file, relative to
/// `folder`, without the ends of lines at its end; anew each time, so that a changed secret counts
/// from the next request on. Errors: refused: not there, empty, larger than node_value_bytes_max,
/// no regular file.
NodeValue node_values(const std::filesystem::path& folder);

}  // namespace forerun
