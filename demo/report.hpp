#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/statistics.hpp"
#include "demo/driver.hpp"
#include "demo/workload.hpp"

namespace forerun {

/// Sessions' times of one pass, in seconds.
struct PassTimes {
  double mean_s = 0;
  double p50_s = 0;
  std::optional<double> p99_s;  ///< Only from sessions_for_p99 on.
};

/// What the ledgers of a cluster's nodes say of each other.
struct LedgerComparison {
  std::size_t nodes = 0;
  bool agree = false;  ///< All expected nodes are live, and have the coordinator's size and root.
  std::uint64_t entries = 0;  ///< Of the coordinator's ledger.
};

/// Worker time, as the speculating cluster accounts for it.
struct WorkerTime {
  double useful_s = 0;
  double wasted_s = 0;
  double race_losers_s = 0;
  std::uint64_t useful_calls = 0;
  std::uint64_t wasted_calls = 0;
};

struct DemoReport {
  std::string heading;
  std::size_t sessions = 0;
  std::size_t steps = 0;  ///< Of one pass.
  PassTimes off;
  PassTimes on;
  double saved_ratio = 0;  ///< 1 − mean on / mean off.
  Interval saved_ci95;     ///< Paired bootstrap over sessions.
  double ideal_saved_ratio = 0;
  double claimed_saved_s = 0;   ///< The sum of what the steps' answers claim.
  double measured_saved_s = 0;  ///< What the sessions' times show.
  std::optional<double>
      waste_ratio;  ///< Discarded / useful worker time; empty when nothing useful ran.
  WorkerTime busy;
  std::size_t hits = 0;
  std::size_t late_hits = 0;
  std::size_t misses = 0;
  bool identical_outputs = false;   ///< Every decision hash is there in both passes, and equal.
  std::size_t different_steps = 0;  ///< How many are not.
  bool equal_run_ids = false;       ///< What decision hashes need to be comparable at all.
  bool never_slower = false;        ///< The interval of on − off contains 0 or lies below it.
  Interval slower_ci95_s;           ///< Of the mean of on − off.
  std::size_t wrong_steps = 0;      ///< Of both passes: answers that are not the recorded ones.
  LedgerComparison ledger;          ///< Of the speculating cluster.
  bool off_ledgers_agree = false;
  std::vector<std::string> errors;  ///< Of sessions, at most errors_shown_max.
  std::size_t failed_sessions = 0;  ///< Sessions with an error, of both passes.
};

inline constexpr std::size_t sessions_for_p99 = 200;
inline constexpr std::size_t errors_shown_max = 5;

struct ReportInput {
  const Workload& workload;
  const DriveResult& drive;
  double speedup = 1;
  std::uint64_t seed = 1;
  WorkerTime busy;
  LedgerComparison ledger_off;
  LedgerComparison ledger_on;
};

/// Pure. @pre both passes have one run per session.
DemoReport make_report(const ReportInput& input);

json::Value to_json(const DemoReport& report);
std::string to_table(const DemoReport& report);

/// The rule of exit codes: 1 after an error of a session, 5 when outputs differ, are wrong or
/// ledgers disagree, else 0.
int exit_code(const DemoReport& report);

/// What the sessions take by their recorded times, and what they would take with every call known
/// when they start.
///
/// Ideal: a `pure` call starts with its session; a `read` starts with its session or when the last
/// write before it has ended, whichever is later; a `write` starts only when it is asked for. An
/// answer is there when asked unless its task time has not passed since that start. Think times
/// pass as recorded. Workers, queues and every overhead are free, so no predictor can do better:
/// arguments that only an earlier output holds are taken as known too.
struct IdealTimes {
  Duration without_speculation{};
  Duration with_all_known{};
};
IdealTimes ideal_times(const TraceSession& session,
                       const std::function<Effect(std::string_view)>& effect);

/// Reads the answer of `GET /v1/status`. Errors: invalid, naming the member.
Result<LedgerComparison> compare_ledgers(const json::Value& status, std::size_t nodes_expected);
Result<WorkerTime> read_worker_time(const json::Value& status);

}  // namespace forerun
