#pragma once

#include <cstdint>

#include "base/prng.hpp"
#include "simulation/auditor.hpp"
#include "simulation/simulation.hpp"
#include "simulation/timeline.hpp"
#include "speculation/catalog.hpp"

namespace forerun::simulation {

/// How hard this seed's world is.
struct Weather {
  Instant faults_end{};
  Duration fault_every = std::chrono::milliseconds(800);  ///< Mean.
  double publication_loss = 0;
  double branch_loss = 0;    ///< A worker crashes under a branch.
  double branch_hang = 0;    ///< A branch that never ends by itself.
  double crash_in_step = 0;  ///< The coordinator ends between two outputs of one step.
  double client_leaves = 0;
  Duration sync_median = std::chrono::milliseconds(2);
  Duration link_median = std::chrono::microseconds(400);
};

/// What all parts of one simulated cluster share.
struct Environment {
  Timeline& time;
  Prng& prng;
  Auditor& auditor;
  Outside& outside;
  const Catalog& catalog;
  Weather weather;
  Plant plant = Plant::none;

  bool has_faults() const { return time.now() < weather.faults_end; }
  bool strikes(double probability) { return has_faults() && prng.chance(probability); }
  Duration around(Duration median) {
    return Duration(
        static_cast<Duration::rep>(prng.lognormal(static_cast<double>(median.count()), 0.7)));
  }
  Duration between(Duration low, Duration high) {
    return low + Duration(static_cast<Duration::rep>(
                     prng.below(static_cast<std::uint64_t>((high - low).count()) + 1)));
  }
};

}  // namespace forerun::simulation
