#pragma once

#include <filesystem>
#include <iosfwd>

namespace forerun {

/// Checks every golden vector in `folder` (jcs, jcs_rejects, merkle, tie_break; all four `.jsonl`
/// files must be there) and ends with the line "N passed, N failed". Failures name file, line and
/// field on `log`. Returns 0 when all passed, 5 when one failed, 3 when a file is missing or empty.
int selftest(const std::filesystem::path& folder, std::ostream& out, std::ostream& log);

}  // namespace forerun
