#pragma once

#include <filesystem>
#include <span>

#include "base/result.hpp"
#include "files/traces.hpp"

namespace forerun {

/// Writes sessions as JSON Lines that read_traces reads back equal; gzipped when the name ends in
/// ".gz". Equal sessions give equal bytes. The file appears whole or not at all (written beside and
/// renamed). Errors: io.
Result<void> write_traces(const std::filesystem::path& file,
                          std::span<const TraceSession> sessions);

}  // namespace forerun
