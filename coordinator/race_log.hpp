#pragma once

#include <optional>
#include <string>

#include "speculation/entry.hpp"

namespace forerun {

/// The log record of a decided race, one JSON line: run_id, input_hash, branch_names,
/// branch_latencies_ms, branch_validities, winning_branch_index, deterministic_tie_breaker_seed.
/// Told for the share of run IDs whose hash falls below it, so that two runs log the same lines,
/// and always where the winner was slower than a loser. Nothing for a call with one branch. Pure.
std::optional<std::string> race_log_record(const CommitEntry& commit, double share);

}  // namespace forerun
