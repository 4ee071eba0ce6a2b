#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backtest/run_backtest.hpp"
#include "base/json.hpp"
#include "base/statistics.hpp"

namespace forerun {

/// The same sessions with thinking of another length.
struct SweepRow {
  double ratio = 0;  ///< Of tool to think time.
  double saved_ratio = 0;
  double oracle_saved_ratio = 0;
  double waste_ratio = 0;
};

/// The same sessions under another waste budget.
struct BudgetRow {
  double budget = 0;
  double saved_ratio = 0;
  double waste_ratio = 0;
};

/// What `forerun simulate` found.
struct Simulation {
  std::string heading;
  BacktestReport report;
  std::optional<Interval> saved_ci95;  ///< Bootstrap over sessions; from sessions_for_interval on.
  std::vector<SweepRow> sweep;         ///< Empty: not asked for.
  std::vector<BudgetRow> budgets;      ///< Empty: not asked for.
};

inline constexpr std::size_t sessions_for_interval = 20;

struct SimulationExtent {
  bool sweep = false;    ///< Over the ratio of tool to think time, 1/8 to 8.
  bool budgets = false;  ///< Over waste budgets, for the curve of what waste buys.
};

/// Runs the sessions once, and again for each point of the curves asked for. `progress` gets a line
/// before each further run. Errors: those of run_backtest.
Result<Simulation> simulate(const std::vector<TraceSession>& sessions,
                            const BacktestSettings& settings, const SimulationExtent& extent,
                            const std::function<void(const std::string&)>& progress);

/// The members of BacktestReport::to_json(), with heading, saved_ci95 and, where they were asked
/// for, sweep and budgets.
json::Value to_json(const Simulation& simulation);
std::string to_table(const Simulation& simulation);

/// "1/8" to "8".
std::string ratio_text(double ratio);

}  // namespace forerun
