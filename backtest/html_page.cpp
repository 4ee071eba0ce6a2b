#include "backtest/html_page.hpp"
#include "base/formatted.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <tuple>
#include <utility>
#include <vector>

namespace forerun {
namespace {

constexpr const char* style = R"(
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d5dae1;--paper:#fff;--card:#f5f7f9;
--a:#1f6fd1;--b:#c2570c;--c:#2a8a4a}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b6;--line:#3a4350;--paper:#14181e;
--card:#1d232b;--a:#6cb0ff;--b:#ffa05c;--c:#6fd08f}}
body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;margin:2rem auto;
max-width:62rem;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .25rem}p{color:var(--soft);margin:.25rem 0}
.figures{display:flex;flex-wrap:wrap;gap:1rem;margin:1.5rem 0}
.figures div{background:var(--card);border-radius:.5rem;padding:.75rem 1rem;min-width:9rem;flex:1}
.figures b{display:block;font-size:1.7rem;line-height:1.2}.figures span{color:var(--soft);font-size:.9rem}
.curves{display:flex;flex-wrap:wrap;gap:0 2rem}.curves section{flex:1 1 26rem;min-width:0}
svg{width:100%;max-width:34rem;height:auto}svg text{fill:var(--soft);font:12px system-ui,sans-serif}
.grid{stroke:var(--line);stroke-width:1}.rule{stroke:var(--soft);stroke-dasharray:4 4;fill:none}
.a{stroke:var(--a)}.b{stroke:var(--b)}.c{stroke:var(--c)}.line{fill:none;stroke-width:2}
.dot.a{fill:var(--a)}.dot.b{fill:var(--b)}.dot.c{fill:var(--c)}
svg text.a{fill:var(--a);stroke:none}svg text.b{fill:var(--b);stroke:none}svg text.c{fill:var(--c);stroke:none}
dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.4rem 1.25rem;margin:.75rem 0}
dt{font-weight:600}dd{margin:0;color:var(--soft)}
.note{border-left:.25rem solid var(--b);background:var(--card);color:var(--ink);padding:.5rem 1rem;margin:1rem 0}
.beside{display:flex;flex-wrap:wrap;gap:0 2rem;align-items:center}.beside svg{flex:1 1 22rem}
table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.15rem .75rem .15rem 0;text-align:right;
font-variant-numeric:tabular-nums}th{color:var(--soft);font-weight:normal}
@media(max-width:36rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}}
@page{margin:15mm}
@media print{:root{color-scheme:light;--ink:#000;--soft:#333;--line:#bbb;--paper:#fff;--card:#fff;--a:#1f6fd1;--b:#b04a00;--c:#1f7a3d}
body{margin:0;max-width:none;padding:0;font-size:9.5pt}.figures{gap:.4rem;margin:.75rem 0}
.figures div{border:1px solid var(--line);min-width:6rem;padding:.4rem .6rem}.figures b{font-size:1.3rem}
.curves{display:block}.beside svg,.curves svg{flex:none;max-width:9cm}h2{margin-top:1rem;break-after:avoid}
section,table,.figures,dt,dd{break-inside:avoid}dt{break-after:avoid}}
)";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += letter;
    }
  }
  return out;
}

std::string html_percent(double ratio) {
  return formatted("%.1f&nbsp;%%", ratio * 100);
}

std::string figure(const std::string& value, const std::string& what) {
  return "<div><b>" + value + "</b><span>" + what + "</span></div>\n";
}

/// One diagram, drawn in a box of fixed size. Both axes run over a range of their own.
class Chart {
public:
  Chart(double x_max, double y_min, double y_max) : x_max_(x_max), y_min_(y_min), y_max_(y_max) {}

