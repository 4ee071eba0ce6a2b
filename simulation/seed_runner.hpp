#pragma once

#include <cstdint>
#include <functional>

#include "simulation/simulation.hpp"

namespace forerun::simulation {

/// Runs the seeds [from, from + count) in that many child processes, so that an assertion that
/// fails ends one seed only; it is reported as a violation of Rule::assertion. `take` gets the
/// reports in the order of the seeds, whatever the number of processes, until it returns false.
/// Children that are not needed any more are killed.
void run_seeds(const SimulationSettings& settings, std::uint64_t from, std::uint64_t count,
               unsigned processes,
               const std::function<bool(std::uint64_t seed, const SimulationReport&)>& take);

/// One seed, in a process of its own.
SimulationReport run_seed_apart(const SimulationSettings& settings);

/// The same failure in fewer words: turns faults off and lowers limits, one by one, while the seed
/// still breaks the same rule.
SimulationSettings minimise(const SimulationSettings& settings, Rule rule);

}  // namespace forerun::simulation
