#pragma once

#include <span>

#include "base/result.hpp"
#include "speculation/client_api.hpp"
#include "speculation/durable.hpp"

namespace forerun {

/// What the client of a committed step got, rebuilt from its entry. Errors: invalid when it is no
/// commit.
Result<StepAnswer> step_answer_of(const StoredEntry& stored);
/// The same from the entry, its decision_hash() and the winning output's canonical text.
StepAnswer step_answer_of(const CommitEntry& commit, const Digest& decision_hash, Seq seq,
                          std::string output);

/// A page of a stored session as its client sees it: the commits from step `first` on, in order.
/// Errors: as of step_answer_of(), of any of them: a page without one step would be another story.
Result<SessionView> session_view_of(const SessionRow& row, std::uint32_t first,
                                    std::span<const StoredEntry> commits);

}  // namespace forerun
