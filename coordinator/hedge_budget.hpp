#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace forerun {

struct HedgeSettings {
  double share = 0.05;       ///< Second attempts, of confirmed first ones; 0: none.
  std::uint32_t burst = 16;  ///< So many may come at once after a quiet time.
  /// No run is slow before this: sooner the way there and back decides.
  Duration after_min = std::chrono::milliseconds(10);
};

/// How many second attempts may start: each confirmed attempt pays in `share` of one, up to
/// `burst`; each term starts empty. Exact: started ≤ share × confirmed at every moment. Pure.
class HedgeBudget {
public:
  explicit HedgeBudget(const HedgeSettings& settings);
  bool is_on() const { return share_ppm_ > 0; }
  /// An attempt of a call that might be hedged was confirmed.
  void confirmed();
  bool covers_one() const { return level_ >= one; }
  /// @pre covers_one().
  void take();

private:
  static constexpr std::int64_t one = 1'000'000;
  std::int64_t share_ppm_;
  std::int64_t most_;
  std::int64_t level_ = 0;
};

}  // namespace forerun
