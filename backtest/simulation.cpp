#include "backtest/simulation.hpp"
#include "base/formatted.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace forerun {
namespace {

constexpr std::array<double, 7> sweep_ratios = {0.125, 0.25, 0.5, 1, 2, 4, 8};
constexpr std::array<double, 6> budgets_drawn = {0.02, 0.05, 0.1, 0.15, 0.25, 0.4};

double saved_of_means(double serial, double actual) {
  return serial > 0 ? 1 - actual / serial : 0;
}

json::Value rounded(double value) {
  const double result = std::round(value * 1e4) / 1e4;
  return result == 0 ? json::Value(0) : json::Value(result);
}

Result<std::vector<SweepRow>> sweep_of(const std::vector<TraceSession>& sessions,
                                       BacktestSettings settings,
                                       const std::function<void(const std::string&)>& progress) {
  std::vector<SweepRow> rows;
  for (const double ratio : sweep_ratios) {
    progress("tool to think time " + ratio_text(ratio) + " : 1");
    settings.tool_to_think = ratio;
    settings.runs_oracle = true;
    const auto report = run_backtest(sessions, settings);
    if (!report) {
      return tl::unexpected(report.error());
    }
    rows.push_back({ratio, report->measured.saved_ratio(), report->oracle->saved_ratio(),
                    report->measured.waste_ratio()});
  }
  return rows;
}

Result<std::vector<BudgetRow>> budgets_of(const std::vector<TraceSession>& sessions,
                                          BacktestSettings settings,
                                          const std::function<void(const std::string&)>& progress) {
  std::vector<BudgetRow> rows;
  for (const double budget : budgets_drawn) {
    char text[64];
    std::snprintf(text, sizeof text, "waste budget %g", budget);
    progress(text);
    settings.admission.waste_ratio_max = budget;
    settings.runs_oracle = false;
    const auto report = run_backtest(sessions, settings);
    if (!report) {
      return tl::unexpected(report.error());
    }
    rows.push_back({budget, report->measured.saved_ratio(), report->measured.waste_ratio()});
  }
  return rows;
}

// ---- text

void add_row(std::string& text, const std::string& name, const std::string& value) {
  std::string row = "  " + name;
  row.resize(std::max<std::size_t>(row.size() + 1, 26), ' ');
  text += row + value + "\n";
}

std::string times_line(const char* name, const std::vector<double>& seconds) {
  double sum = 0;
  for (const double each : seconds) {
    sum += each;
  }
  return "  " + std::string(name) +
         formatted("  mean %9.3f s", sum / static_cast<double>(seconds.size())) +
         formatted("  p50 %9.3f s", quantile(seconds, 0.5)) +
         formatted("  p99 %9.3f s\n", quantile(seconds, 0.99));
}

std::string saved_text(const Simulation& simulation) {
  const BacktestReport& report = simulation.report;
  std::string text = percent(report.measured.saved_ratio()) + "  (95 % interval ";
  text += simulation.saved_ci95
              ? percent(simulation.saved_ci95->low) + " to " + percent(simulation.saved_ci95->high)
              : "from " + std::to_string(sessions_for_interval) + " sessions on";
  if (report.oracle) {
    text += "; a perfect predictor on the same machine: " + percent(report.oracle->saved_ratio());
  }
  return text + ")";
}

/// "search, lookup and 3 more: they save too little"
std::string turned_off_text(const BacktestPass& measured) {
  constexpr std::size_t named_max = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(named_max, measured.turned_off.size()); ++i) {
    text += (i == 0 ? "" : ", ") + measured.turned_off[i].second;
  }
  if (measured.turned_off.size() > named_max) {
    text += " and " + std::to_string(measured.turned_off.size() - named_max) + " more";
  }
  return text + ": running ahead saves too little";
}

void add_accuracy(std::string& text, const Accuracy& accuracy) {
  const double steps = std::max<double>(1, static_cast<double>(accuracy.steps));
  const auto share = [&steps](std::uint64_t count) {
    return percent(static_cast<double>(count) / steps);
  };
  add_row(text, "next task named",
          share(accuracy.task_top1) + " at first, " + share(accuracy.task_top3) + " in three");
  add_row(text, "exact call named",
          share(accuracy.call_top1) + " at first, " + share(accuracy.call_top3) + " in three");
  add_row(text, "calibration",
          formatted("error %.3f", accuracy.ece()) +
              formatted(", Brier score %.3f", accuracy.brier()) +
              (accuracy.sure > 0
                   ? "; of " + std::to_string(accuracy.sure) + " stated at 90 % and more, " +
                         percent(static_cast<double>(accuracy.sure_came) /
                                 static_cast<double>(accuracy.sure)) +
                         " came"
                   : ""));
}

}  // namespace

std::string ratio_text(double ratio) {
  return ratio < 1 ? "1/" + formatted("%g", 1 / ratio) : formatted("%g", ratio);
}

