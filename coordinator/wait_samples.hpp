#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/statistics.hpp"
#include "base/time.hpp"

namespace forerun {

/// A figure and where its true value lies, with 95 % confidence.
struct Estimate {
  double value = 0;
  Interval interval;
};

/// The latest waits, up to a limit; an older one makes room for a newer. Pure.
class WaitSamples {
public:
  explicit WaitSamples(std::size_t limit) : limit_(limit) {}
  void add(Duration wait);
  void clear();
  std::size_t size() const { return waits_.size(); }
  /// In microseconds; 0 of none.
  double mean() const;
  /// Of the mean, in microseconds squared; 0 below two samples.
  double variance_of_mean() const;
  /// Nearest rank, in microseconds; nothing while there are fewer than 1 / (1 − share) samples. The
  /// interval, by ranks, is missing where it would reach beyond the samples.
  struct Quantile {
    double value = 0;
    std::optional<Interval> interval;
  };
  std::optional<Quantile> quantile(double share) const;

private:
  std::size_t limit_;
  std::size_t oldest_ = 0;  ///< In a full ring.
  std::vector<Duration> waits_;
};

/// By how much the mean of `ahead` is below that of `control`, as a share of it. Nothing while
/// either has fewer than two samples, or `control` waits for nothing.
std::optional<Estimate> improvement(const WaitSamples& ahead, const WaitSamples& control);

/// A share of `count` trials, with Wilson's interval (1927). @pre 0 < count, came <= count.
Estimate share_of(std::size_t came, std::size_t count);

}  // namespace forerun