  void x_tick(double at, const std::string& label) {
    body_ += "<line class=\"grid\" x1=\"" + x(at) + "\" x2=\"" + x(at) + "\" y1=\"" + y(y_min_) +
             "\" y2=\"" + y(y_max_) + "\"/><text text-anchor=\"middle\" x=\"" + x(at) + "\" y=\"" +
             formatted("%.1f", bottom + 18) + "\">" + label + "</text>\n";
  }
  void y_tick(double at, const std::string& label) {
    body_ += "<line class=\"grid\" x1=\"" + x(0) + "\" x2=\"" + x(x_max_) + "\" y1=\"" + y(at) +
             "\" y2=\"" + y(at) + "\"/><text text-anchor=\"end\" x=\"" +
             formatted("%.1f", left - 8) + "\" y=\"" + formatted("%.1f", y_of(at) + 4) + "\">" +
             label + "</text>\n";
  }
  void titles(const std::string& across, const std::string& up) {
    body_ += "<text text-anchor=\"end\" x=\"" + x(x_max_) + "\" y=\"" +
             formatted("%.1f", bottom + 36) + "\">" + across + "</text><text x=\"0\" y=\"12\">" +
             up + "</text>\n";
  }
  void line(const std::vector<std::pair<double, double>>& points, const char* kind) {
    body_ += "<polyline class=\"" + std::string(kind) + "\" points=\"";
    for (const auto& [at, value] : points) {
      body_ += x(at) + "," + y(value) + " ";
    }
    body_ += "\"/>\n";
  }
  void dot(double at, double value, double radius, const char* kind, const std::string& tip) {
    body_ += "<circle class=\"dot " + std::string(kind) + "\" cx=\"" + x(at) + "\" cy=\"" +
             y(value) + "\" r=\"" + formatted("%.1f", radius) + "\"><title>" + tip +
             "</title></circle>\n";
  }
  void label(double at, double value, const char* kind, const std::string& text) {
    body_ += "<text class=\"" + std::string(kind) + "\" x=\"" + formatted("%.1f", x_of(at) + 8) +
             "\" y=\"" + formatted("%.1f", y_of(value) - 6) + "\">" + text + "</text>\n";
  }
  void label_below(double at, double value, const char* kind, const std::string& text) {
    body_ += "<text class=\"" + std::string(kind) + "\" x=\"" + formatted("%.1f", x_of(at) + 5) +
             "\" y=\"" + formatted("%.1f", y_of(value) + 17) + "\">" + text + "</text>\n";
  }
  std::string drawn(const std::string& name) const {
    return "<svg viewBox=\"0 0 480 320\" role=\"img\" aria-label=\"" + name + "\">\n" + body_ +
           "</svg>\n";
  }

private:
  static constexpr double left = 52, right = 415, top = 24, bottom = 276;
  double x_of(double at) const { return left + (right - left) * at / x_max_; }
  double y_of(double at) const {
    return bottom - (bottom - top) * (at - y_min_) / (y_max_ - y_min_);
  }
  std::string x(double at) const { return formatted("%.1f", x_of(at)); }
  std::string y(double at) const { return formatted("%.1f", y_of(at)); }

  double x_max_, y_min_, y_max_;
  std::string body_;
};

std::string budget_text(double budget) {
  return formatted("%g", std::round(budget * 1000) / 10) + "&nbsp;%";
}

/// The next tenth at or above, so that a diagram is no larger than what it shows.
double tenth_above(double value) {
  return std::max(0.1, std::ceil(value * 10 - 1e-9) / 10);
}
double tenth_below(double value) {
  return std::min(0.0, std::floor(value * 10 + 1e-9) / 10);
}

void percent_ticks(Chart& chart, double low, double high) {
  const double step = high - low > 0.5 ? 0.2 : 0.1;
  for (double at = low; at < high + 1e-9; at += step) {
    chart.y_tick(at, formatted("%.0f %%", at * 100));
  }
}

/// Terms and what they mean; the latter is HTML.
std::string terms(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string text = "<dl>\n";
  for (const auto& [term, meaning] : rows) {
    text += "<dt>" + term + "</dt><dd>" + meaning + "</dd>\n";
  }
  return text + "</dl>\n";
}

std::string section(const std::string& title, const std::string& text, const std::string& chart) {
  return "<section><h2>" + title + "</h2><p>" + text + "</p>\n" + chart + "</section>\n";
}

