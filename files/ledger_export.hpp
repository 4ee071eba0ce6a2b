#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/sha256.hpp"
#include "speculation/entry.hpp"

namespace forerun {

/// A folder that `ledger export` wrote, as read: nothing about its decisions is checked.
struct LedgerExport {
  std::vector<std::string> leaves;        ///< Lines of ledger.jsonl, in order, without their ends.
  std::map<Digest, std::string> calls;    ///< C(call) by its hash; erased ones are absent.
  std::map<Digest, std::string> outputs;  ///< JCS(output) by its hash; erased ones are absent.
  std::set<Seq> with_state;  ///< Steps that were given a session's state that was not empty.
  SignedHead head;
  std::string catalog;  ///< The text of catalog.toml.
};

struct LedgerExportLimits {
  std::size_t file_bytes = std::size_t{4} << 30U;  ///< Of each file.
  std::size_t line_bytes = 9U << 20U;
};

/// Reads ledger.jsonl, inputs.jsonl, outputs.jsonl, states.jsonl (where it is there), head.json and
/// catalog.toml. Errors name file
/// and line: not_found, io, too_large, invalid; verification when a stated hash is not that of the
/// text beside it.
Result<LedgerExport> read_ledger_export(const std::filesystem::path& folder,
                                        const LedgerExportLimits& limits = {});

}  // namespace forerun
