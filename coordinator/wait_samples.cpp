#include "coordinator/wait_samples.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"

namespace forerun {
namespace {

/// Standard errors on each side of a mean: Student's for the twenty samples that a judgement needs.
constexpr double errors_of_mean = 2.1;
constexpr double errors_of_share = 1.96;

}  // namespace

void WaitSamples::add(Duration wait) {
  if (waits_.size() < limit_) {
    waits_.push_back(wait);
    return;
  }
  waits_[oldest_] = wait;
  oldest_ = (oldest_ + 1) % limit_;
}

void WaitSamples::clear() {
  waits_.clear();
  oldest_ = 0;
}

double WaitSamples::mean() const {
  double sum = 0;
  for (const Duration wait : waits_) {
    sum += static_cast<double>(wait.count());
  }
  return waits_.empty() ? 0 : sum / static_cast<double>(waits_.size());
}

double WaitSamples::variance_of_mean() const {
  if (waits_.size() < 2) {
    return 0;
  }
  const double middle = mean();
  double sum = 0;
  for (const Duration wait : waits_) {
    const double off = static_cast<double>(wait.count()) - middle;
    sum += off * off;
  }
  const auto count = static_cast<double>(waits_.size());
  return sum / (count - 1) / count;
}

std::optional<WaitSamples::Quantile> WaitSamples::quantile(double share) const {
  FORERUN_ASSERT(share > 0 && share < 1);
  const auto count = static_cast<double>(waits_.size());
  if (count * (1 - share) < 1) {
    return std::nullopt;
  }
  std::vector<Duration> sorted = waits_;
  std::sort(sorted.begin(), sorted.end());
  const auto ranked = [&sorted](double rank) {
    return static_cast<double>(sorted[static_cast<std::size_t>(rank) - 1].count());
  };
  Quantile result{ranked(std::max(1.0, std::ceil(count * share))), std::nullopt};
  // How many samples lie below the true quantile is binomial.
  const double spread = errors_of_share * std::sqrt(count * share * (1 - share));
  const double low = std::floor(count * share - spread);
  const double high = std::ceil(count * share + spread) + 1;
  if (low >= 1 && high <= count) {
    result.interval = Interval{ranked(low), ranked(high)};
  }
  return result;
}

std::optional<Estimate> improvement(const WaitSamples& ahead, const WaitSamples& control) {
  const double base = control.mean();
  if (ahead.size() < 2 || control.size() < 2 || !(base > 0)) {
    return std::nullopt;
  }
  // The ratio of two independent means, to first order.
  const double ratio = ahead.mean() / base;
  const double error =
      std::sqrt(ahead.variance_of_mean() + ratio * ratio * control.variance_of_mean()) / base;
  return Estimate{1 - ratio,
                  {1 - ratio - errors_of_mean * error, 1 - ratio + errors_of_mean * error}};
}

Estimate share_of(std::size_t came, std::size_t count) {
  FORERUN_ASSERT(count > 0 && came <= count);
  const auto n = static_cast<double>(count);
  const double share = static_cast<double>(came) / n;
  const double z2 = errors_of_share * errors_of_share;
  const double middle = (share + z2 / (2 * n)) / (1 + z2 / n);
  const double half =
      errors_of_share * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n);
  return {share, {middle - half, middle + half}};
}

}  // namespace forerun
