#include "base/statistics.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "base/prng.hpp"

namespace forerun {

double quantile(std::vector<double> values, double share) {
  FORERUN_ASSERT(!values.empty());
  FORERUN_ASSERT(share > 0 && share <= 1);
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::clamp<std::size_t>(rank, 1, values.size()) - 1];
}

Interval bootstrap_interval(const std::vector<double>& off, const std::vector<double>& on,
                            std::uint64_t seed,
                            const std::function<double(double, double)>& statistic) {
  FORERUN_ASSERT(!off.empty() && off.size() == on.size());
  Prng prng(seed);
  const auto count_all = static_cast<double>(off.size());
  std::vector<double> results;
  results.reserve(bootstrap_samples);
  for (std::size_t sample = 0; sample < bootstrap_samples; ++sample) {
    double sum_off = 0;
    double sum_on = 0;
    for (std::size_t draw = 0; draw < off.size(); ++draw) {
      const std::size_t pick = prng.below(off.size());
      sum_off += off[pick];
      sum_on += on[pick];
    }
    results.push_back(statistic(sum_off / count_all, sum_on / count_all));
  }
  return {quantile(results, 0.025), quantile(results, 0.975)};
}

}  // namespace forerun
