#pragma once

#include <cstdint>
#include <filesystem>
#include <ostream>

#include "base/result.hpp"

namespace forerun {

/// Writes the files of an export (docs/ledger.md) into `folder` from a coordinator's data directory,
/// also while it runs. Errors: refused when the folder holds files.
Result<void> ledger_export(const std::filesystem::path& data, const std::filesystem::path& folder,
                           std::ostream& out);
/// Prints the signed head.
Result<void> ledger_head(const std::filesystem::path& data, std::ostream& out);
/// Prints an entry with its inclusion proof (RFC 9162 §2.1.3) under the signed head. Errors:
/// not_found.
Result<void> ledger_prove(const std::filesystem::path& data, std::uint64_t seq, std::ostream& out);

}  // namespace forerun
