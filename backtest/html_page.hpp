#pragma once

#include <string>

#include "backtest/simulation.hpp"

namespace forerun {

/// One self-contained page: headline figures, time saved against waste, reliability and the sweep,
/// as inline SVG, with how it was measured (`settings`, as simulate() was given them) and what its
/// words mean; readable in light, dark and print. It loads nothing and runs no script; every text
/// is escaped. Curves that were not asked for are left out.
std::string to_html(const Simulation& simulation, const BacktestSettings& settings);

}  // namespace forerun
