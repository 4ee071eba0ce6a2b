#pragma once

#include <cstdint>

#include "base/prng.hpp"
#include "simulation/auditor.hpp"
#include "simulation/coverage.hpp"
#include "simulation/timeline.hpp"
#include "simulation/weather.hpp"
#include "speculation/catalog.hpp"

namespace forerun::simulation {

/// What is seldom sent or written gets so many, or a fault at it would never be seen.
inline constexpr int chances_when_rare = 16;

/// What all parts of one simulated cluster share.
struct Environment {
  Timeline& time;
  Prng& prng;
  Auditor& auditor;
  Outside& outside;
  Coverage& coverage;
  const Catalog& catalog;
  Weather weather;

  bool has_faults() const { return time.now() < weather.faults_end; }
  bool strikes(Fault fault) {
    const double rate = weather.rate(fault);
    return rate > 0 && has_faults() && prng.chance(rate);
  }
  /// With this median, between a quarter and four times of it. Without the mathematics library,
  /// which does not round alike on all machines.
  Duration around(Duration median) {
    const double above = 1 + 3 * prng.unit();
    const double below = 1 + 3 * prng.unit();
    return Duration(
        static_cast<Duration::rep>(static_cast<double>(median.count()) * above / below));
  }
  Duration between(Duration low, Duration high) {
    return low + Duration(static_cast<Duration::rep>(
                     prng.below(static_cast<std::uint64_t>((high - low).count()) + 1)));
  }
};

}  // namespace forerun::simulation
