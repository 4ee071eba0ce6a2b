#include "coordinator/hedge_budget.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"

namespace forerun {

HedgeBudget::HedgeBudget(const HedgeSettings& settings)
    : share_ppm_(std::llround(settings.share * static_cast<double>(one))),
      most_(std::max<std::int64_t>(1, settings.burst) * one) {}

void HedgeBudget::confirmed() {
  level_ = std::min(most_, level_ + share_ppm_);
}

void HedgeBudget::take() {
  FORERUN_ASSERT(covers_one());
  level_ -= one;
}

}  // namespace forerun
