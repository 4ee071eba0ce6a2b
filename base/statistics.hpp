#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace forerun {

/// A 95 % interval.
struct Interval {
  double low = 0;
  double high = 0;
};

inline constexpr std::size_t bootstrap_samples = 2000;

/// Nearest rank. @pre values is not empty; 0 < share <= 1.
double quantile(std::vector<double> values, double share);

/// 95 % interval of `statistic`(mean of off, mean of on) over resampled pairs; equal seeds give
/// equal intervals.
/// @pre equal sizes, not empty.
Interval bootstrap_interval(const std::vector<double>& off, const std::vector<double>& on,
                            std::uint64_t seed,
                            const std::function<double(double, double)>& statistic);

}  // namespace forerun
