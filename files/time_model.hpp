#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/prng.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

namespace forerun {

/// How long a step takes, or an agent thinks, where nobody measured it. A value; thread-safe to
/// read.
class TimeModel {
public:
  /// @pre median >= 0, sigma >= 0.
  static TimeModel lognormal(double median_s, double sigma);
  static TimeModel constant(Duration always);
  /// A time by its share of all times, ascending in both; between two shares by a straight line,
  /// beyond the first and last their time. @pre not empty.
  static TimeModel quantiles(std::vector<std::pair<double, Duration>> points);
  /// `lognormal:MEDIAN_MS:SIGMA`, `constant:MS` or `quantiles:FILE#PROFILE`, FILE being JSON:
  /// {"PROFILE": {MEMBER: {"0.5": SECONDS, …}}}. Errors: invalid, not_found, io, too_large; they
  /// say what was expected.
  static Result<TimeModel> parse(const std::string& text, const std::string& member);

  /// At most trace_time_max. Equal generators give equal times.
  Duration draw(Prng prng) const;

private:
  double median_s_ = 0;
  double sigma_ = 0;
  std::vector<std::pair<double, Duration>> points_;  ///< Empty: lognormal.
};

/// One latency or think time.
inline constexpr Duration trace_time_max = std::chrono::hours(24 * 30);
inline constexpr double time_model_sigma_max = 10;
inline constexpr std::size_t time_model_bytes_max = 1U << 20U;

/// The models of traces that lack times.
struct TimeModels {
  TimeModel latency = TimeModel::lognormal(1.0, 0.6);
  TimeModel think = TimeModel::lognormal(1.0, 0.4);
};

}  // namespace forerun