Result<Simulation> simulate(const std::vector<TraceSession>& sessions,
                            const BacktestSettings& settings, const SimulationExtent& extent,
                            const std::function<void(const std::string&)>& progress) {
  auto report = run_backtest(sessions, settings);
  if (!report) {
    return tl::unexpected(report.error());
  }
  Simulation simulation;
  simulation.report = std::move(*report);
  const BacktestPass& measured = simulation.report.measured;
  if (measured.serial_s.size() >= sessions_for_interval) {
    simulation.saved_ci95 =
        bootstrap_interval(measured.serial_s, measured.actual_s, settings.seed, saved_of_means);
  }
  if (extent.sweep) {
    auto rows = sweep_of(sessions, settings, progress);
    if (!rows) {
      return tl::unexpected(rows.error());
    }
    simulation.sweep = std::move(*rows);
  }
  if (extent.budgets) {
    auto rows = budgets_of(sessions, settings, progress);
    if (!rows) {
      return tl::unexpected(rows.error());
    }
    simulation.budgets = std::move(*rows);
  }
  return simulation;
}

json::Value to_json(const Simulation& simulation) {
  json::Value value = simulation.report.to_json();
  json::Object& object = *value.object();
  object.set("heading", simulation.heading);
  object.set("saved_ci95", simulation.saved_ci95
                               ? json::Value(json::Array{rounded(simulation.saved_ci95->low),
                                                         rounded(simulation.saved_ci95->high)})
                               : json::Value());
  if (!simulation.sweep.empty()) {
    json::Array rows;
    for (const SweepRow& each : simulation.sweep) {
      json::Object row;
      row.set("ratio", each.ratio);
      row.set("saved_ratio", rounded(each.saved_ratio));
      row.set("oracle_saved_ratio", rounded(each.oracle_saved_ratio));
      row.set("waste_ratio", rounded(each.waste_ratio));
      rows.push_back(std::move(row));
    }
    object.set("sweep", std::move(rows));
  }
  if (!simulation.budgets.empty()) {
    json::Array rows;
    for (const BudgetRow& each : simulation.budgets) {
      json::Object row;
      row.set("budget", each.budget);
      row.set("saved_ratio", rounded(each.saved_ratio));
      row.set("waste_ratio", rounded(each.waste_ratio));
      rows.push_back(std::move(row));
    }
    object.set("budgets", std::move(rows));
  }
  return value;
}

std::string to_table(const Simulation& simulation) {
  const BacktestReport& report = simulation.report;
  const BacktestPass& measured = report.measured;
  std::string text = simulation.heading + "\n\n";
  text += "  " + std::to_string(measured.sessions) + " sessions, " +
          std::to_string(measured.steps) + " steps, in virtual time; times of a session:\n\n";
  text += times_line("one call after another", measured.serial_s);
  text += times_line("with speculation      ", measured.actual_s);
  text += "\n";
  std::size_t slower = 0;
  for (std::size_t i = 0; i < measured.serial_s.size(); ++i) {
    slower += measured.actual_s[i] > measured.serial_s[i] ? 1 : 0;
  }
  add_row(text, "saved", saved_text(simulation));
  add_row(
      text, "slower sessions",
      slower == 0 ? "none" : std::to_string(slower) + " of " + std::to_string(measured.sessions));
  add_row(text, "wasted worker time",
          percent(measured.waste_ratio()) + " of useful; budget " + percent(report.budget));
  add_row(text, "speculations",
          std::to_string(measured.launched) + " started, " + std::to_string(measured.hits) +
              " hits, " + std::to_string(measured.late_hits) + " late hits");
  if (!measured.turned_off.empty()) {
    add_row(text, "turned off", turned_off_text(measured));
  }
  if (measured.sent_away > 0) {
    add_row(text, "sent away",
            std::to_string(measured.sent_away) +
                " times, because too many calls waited; each came back when told to");
  }
  if (measured.wrong_answers > 0) {
    add_row(text, "wrong answers",
            std::to_string(measured.wrong_answers) +
                " hits that differ from the record: a task taken as one that only reads is none");
  }
  add_accuracy(text, measured.accuracy);
  text += "\n  stated   came true   predictions\n";
  for (const Accuracy::Bin& bin : measured.accuracy.reliability) {
    if (bin.count > 0) {
      const auto count = static_cast<double>(bin.count);
      text += formatted("  %6.3f", bin.stated / count) +
              formatted("   %9.3f", static_cast<double>(bin.came) / count) +
              formatted("   %11.0f\n", count);
    }
  }
  if (!simulation.sweep.empty()) {
    text += "\n  tool : think     saved   perfect    wasted\n";
    for (const SweepRow& row : simulation.sweep) {
      std::string ratio = ratio_text(row.ratio);
      ratio.insert(0, 8 - std::min<std::size_t>(8, ratio.size()), ' ');
      text += "  " + ratio + " : 1" + formatted("  %6.1f %%", row.saved_ratio * 100) +
              formatted("  %6.1f %%", row.oracle_saved_ratio * 100) +
              formatted("  %6.1f %%\n", row.waste_ratio * 100);
    }
  }
  if (!simulation.budgets.empty()) {
    text += "\n        budget     saved    wasted\n";
    for (const BudgetRow& row : simulation.budgets) {
      text += formatted("  %10.1f %%", row.budget * 100) +
              formatted("  %6.1f %%", row.saved_ratio * 100) +
              formatted("  %6.1f %%\n", row.waste_ratio * 100);
    }
  }
  return text;
}

}  // namespace forerun
