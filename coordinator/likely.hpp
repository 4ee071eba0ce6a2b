#pragma once

#include <vector>

#include "coordinator/learned_contexts.hpp"

namespace forerun::prediction {

/// How likely the symbol is by these votes; 0: they do not name it.
inline double share_in(const std::vector<Likely>& votes, Key symbol) {
  for (const Likely& each : votes) {
    if (each.symbol == symbol) {
      return each.probability;
    }
  }
  return 0;
}

/// A total order, the likeliest first.
inline bool more_likely(const Likely& a, const Likely& b) {
  return a.probability != b.probability ? a.probability > b.probability : a.symbol < b.symbol;
}

}  // namespace forerun::prediction
