#pragma once

#include "base/sha256.hpp"
#include "speculation/seed_chain.hpp"

namespace forerun {

/// Whether what this hash stands for falls into a share of all: its first 32 bits as a number,
/// compared with that share of their range. Equal on every machine, and in every run.
inline bool is_in_share(const Digest& hash, double share) {
  return static_cast<double>(seed_of(hash) >> 32U) < share * 4294967296.0;
}

}  // namespace forerun