std::string budget_section(const Simulation& simulation) {
  double widest = 0.1;
  double lowest = 0;
  double highest = 0.1;
  for (const BudgetRow& row : simulation.budgets) {
    widest = std::max(widest, row.waste_ratio);
    lowest = std::min(lowest, row.saved_ratio);
    highest = std::max(highest, row.saved_ratio);
  }
  const auto& oracle = simulation.report.oracle;
  if (oracle) {
    highest = std::max(highest, oracle->saved_ratio());
    lowest = std::min(lowest, oracle->saved_ratio());
  }
  widest = tenth_above(widest);
  Chart chart(widest, tenth_below(lowest), tenth_above(highest));
  percent_ticks(chart, tenth_below(lowest), tenth_above(highest));
  for (double at = 0; at < widest + 1e-9; at += 0.1) {
    chart.x_tick(at, formatted("%.0f %%", at * 100));
  }
  chart.titles("worker time wasted, of useful", "time saved");
  if (oracle) {
    chart.line({{0, oracle->saved_ratio()}, {widest, oracle->saved_ratio()}}, "rule");
    chart.label(widest * 0.4, oracle->saved_ratio(), "", "perfect prediction");
  }
  std::vector<std::pair<double, double>> points;
  for (const BudgetRow& row : simulation.budgets) {
    points.emplace_back(row.waste_ratio, row.saved_ratio);
  }
  chart.line(points, "line a");
  for (const BudgetRow& row : simulation.budgets) {
    chart.dot(row.waste_ratio, row.saved_ratio, 4, "a",
              "budget " + formatted("%.0f %%", row.budget * 100) + ": saved " +
                  html_percent(row.saved_ratio) + ", wasted " + html_percent(row.waste_ratio));
    chart.label_below(row.waste_ratio, row.saved_ratio, "a", budget_text(row.budget));
  }
  std::string table = "<table><tr><th>budget<th>saved<th>wasted</tr>\n";
  for (const BudgetRow& row : simulation.budgets) {
    table += "<tr><td>" + html_percent(row.budget) + "<td>" + html_percent(row.saved_ratio) +
             "<td>" + html_percent(row.waste_ratio) + "</tr>\n";
  }
  return section("Time saved against waste",
                 "Each point is a run of its own; beside it stands the waste budget that it was "
                 "given. More budget lets less likely calls run ahead.",
                 "<div class=\"beside\">" + chart.drawn("time saved against waste") + table +
                     "</table></div>\n");
}

std::string reliability_section(const Accuracy& accuracy) {
  Chart chart(1, 0, 1);
  percent_ticks(chart, 0, 1);
  for (double at = 0; at < 1.01; at += 0.2) {
    chart.x_tick(at, formatted("%.0f %%", at * 100));
  }
  chart.titles("probability stated", "share that came true");
  chart.line({{0, 0}, {1, 1}}, "rule");
  std::vector<std::pair<double, double>> points;
  std::uint64_t most = 1;
  for (const Accuracy::Bin& bin : accuracy.reliability) {
    most = std::max(most, bin.count);
  }
  for (const Accuracy::Bin& bin : accuracy.reliability) {
    if (bin.count > 0) {
      const auto count = static_cast<double>(bin.count);
      points.emplace_back(bin.stated / count, static_cast<double>(bin.came) / count);
      chart.dot(points.back().first, points.back().second,
                2.5 + 5 * std::sqrt(count / static_cast<double>(most)), "b",
                formatted("%.0f predictions stated at ", count) +
                    html_percent(points.back().first) + ": " + html_percent(points.back().second) +
                    " came true");
    }
  }
  chart.line(points, "line b");
  return section(
      "Reliability",
      "Can stated probabilities be believed? On the dashed line, calls stated at 80 % come "
      "in 80 of 100 cases. Below it too much was promised, above it too little. A larger "
      "dot stands for more predictions.",
      chart.drawn("reliability"));
}

std::string sweep_table(const std::vector<SweepRow>& sweep) {
  std::string text = "<table><tr><th>tool : think<th>saved<th>perfect<th>wasted</tr>\n";
  for (const SweepRow& row : sweep) {
    text += "<tr><td>" + ratio_text(row.ratio) + "<td>" + html_percent(row.saved_ratio) + "<td>" +
            html_percent(row.oracle_saved_ratio) + "<td>" + html_percent(row.waste_ratio) +
            "</tr>\n";
  }
  return text + "</table>\n";
}

