#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
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
  std::map<Digest, std::string> writes;   ///< The same of write-sets.
  std::map<Digest, std::string> effects;  ///< The same of lists of effects.
  std::map<Seq, Digest>
      states;  ///< Hash of the session's state that a step was given, unless `{}`.
  std::map<Seq, std::string> opened_with;  ///< That state itself, of sessions' first steps.
  bool has_states = false;                 ///< A step that is not in `states` was given `{}`.
  SignedHead head;
  std::string catalog;  ///< The text of catalog.toml.
};

/// The text of this hash; empty where there is none, or it was erased.
std::string_view text_of(const std::map<Digest, std::string>& texts,
                         const std::optional<Digest>& hash);

struct LedgerExportLimits {
  std::size_t file_bytes = std::size_t{4} << 30U;  ///< Of each file.
  std::size_t line_bytes = 9U << 20U;
};

/// The files of an export.
inline constexpr std::array ledger_export_files = {"ledger.jsonl", "inputs.jsonl", "outputs.jsonl",
                                                   "head.json",    "catalog.toml", "states.jsonl",
                                                   "writes.jsonl", "effects.jsonl"};

/// Reads ledger.jsonl, inputs.jsonl, outputs.jsonl, head.json and catalog.toml, and states.jsonl,
/// writes.jsonl and effects.jsonl where they are there: older versions wrote none. Errors name file
/// and line: not_found, io, too_large, invalid; verification when a stated hash is not that of the
/// text beside it.
Result<LedgerExport> read_ledger_export(const std::filesystem::path& folder,
                                        const LedgerExportLimits& limits = {});

}  // namespace forerun
