#include "demo/report.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/assert.hpp"
#include "base/formatted.hpp"

namespace forerun {
namespace {

double seconds_of(Duration duration) {
  return static_cast<double>(duration.count()) / 1e6;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double saved_of_means(double off, double on) {
  return off > 0 ? 1 - on / off : 0;
}

PassTimes times_of(const std::vector<double>& walls) {
  PassTimes times;
  if (walls.empty()) {
    return times;
  }
  times.mean_s = mean(walls);
  times.p50_s = quantile(walls, 0.5);
  if (walls.size() >= sessions_for_p99) {
    times.p99_s = quantile(walls, 0.99);
  }
  return times;
}

/// Times of the sessions that ended well in both passes: only those are pairs.
struct PairedWalls {
  std::vector<double> off;
  std::vector<double> on;
};

PairedWalls paired_walls(const DriveResult& drive) {
  PairedWalls walls;
  for (std::size_t i = 0; i < drive.of(Pass::off).size(); ++i) {
    const SessionRun& off = drive.of(Pass::off)[i];
    const SessionRun& on = drive.of(Pass::on)[i];
    if (!off.error && !on.error) {
      walls.off.push_back(seconds_of(off.wall));
      walls.on.push_back(seconds_of(on.wall));
    }
  }
  return walls;
}

void count_origins(const std::vector<SessionRun>& runs, DemoReport& report) {
  for (const SessionRun& run : runs) {
    for (const StepRun& step : run.steps) {
      report.hits += step.origin == "hit" ? 1 : 0;
      report.late_hits += step.origin == "late_hit" ? 1 : 0;
      report.misses += step.origin == "miss" ? 1 : 0;
      report.claimed_saved_s += step.saved_ms / 1000;
    }
  }
}

void compare_outputs(const ReportInput& input, DemoReport& report) {
  report.equal_run_ids = true;
  for (std::size_t i = 0; i < input.workload.sessions.size(); ++i) {
    const SessionRun& off = input.drive.of(Pass::off)[i];
    const SessionRun& on = input.drive.of(Pass::on)[i];
    report.equal_run_ids = report.equal_run_ids && off.run_id == on.run_id;
    for (std::size_t k = 0; k < input.workload.sessions[i].steps.size(); ++k) {
      const bool is_equal = k < off.steps.size() && k < on.steps.size() &&
                            !off.steps[k].decision_hash.empty() &&
                            off.steps[k].decision_hash == on.steps[k].decision_hash;
      report.different_steps += is_equal ? 0 : 1;
    }
  }
  report.identical_outputs = report.different_steps == 0;
}

void collect_failures(const DriveResult& drive, DemoReport& report) {
  for (const Pass pass : passes) {
    for (const SessionRun& run : drive.of(pass)) {
      for (const StepRun& step : run.steps) {
        report.wrong_steps += step.is_wrong ? 1 : 0;
      }
      if (run.error) {
        ++report.failed_sessions;
        if (report.errors.size() < errors_shown_max) {
          report.errors.push_back(std::string(pass == Pass::off ? "off: " : "on: ") + *run.error);
        }
      }
    }
  }
}

/// What a reader must know before the first figure.
std::string heading_of(const ReportInput& input) {
  Duration tool{};
  Duration think{};
  std::uint64_t non_numbers = 0;
  for (const TraceSession& session : input.workload.sessions) {
    non_numbers += session.non_numbers;
    for (const TraceStep& step : session.steps) {
      tool += step.latency.value_or(Duration{});
      think += step.think.value_or(Duration{});
    }
  }
  std::string text = input.workload.is_synthetic ? "synthetic sessions: " : "recorded sessions: ";
  text += input.workload.title;
  text += "; speed-up " + formatted("%g", input.speedup);
  text += "; tool to think time " +
          (think > Duration{} ? formatted("%.2f", seconds_of(tool) / seconds_of(think)) + " : 1"
                              : "without thinking");
  if (input.workload.has_modelled_times) {
    text += "; modelled times";
  }
  if (non_numbers > 0) {
    text += "; " + std::to_string(non_numbers) +
            " times NaN or Infinity, which JSON lacks, read as text";
  }
  if (input.workload.is_upper_bound) {
    text += "; upper bound: every task taken as one that only reads";
  }
  return text;
}

double ideal_ratio(const Workload& workload) {
  Duration without{};
  Duration with{};
  for (const TraceSession& session : workload.sessions) {
    const IdealTimes times =
        ideal_times(session, [&workload](std::string_view task) { return workload.effect(task); });
    without += times.without_speculation;
    with += times.with_all_known;
  }
  return saved_of_means(seconds_of(without), seconds_of(with));
}

/// Six digits after the point say all that a measurement knows.
json::Value rounded(double value) {
  const double result = std::round(value * 1e6) / 1e6;
  return result == 0 ? json::Value(0) : json::Value(result);
}

json::Value to_json(const PassTimes& times) {
  json::Object object;
  object.set("mean_s", rounded(times.mean_s));
  object.set("p50_s", rounded(times.p50_s));
  object.set("p99_s", times.p99_s ? rounded(*times.p99_s) : json::Value());
  return object;
}

json::Value to_json(const Interval& interval) {
  return json::Array{rounded(interval.low), rounded(interval.high)};
}

json::Value count(std::uint64_t number) {
  return json::Value(number);
}

const json::Value* member_at(const json::Value& value, std::string_view outer,
                             std::string_view inner) {
  const json::Value* object = value.find(outer);
  return object == nullptr ? nullptr : object->find(inner);
}

Result<double> number_at(const json::Value& value, std::string_view outer, std::string_view inner) {
  const json::Value* member = member_at(value, outer, inner);
  if (member == nullptr || member->number() == nullptr) {
    return fail(Errc::invalid,
                "status: " + std::string(outer) + "." + std::string(inner) + " is not a number");
  }
  return *member->number();
}

}  // namespace

IdealTimes ideal_times(const TraceSession& session,
                       const std::function<Effect(std::string_view)>& effect) {
  IdealTimes result;
  Duration& plain = result.without_speculation;
  Duration& ideal = result.with_all_known;
  Duration write_ended{};  // In the ideal run; reads after it start no earlier.
  for (const StepGroup& group : step_groups(session)) {
    const Duration think = session.steps[group.first].think.value_or(Duration{});
    plain += think;
    ideal += think;
    const Duration plain_asked = plain;
    const Duration ideal_asked = ideal;
    Duration plain_write_ended = plain_asked;
    for (std::size_t i = group.first; i < group.last; ++i) {
      const TraceStep& step = session.steps[i];
      const Duration latency = step.latency.value_or(Duration{});
      const Effect kind = effect(step.call.task());
      Duration plain_end = plain_asked + latency;
      Duration ideal_end = latency;
      if (kind == Effect::write) {
        // Calls of one list that conflict run in its order.
        plain_end = plain_write_ended + latency;
        ideal_end = std::max(ideal_asked, write_ended) + latency;
        plain_write_ended = plain_end;
        write_ended = ideal_end;
      } else if (kind == Effect::read) {
        plain_end = plain_write_ended + latency;
        ideal_end = write_ended + latency;
      }
      plain = std::max(plain, plain_end);
      ideal = std::max(ideal, ideal_end);
    }
  }
  return result;
}

DemoReport make_report(const ReportInput& input) {
  FORERUN_ASSERT(input.drive.of(Pass::off).size() == input.workload.sessions.size());
  FORERUN_ASSERT(input.drive.of(Pass::on).size() == input.workload.sessions.size());
  DemoReport report;
  report.heading = heading_of(input);
  report.sessions = input.workload.sessions.size();
  for (const TraceSession& session : input.workload.sessions) {
    report.steps += session.steps.size();
  }
  const PairedWalls walls = paired_walls(input.drive);
  report.off = times_of(walls.off);
  report.on = times_of(walls.on);
  report.saved_ratio = saved_of_means(report.off.mean_s, report.on.mean_s);
  if (!walls.off.empty()) {
    report.saved_ci95 = bootstrap_interval(walls.off, walls.on, input.seed, saved_of_means);
    report.slower_ci95_s = bootstrap_interval(walls.off, walls.on, input.seed,
                                              [](double off, double on) { return on - off; });
    report.never_slower = report.slower_ci95_s.low <= 0;
  }
  report.measured_saved_s =
      (report.off.mean_s - report.on.mean_s) * static_cast<double>(walls.off.size());
  report.ideal_saved_ratio = ideal_ratio(input.workload);
  count_origins(input.drive.of(Pass::on), report);
  compare_outputs(input, report);
  collect_failures(input.drive, report);
  report.busy = input.busy;
  if (input.busy.useful_s > 0) {
    report.waste_ratio = input.busy.wasted_s / input.busy.useful_s;
  }
  report.ledger = input.ledger_on;
  report.off_ledgers_agree = input.ledger_off.agree;
  return report;
}

int exit_code(const DemoReport& report) {
  if (report.failed_sessions != 0) {
    return 1;
  }
  const bool is_verified = report.identical_outputs && report.wrong_steps == 0 &&
                           report.ledger.agree && report.off_ledgers_agree;
  return is_verified ? 0 : 5;
}

json::Value to_json(const DemoReport& report) {
  json::Object busy;
  busy.set("useful", rounded(report.busy.useful_s));
  busy.set("wasted", rounded(report.busy.wasted_s));
  busy.set("race_losers", rounded(report.busy.race_losers_s));
  json::Object calls;
  calls.set("useful", count(report.busy.useful_calls));
  calls.set("wasted", count(report.busy.wasted_calls));
  json::Object ledger;
  ledger.set("nodes", count(report.ledger.nodes));
  ledger.set("agree", report.ledger.agree && report.off_ledgers_agree);
  ledger.set("entries", count(report.ledger.entries));
  json::Object object;
  object.set("heading", report.heading);
  object.set("sessions", count(report.sessions));
  object.set("steps", count(report.steps));
  object.set("off", to_json(report.off));
  object.set("on", to_json(report.on));
  object.set("saved_ratio", rounded(report.saved_ratio));
  object.set("saved_ci95", to_json(report.saved_ci95));
  object.set("ideal_saved_ratio", rounded(report.ideal_saved_ratio));
  object.set("claimed_saved_s", rounded(report.claimed_saved_s));
  object.set("measured_saved_s", rounded(report.measured_saved_s));
  object.set("waste_ratio", report.waste_ratio ? rounded(*report.waste_ratio) : json::Value());
  object.set("busy_s", std::move(busy));
  object.set("calls", std::move(calls));
  object.set("hits", count(report.hits));
  object.set("late_hits", count(report.late_hits));
  object.set("misses", count(report.misses));
  object.set("identical_outputs", report.identical_outputs);
  object.set("different_steps", count(report.different_steps));
  object.set("equal_run_ids", report.equal_run_ids);
  object.set("wrong_steps", count(report.wrong_steps));
  object.set("never_slower", report.never_slower);
  object.set("slower_ci95_s", to_json(report.slower_ci95_s));
  object.set("failed_sessions", count(report.failed_sessions));
  object.set("errors", json::Array(report.errors.begin(), report.errors.end()));
  object.set("ledger", std::move(ledger));
  return object;
}

namespace {

std::string times_line(const char* name, const PassTimes& times) {
  std::string line = formatted("%8.3f s", times.mean_s) + formatted("  p50 %8.3f s", times.p50_s);
  line += times.p99_s ? formatted("  p99 %8.3f s", *times.p99_s) : "  p99 from 200 sessions on";
  return "  " + std::string(name) + line + "\n";
}

void add_row(std::string& text, const std::string& name, const std::string& value) {
  std::string row = "  " + name;
  row.resize(std::max<std::size_t>(row.size() + 1, 26), ' ');
  text += row + value + "\n";
}

}  // namespace

std::string to_table(const DemoReport& report) {
  std::string text = report.heading + "\n\n";
  text += "  " + std::to_string(report.sessions) + " sessions, " + std::to_string(report.steps) +
          " steps, each in both passes; times of a session:\n\n";
  text += times_line("speculation off  mean", report.off);
  text += times_line("speculation on   mean", report.on);
  text += "\n";
  add_row(text, "saved",
          percent(report.saved_ratio) + "  (95 % interval " + percent(report.saved_ci95.low) +
              " to " + percent(report.saved_ci95.high) +
              "; a perfect predictor: " + percent(report.ideal_saved_ratio) + ")");
  add_row(text, "never slower", report.never_slower ? "yes" : "NO");
  add_row(text, "claimed, measured",
          formatted("%.2f s", report.claimed_saved_s) + ", " +
              formatted("%.2f s", report.measured_saved_s) + " in all sessions");
  add_row(text, "steps",
          std::to_string(report.hits) + " hits, " + std::to_string(report.late_hits) +
              " late hits, " + std::to_string(report.misses) + " misses");
  add_row(text, "wasted worker time",
          report.waste_ratio ? percent(*report.waste_ratio) + " of " +
                                   formatted("%.2f s", report.busy.useful_s) + " useful"
                             : "nothing ran");
  add_row(text, "losers of races", formatted("%.2f s", report.busy.race_losers_s));
  add_row(text, "identical outputs",
          report.identical_outputs
              ? "yes, every decision hash"
              : "NO: " + std::to_string(report.different_steps) + " steps differ" +
                    (report.equal_run_ids ? "" : ", and so do run IDs"));
  add_row(text, "wrong answers", std::to_string(report.wrong_steps));
  add_row(text, "ledgers",
          std::to_string(report.ledger.nodes) + " nodes " +
              (report.ledger.agree && report.off_ledgers_agree ? "agree" : "DISAGREE") + ", " +
              std::to_string(report.ledger.entries) + " entries");
  if (report.failed_sessions != 0) {
    add_row(text, "failed sessions", std::to_string(report.failed_sessions));
    for (const std::string& error : report.errors) {
      text += "    " + error + "\n";
    }
  }
  return text;
}

Result<LedgerComparison> compare_ledgers(const json::Value& status, std::size_t nodes_expected) {
  const auto size = number_at(status, "ledger", "size");
  if (!size) {
    return tl::unexpected(size.error());
  }
  const json::Value* root = member_at(status, "ledger", "root");
  const json::Value* list = status.find("nodes");
  if (root == nullptr || root->string() == nullptr || list == nullptr || list->array() == nullptr) {
    return fail(Errc::invalid, "status: ledger.root or nodes is missing");
  }
  LedgerComparison comparison;
  comparison.entries = static_cast<std::uint64_t>(*size);
  std::size_t equal = 0;
  for (const json::Value& node : *list->array()) {
    const json::Value* live = node.find("live");
    if (live == nullptr || live->boolean() == nullptr || !*live->boolean()) {
      continue;
    }
    ++comparison.nodes;
    const json::Value* node_size = member_at(node, "ledger", "size");
    const json::Value* node_root = member_at(node, "ledger", "root");
    equal += node_size != nullptr && node_root != nullptr && *node_size == json::Value(*size) &&
             *node_root == *root;
  }
  comparison.agree = comparison.nodes == nodes_expected && equal == nodes_expected;
  return comparison;
}

Result<WorkerTime> read_worker_time(const json::Value& status) {
  WorkerTime time;
  const auto take = [&status](std::string_view name, auto& target, double scale) -> Result<void> {
    const auto number = number_at(status, "speculation", name);
    if (!number) {
      return tl::unexpected(number.error());
    }
    target = static_cast<std::remove_reference_t<decltype(target)>>(*number * scale);
    return {};
  };
  for (const auto& taken :
       {take("useful_ms", time.useful_s, 1e-3), take("wasted_ms", time.wasted_s, 1e-3),
        take("race_losers_ms", time.race_losers_s, 1e-3),
        take("useful_calls", time.useful_calls, 1), take("wasted_calls", time.wasted_calls, 1)}) {
    if (!taken) {
      return tl::unexpected(taken.error());
    }
  }
  return time;
}

}  // namespace forerun