std::string sweep_section(const Simulation& simulation) {
  double lowest = 0;
  double highest = 0.1;
  for (const SweepRow& row : simulation.sweep) {
    lowest = std::min({lowest, row.saved_ratio, row.oracle_saved_ratio});
    highest = std::max({highest, row.saved_ratio, row.oracle_saved_ratio, row.waste_ratio});
  }
  const auto last = static_cast<double>(simulation.sweep.size() - 1);
  Chart chart(std::max(1.0, last), tenth_below(lowest), tenth_above(highest));
  percent_ticks(chart, tenth_below(lowest), tenth_above(highest));
  std::vector<std::pair<double, double>> saved;
  std::vector<std::pair<double, double>> oracle;
  std::vector<std::pair<double, double>> waste;
  for (std::size_t i = 0; i < simulation.sweep.size(); ++i) {
    const SweepRow& row = simulation.sweep[i];
    const auto at = static_cast<double>(i);
    chart.x_tick(at, ratio_text(row.ratio));
    saved.emplace_back(at, row.saved_ratio);
    oracle.emplace_back(at, row.oracle_saved_ratio);
    waste.emplace_back(at, row.waste_ratio);
  }
  chart.titles("tool time : think time", "");
  const std::pair<const char*, const std::vector<std::pair<double, double>>*> curves[] = {
      {"c", &oracle}, {"a", &saved}, {"b", &waste}};
  for (const auto& [kind, points] : curves) {
    chart.line(*points, ("line " + std::string(kind)).c_str());
    for (const auto& [at, value] : *points) {
      chart.dot(at, value, 3.5, kind, html_percent(value));
    }
  }
  std::vector<std::tuple<double, const char*, const char*>> names = {
      {oracle.back().second, "c", "perfect"},
      {saved.back().second, "a", "saved"},
      {waste.back().second, "b", "wasted"}};
  std::sort(names.begin(), names.end());
  const double apart = (tenth_above(highest) - tenth_below(lowest)) / 18;  // A line of text.
  double free_from = tenth_below(lowest);
  for (const auto& [value, kind, name] : names) {
    free_from = std::max(free_from, value);
    chart.label(last, free_from, kind, name);
    free_from += apart;
  }
  return section(
      "Where it pays",
      "The same sessions with the agent's thinking made longer or shorter. Left, calls are "
      "short against thinking and there is little to hide; right, they are what one "
      "waits for.",
      "<div class=\"beside\">" +
          chart.drawn("saved, perfect and wasted over the ratio of tool to think time") +
          sweep_table(simulation.sweep) + "</div>\n");
}

std::string figures(const Simulation& simulation) {
  const BacktestReport& report = simulation.report;
  const BacktestPass& measured = report.measured;
  const Accuracy& accuracy = measured.accuracy;
  const double steps = std::max<double>(1, static_cast<double>(accuracy.steps));
  std::string saved = "of the time saved";
  if (simulation.saved_ci95) {
    saved += " (95&nbsp;% interval " + html_percent(simulation.saved_ci95->low) + " to " +
             html_percent(simulation.saved_ci95->high) + ")";
  }
  std::string text =
      "<div class=\"figures\">\n" + figure(html_percent(measured.saved_ratio()), saved);
  if (report.oracle) {
    text += figure(html_percent(report.oracle->saved_ratio()),
                   "with perfect prediction: each call foretold as soon as it can be");
  }
  text += figure(html_percent(measured.waste_ratio()),
                 "of useful worker time wasted; " + html_percent(report.budget) + " were allowed");
  text += figure(html_percent(static_cast<double>(accuracy.call_top1) / steps),
                 "of calls foretold exactly, " +
                     html_percent(static_cast<double>(accuracy.call_top3) / steps) +
                     " among three guesses");
  text += figure(formatted("%.3f", accuracy.ece()),
                 "calibration error (0 is best): stated probabilities are off by " +
                     formatted("%.1f", accuracy.ece() * 100) + " points on average");
  return text + "</div>\n";
}

