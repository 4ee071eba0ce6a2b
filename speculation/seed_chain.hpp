#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/sha256.hpp"

namespace forerun {

/// C(call) = JCS({"input": …, "task": …}). The wrapper does not count towards an input's nesting
/// depth.
std::string canonical_call(std::string_view task, const json::Value& input);
/// `input_hash` = SHA-256(C(call)).
Digest call_hash(std::string_view canonical_call);

/// One value Sk of a session's seed chain.
using ChainValue = Digest;

/// S0 = SHA-256(C(call0) ‖ run_id).
ChainValue chain_start(std::string_view canonical_call, std::string_view run_id);
/// Sk = SHA-256(Sk-1 ‖ C(callk)).
ChainValue chain_next(const ChainValue& previous, std::string_view canonical_call);
/// The first 8 bytes of Sk, big-endian.
std::uint64_t seed_of(const ChainValue& chain);
/// The seed as 16 lowercase hex digits (`deterministic_tie_breaker_seed`).
std::string seed_text(const ChainValue& chain);

}  // namespace forerun
