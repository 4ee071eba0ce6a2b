#pragma once

#include <cstdint>
#include <map>

#include "base/ed25519.hpp"
#include "base/result.hpp"
#include "simulation/auditor.hpp"

namespace forerun::simulation {

/// Runs committed sessions again, each alone and call by call, by the real brain with speculation
/// off, on one worker that answers at once and never fails, in a world of their own: every decision
/// must come out the same (design.md §8.5). A session is followed up to its first step that a fault
/// is part of. Returns how many decisions were compared. Errors: verification, saying which
/// differs.
Result<std::uint64_t> run_serially(const std::map<RunId, Auditor::Committed>& sessions,
                                   const Catalog& catalog, const SigningKey& key);

}  // namespace forerun::simulation