std::string how_measured(const Simulation& simulation, const BacktestSettings& settings) {
  const BacktestPass& measured = simulation.report.measured;
  const bool is_value = settings.admission.policy == AdmissionPolicy::value;
  std::string counted = std::to_string(measured.sessions) + " sessions with " +
                        std::to_string(measured.steps) + " calls";
  if (settings.warm_up > 0 || settings.train_share || !settings.history.empty()) {
    counted += ", those that only taught left out";
  }
  std::string policy =
      "<b>value</b>: a call is run ahead where what it would hide, times its "
      "probability, outweighs what it would waste";
  if (!is_value) {
    policy = "<b>bands</b>: a call is run ahead on any free slot from a probability of " +
             html_percent(settings.admission.start_above) + ", on an idle one from " +
             html_percent(settings.admission.idle_above);
  }
  return "<h2>How it was measured</h2>\n" +
         terms(
             {{"Replayed", escaped(simulation.heading)},
              {"Counted", counted},
              {"Waste budget", html_percent(simulation.report.budget) +
                                   " of the worker time of calls that were asked for: so much "
                                   "may go to calls that were not"},
              {"Policy", policy},
              {"Machine", std::to_string(settings.slots) + " worker slots; chains of at most " +
                              std::to_string(settings.admission.depth_max) + " calls run ahead; " +
                              (settings.concurrency > 1
                                   ? std::to_string(settings.concurrency) + " sessions side by side"
                                   : "sessions one after another")},
              {"Time",
               "virtual: nothing was run. Recorded times count as they are, missing ones "
               "are drawn"},
              {"Seed", std::to_string(settings.seed) +
                           ": it draws missing times and the order of what teaches. Equal files, "
                           "flags and seed give an equal page"}});
}

std::string what_words_mean(const BacktestReport& report) {
  std::vector<std::pair<std::string, std::string>> rows = {
      {"Running ahead",
       "A call is started before the agent asks for it. If the agent asks, the "
       "answer is there sooner; if not, it is thrown away without a trace."},
      {"Time saved",
       "How much sooner all sessions end, against the same machine running nothing "
       "ahead."},
      {"95&nbsp;% interval",
       "Sessions differ. Drawn again and again from these, the saving lies "
       "within it in 95 of 100 draws."},
      {"Perfect prediction",
       "Also called the oracle: the same machine and limits with a predictor "
       "that reads the record. It names each next call as soon as its "
       "arguments can be known, and it has no waste budget as it wastes "
       "nothing. What it saves is about the most that any predictor could."},
      {"Wasted",
       "Worker time of calls that nobody asked for, over that of calls that were asked "
       "for."},
      {"Foretold exactly",
       "The next call, task and all arguments, was the first guess; or among "
       "the first three."},
      {"Calibration error",
       "Also called ECE. Predictions are sorted by their stated probability "
       "into 15 bins; in each the mean that was stated is compared with the "
       "share that came true. The error is the mean difference, each bin "
       "weighed by its predictions."},
      {"Tool and think time",
       "How long calls take, and how long the agent takes from an answer to "
       "its next call."}};
  if (report.is_upper_bound) {
    rows.emplace_back("Upper bound",
                      "Nobody said which tasks only read, so all were run ahead, "
                      "writes too. On a cluster only tasks that read are: tell them "
                      "by --read-only or --catalog, and the saving may be smaller.");
  }
  return "<h2>What the words mean</h2>\n" + terms(rows);
}

}  // namespace

std::string to_html(const Simulation& simulation, const BacktestSettings& settings) {
  const BacktestReport& report = simulation.report;
  const BacktestPass& measured = report.measured;
  std::string page =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<title>What running ahead saves</title>\n<style>" +
      std::string(style) + "</style></head><body>\n<h1>What running ahead saves</h1>\n<p>" +
      std::to_string(measured.sessions) + " recorded sessions take " +
      formatted("%.1f s", static_cast<double>(measured.serial.count()) / 1e6) +
      " one call after another, and " +
      formatted("%.1f s", static_cast<double>(measured.actual.count()) / 1e6) +
      " where likely calls are run ahead of being asked for.</p>\n";
  if (report.is_upper_bound) {
    page += "<p class=\"note\">Upper bound: every task was taken as one that only reads.</p>\n";
  }
  page += figures(simulation) + "<div class=\"curves\">\n";
  if (!simulation.budgets.empty()) {
    page += budget_section(simulation);
  }
  page += reliability_section(measured.accuracy);
  if (!simulation.sweep.empty()) {
    page += sweep_section(simulation);
  }
  return page + "</div>\n" + how_measured(simulation, settings) + what_words_mean(report) +
         "</body></html>\n";
}

}  // namespace forerun
