#include <iostream>
#include <memory>

#include "apps/commands/commands.hpp"
#include "backtest/run_simulate.hpp"

namespace forerun {
namespace {

struct Settings {
  SimulateSettings simulate;
  bool has_no_oracle = false;
  std::string output = "text";
};

}  // namespace

void add_simulate(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<Settings>();
  CLI::App& command = add_command(
      app, "simulate", "Say what running ahead would save on recorded sessions", chosen, [s] {
        s->simulate.has_oracle = !s->has_no_oracle;
        s->simulate.is_json = s->output == "json";
        return report(run_simulate(s->simulate, std::cout, std::cerr));
      });
  SimulateSettings& simulate = s->simulate;
  command
      .add_option("traces", simulate.traces,
                  "Files of sessions; a folder is what `forerun ledger export` wrote")
      ->required()
      ->check(existing_path());
  command.add_option("--format", simulate.format, "traces, openai-messages or otel-genai")
      ->check(CLI::IsMember({"traces", "openai-messages", "otel-genai"}))
      ->capture_default_str();
  command.add_option("--train", simulate.train, "Sessions to learn from first")
      ->check(existing_path());
  command.add_option("--train-share", simulate.train_share,
                     "Learn from the groups below this share, measure the rest without learning");
  command.add_option("--warm-up", simulate.warm_up, "The first so many sessions only teach")
      ->capture_default_str();
  command.add_option("--policy", simulate.policy, "value or bands")
      ->check(CLI::IsMember({"value", "bands"}))
      ->capture_default_str();
  command.add_option("--slots", simulate.slots, "Worker slots")->capture_default_str();
  command.add_option("--concurrency", simulate.concurrency, "Sessions side by side on these slots")
      ->capture_default_str();
  command.add_option("--depth", simulate.depth, "Longest chain of guesses")->capture_default_str();
  command.add_option("--budget", simulate.budget, "Waste at most, of useful worker time")
      ->capture_default_str();
  command
      .add_option("--control-share", simulate.control_share,
                  "Share of sessions that run nothing ahead, as a live cluster keeps one; needed "
                  "for tasks to be turned off")
      ->capture_default_str();
  command.add_flag("--model-steps", simulate.model_steps,
                   "The agent's thinking is a task too and may run ahead");
  command.add_option("--think-ms", simulate.think,
                     "Of sessions without: lognormal:MEDIAN_MS:SIGMA, constant:MS or "
                     "quantiles:FILE#PROFILE");
  command.add_option("--tool-ms", simulate.tool, "As --think-ms, of the calls");
  command.add_option("--read-only", simulate.read_only, "FILE or PATTERN: tasks that only read");
  command
      .add_option("--catalog", simulate.catalog,
                  "What a catalog.toml says of the tasks: what follows, descriptions, and without "
                  "--read-only which only read")
      ->check(existing_file());
  command.add_option("--costs", simulate.costs, "TOML or JSON: dispatch_us, hit_us, kill_us")
      ->check(existing_file());
  command.add_flag("--no-oracle", s->has_no_oracle,
                   "Leave out the run with perfect prediction (a sweep has it)");
  command.add_flag("--sweep", simulate.sweep, "Also over the ratio of tool to think time");
  command.add_option("--html", simulate.html, "Write the curves as one page, sweep included");
  command.add_option("--seed", simulate.seed, "Of modelled times")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--output", s->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  bind_environment(command);
}

}  // namespace forerun
