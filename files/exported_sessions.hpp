#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

#include "base/result.hpp"
#include "files/ledger_export.hpp"
#include "files/traces.hpp"
#include "speculation/catalog.hpp"

namespace forerun {

/// What a catalog lets run ahead: `pure` and `read` tasks, and races, whose branches are no writes.
ReadOnlyTasks read_only_tasks(const Catalog& catalog);

/// The sessions of a ledger's export, as if they had been recorded as traces.
struct ExportedSessions {
  std::vector<TraceSession> sessions;  ///< Named by run ID, in the order of their first decisions.
  Catalog catalog;                     ///< The export's.
  ReadOnlyTasks read_only;             ///< What it lets run ahead.
  std::size_t cut = 0;  ///< Steps left out: behind an erased input or output, or broken.
};

/// Pure. A step takes as long as the slowest branch that its decision needed; a failed step
/// returned null. Thinking, contexts and texts are not in an export. Errors: invalid for a leaf
/// that is no entry or stands twice.
Result<ExportedSessions> exported_sessions(const LedgerExport& ledger, const Catalog& catalog);

/// Errors: those of reading an export and its catalog; invalid where nothing is left.
Result<ExportedSessions> read_exported_sessions(const std::filesystem::path& folder);

}  // namespace forerun
