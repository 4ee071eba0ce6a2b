#pragma once

#include <optional>
#include <string_view>

#include "speculation/entry.hpp"

namespace forerun {

/// Longest time in an entry, about 285 years; keeps microseconds exact in 63 bits.
inline constexpr double entry_milliseconds_max = 9e12;

/// The quick way of entry_of() for what a ledger mostly holds: reads a commit's members where this
/// version writes them, writes the leaf of what it read, and compares the bytes, which proves the
/// canonical form, the decision hash and the seed at once. Nothing when anything is in the least
/// different (also texts with escapes): then entry_of() reads it the thorough way, and says what is
/// wrong. Pure.
std::optional<Entry> scan_commit(std::string_view leaf);

}  // namespace forerun
