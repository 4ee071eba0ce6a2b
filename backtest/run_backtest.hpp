#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backtest/accuracy.hpp"
#include "backtest/virtual_cluster.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "coordinator/admission.hpp"
#include "coordinator/declared_tasks.hpp"
#include "coordinator/usefulness.hpp"
#include "files/traces.hpp"

namespace forerun {

struct BacktestSettings {
  AdmissionSettings admission;
  /// Without a control share, unless asked for: its sessions would count as saving nothing.
  UsefulnessSettings usefulness{.control_share = 0};
  std::uint32_t slots = 16;
  std::uint32_t concurrency = 1;  ///< Sessions side by side. @pre > 0
  std::size_t warm_up = 0;        ///< The first sessions teach; only the rest is counted.
  /// Sessions whose group falls under this share are learned from first, without time; the rest is
  /// measured without learning.
  std::optional<double> train_share;
  std::vector<TraceSession> history;  ///< Learned from first, whole; learning goes on.
  bool model_steps = false;           ///< The agent's thinking is a task too and may run ahead.
  ReadOnlyTasks read_only = ReadOnlyTasks::all();
  DeclaredTasks declared;      ///< What a catalog says of the tasks.
  bool is_upper_bound = true;  ///< Nobody said which tasks only read.
  ClusterCosts costs;
  TimeModels times;  ///< Of sessions that lack them.
  /// Scales all thinking so that calls take so many times as long as it, over the sessions
  /// measured.
  std::optional<double> tool_to_think;
  std::uint64_t seed = 1;
  bool runs_oracle = true;
  /// Shown what was predicted right before each confirmed call, the oracle's pass excluded.
  std::function<void(const TraceSession& session, std::size_t step,
                     const std::vector<Prediction>& made)>
      watch{};
};

/// One pass over the sessions that are counted.
struct BacktestPass {
  Duration serial{};  ///< Without speculation, on the same machine.
  Duration actual{};
  std::uint64_t sessions = 0, steps = 0;
  std::uint64_t launched = 0, hits = 0, late_hits = 0;
  /// Answers run ahead that are not what was recorded: a marker (a hazard was missed), or a task
  /// that was taken as one that only reads and is none.
  std::uint64_t wrong_answers = 0;
  std::uint64_t sent_away =
      0;  ///< Confirmed calls refused, because too many waited; each came back.
  Duration useful{}, wasted{};
  /// Tenants and tasks that running ahead was turned off for, in the end.
  std::vector<std::pair<std::string, std::string>> turned_off;
  std::vector<double> serial_s, actual_s;  ///< Of each session.
  Accuracy accuracy;

  double saved_ratio() const;
  double waste_ratio() const;
};

struct BacktestReport {
  BacktestPass measured;
  std::optional<BacktestPass> oracle;
  double budget = 0;
  bool is_upper_bound = false;

  json::Value to_json() const;
};

inline constexpr const char* model_task = "forerun.model";

/// Replays recorded sessions, so many side by side, through the coordinator's brain in virtual
/// time. Deterministic: equal settings and sessions give an equal report on every machine. Missing
/// times are modelled from the seed. Errors: invalid (nothing to measure or to scale; a session or
/// step too long; a task that no catalog can have).
Result<BacktestReport> run_backtest(std::vector<TraceSession> sessions,
                                    const BacktestSettings& settings);

}  // namespace forerun
