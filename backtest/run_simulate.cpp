#include "backtest/run_simulate.hpp"

#include <cstdio>
#include <fstream>
#include <ostream>

#include "backtest/html_page.hpp"
#include "backtest/simulation.hpp"
#include "backtest/simulation_input.hpp"
#include "base/formatted.hpp"
#include "files/costs_file.hpp"

namespace forerun {
namespace {

/// Replaces `model` where the flag is given.
Result<void> take_model(const char* flag, const std::string& text, const char* member,
                        TimeModel& model) {
  if (text.empty()) {
    return {};
  }
  auto parsed = TimeModel::parse(text, member);
  if (!parsed) {
    return fail(parsed.error().code, std::string(flag) + ": " + parsed.error().message);
  }
  model = std::move(*parsed);
  return {};
}

Result<TimeModels> models_of(const SimulateSettings& settings) {
  TimeModels models;
  if (auto taken = take_model("--think-ms", settings.think, "think_s", models.think); !taken) {
    return tl::unexpected(taken.error());
  }
  if (auto taken = take_model("--tool-ms", settings.tool, "tool_s", models.latency); !taken) {
    return tl::unexpected(taken.error());
  }
  return models;
}

Result<void> check_ranges(const SimulateSettings& settings) {
  const auto out_of = [](const char* flag, const std::string& found, const std::string& range) {
    return fail(Errc::invalid, std::string(flag) + ": " + found + ", expected " + range);
  };
  if (settings.slots < 1 || settings.slots > simulate_slots_max) {
    return out_of("--slots", std::to_string(settings.slots),
                  "1 to " + std::to_string(simulate_slots_max));
  }
  if (settings.concurrency < 1 || settings.concurrency > simulate_concurrency_max) {
    return out_of("--concurrency", std::to_string(settings.concurrency),
                  "1 to " + std::to_string(simulate_concurrency_max));
  }
  if (settings.depth < 1 || settings.depth > simulate_depth_max) {
    return out_of("--depth", std::to_string(settings.depth),
                  "1 to " + std::to_string(simulate_depth_max));
  }
  if (!(settings.budget >= 0 && settings.budget <= 1)) {
    return out_of("--budget", std::to_string(settings.budget), "0 to 1");
  }
  if (!(settings.control_share >= 0 && settings.control_share <= 1)) {
    return out_of("--control-share", std::to_string(settings.control_share), "0 to 1");
  }
  if (settings.train_share && !(*settings.train_share >= 0 && *settings.train_share <= 1)) {
    return out_of("--train-share", std::to_string(*settings.train_share), "0 to 1");
  }
  if (settings.policy != "value" && settings.policy != "bands") {
    return out_of("--policy", "\"" + settings.policy + "\"", "value or bands");
  }
  return {};
}

Result<BacktestSettings> backtest_settings(const SimulateSettings& settings) {
  BacktestSettings backtest;
  backtest.admission.policy =
      settings.policy == "bands" ? AdmissionPolicy::bands : AdmissionPolicy::value;
  backtest.admission.depth_max = settings.depth;
  backtest.admission.waste_ratio_max = settings.budget;
  backtest.usefulness.control_share = settings.control_share;
  backtest.slots = settings.slots;
  backtest.concurrency = settings.concurrency;
  backtest.warm_up = settings.warm_up;
  backtest.train_share = settings.train_share;
  backtest.model_steps = settings.model_steps;
  backtest.seed = settings.seed;
  backtest.runs_oracle = settings.has_oracle;
  if (!settings.costs.empty()) {
    const auto costs = read_costs(settings.costs);
    if (!costs) {
      return tl::unexpected(costs.error());
    }
    backtest.costs = {costs->dispatch, costs->hit, costs->kill};
    backtest.admission.hit_cost = costs->hit;
    backtest.admission.kill_cost = costs->kill;
  }
  return backtest;
}

std::string plan_of(const SimulateSettings& settings, std::size_t history) {
  std::string text;
  if (history > 0) {
    text += "; learned first from " + std::to_string(history) + " sessions of " +
            settings.train.filename().string();
  }
  if (settings.train_share) {
    char share[32];
    std::snprintf(share, sizeof share, "%g", *settings.train_share);
    text += "; learned first from the groups below " + std::string(share) +
            ", measured on the rest without learning";
  }
  if (settings.warm_up > 0) {
    text += "; the first " + std::to_string(settings.warm_up) + " sessions only teach";
  }
  if (settings.control_share > 0) {
    text += "; a control share of " + formatted("%g", settings.control_share) +
            " of the sessions runs nothing ahead";
  }
  if (settings.concurrency > 1) {
    text += "; " + std::to_string(settings.concurrency) + " sessions side by side on " +
            std::to_string(settings.slots) + " slots";
  }
  text += settings.model_steps ? "; the agent's thinking is a task too" : "";
  return text;
}

std::filesystem::path part_of(std::filesystem::path file) {
  return file += ".part";
}

/// The runs for a page take long: where it cannot be written is said before them.
Result<void> check_place(const std::filesystem::path& file) {
  const bool is_open = std::ofstream(part_of(file), std::ios::binary).is_open();
  std::error_code ignored;
  std::filesystem::remove(part_of(file), ignored);
  return is_open && !std::filesystem::is_directory(file, ignored)
             ? Result<void>()
             : fail(Errc::io, file.string() + ": cannot be written");
}

/// Whole or not at all: written beside and renamed.
Result<void> write_page(const std::filesystem::path& file, const std::string& page) {
  const std::filesystem::path part = part_of(file);
  std::ofstream out(part, std::ios::binary);
  out << page;
  out.close();
  std::error_code problem;
  if (out) {
    std::filesystem::rename(part, file, problem);
    if (!problem) {
      return {};
    }
  }
  std::filesystem::remove(part, problem);
  return fail(Errc::io, file.string() + ": cannot be written");
}

}  // namespace

Result<void> run_simulate(const SimulateSettings& settings, std::ostream& out,
                          std::ostream& progress) {
  if (auto checked = check_ranges(settings); !checked) {
    return checked;
  }
  auto backtest = backtest_settings(settings);
  const auto format = parse_session_format(settings.format);
  auto models = models_of(settings);
  if (!backtest || !format || !models) {
    return tl::unexpected(!backtest ? backtest.error() : !format ? format.error() : models.error());
  }
  SimulationSource source{settings.traces,  *format, settings.train, settings.read_only,
                          settings.catalog, *models, settings.seed};
  auto input = read_simulation_input(source);
  if (!input) {
    return tl::unexpected(input.error());
  }
  backtest->times = std::move(*models);
  backtest->read_only = std::move(input->read_only);
  backtest->is_upper_bound = input->is_upper_bound;
  backtest->declared = std::move(input->declared);
  input->heading += plan_of(settings, input->history.size());
  backtest->history = std::move(input->history);
  const bool has_page = !settings.html.empty();
  if (auto place = has_page ? check_place(settings.html) : Result<void>(); !place) {
    return place;
  }
  auto simulation = simulate(input->sessions, *backtest, {settings.sweep || has_page, has_page},
                             [&progress](const std::string& line) {
                               progress << "forerun simulate: " << line << std::endl;
                             });
  if (!simulation) {
    return tl::unexpected(simulation.error());
  }
  simulation->heading = std::move(input->heading);
  if (has_page) {
    if (auto written = write_page(settings.html, to_html(*simulation, *backtest)); !written) {
      return written;
    }
  }
  out << (settings.is_json ? json::canonical(to_json(*simulation)) + "\n" : to_table(*simulation));
  return {};
}

}  // namespace forerun
