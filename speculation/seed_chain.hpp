#pragma once

#include <cstdint>
#include <string>

#include "base/sha256.hpp"
#include "speculation/call.hpp"
#include "speculation/ids.hpp"

namespace forerun {

/// One value Sk of a session's seed chain.
using ChainValue = Digest;

/// S0 = SHA-256(C(call0) ‖ run_id).
ChainValue chain_start(const Call& call, const RunId& run_id);
/// Sk = SHA-256(Sk-1 ‖ C(callk)).
ChainValue chain_next(const ChainValue& previous, const Call& call);
/// The first 8 bytes of Sk, big-endian.
std::uint64_t seed_of(const ChainValue& chain);
/// 16 lowercase hex digits (`deterministic_tie_breaker_seed`).
std::string seed_text(std::uint64_t seed);

} // namespace forerun
