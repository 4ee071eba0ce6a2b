#pragma once

#include <optional>
#include <string>

#include "speculation/entry.hpp"

namespace forerun {

/// Why a node cannot follow its coordinator, with what each of them stands for: the proof that two
/// histories exist.
struct Divergence {
  std::string why;
  LedgerHead own;                        ///< Of the replica.
  std::optional<SignedHead> own_signed;  ///< The latest that was signed and that the replica holds.
  std::optional<SignedHead> theirs;      ///< The latest that the coordinator signed and sent.
  std::string entry;  ///< Leaf of the coordinator's that does not hold; empty when a head did not.
};

/// `{"coordinator", "entry", "own", "own_signed", "why"}`, canonical; null where there is none.
std::string divergence_json(const Divergence& divergence);

}  // namespace forerun
