#pragma once

#include "base/result.hpp"
#include "speculation/client_api.hpp"
#include "speculation/durable.hpp"

namespace forerun {

/// What the client of a committed step got, rebuilt from its entry. Errors: invalid when it is no
/// commit.
Result<StepAnswer> step_answer_of(const StoredEntry& stored);
/// The same from the entry and the winning output's canonical text.
StepAnswer step_answer_of(const CommitEntry& commit, Seq seq, std::string output);

}  // namespace forerun
