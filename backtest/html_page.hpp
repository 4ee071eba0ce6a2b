#pragma once

#include <string>

#include "backtest/simulation.hpp"

namespace forerun {

/// One self-contained page: headline figures, time saved against waste, reliability and the sweep,
/// as inline SVG, readable in light and dark. It loads nothing and runs no script; every text is
/// escaped. Curves that were not asked for are left out.
std::string to_html(const Simulation& simulation);

}  // namespace forerun
