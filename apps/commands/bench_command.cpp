#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "apps/bench/bench.hpp"
#include "apps/bench/cancel_bench.hpp"
#include "apps/commands/commands.hpp"

namespace forerun {
namespace {

struct BenchFlags {
  BenchSettings bench;
  CancelBenchSettings cancel;
  CLI::App* cancel_command = nullptr;
  std::string output = "table";
};

constexpr std::size_t in_flight_max = 1024;  ///< Slots of one worker.
constexpr std::size_t size_max = 1U << 16U;
constexpr std::size_t count_max = 1'000'000;

void add_cancel(CLI::App& bench, const std::shared_ptr<BenchFlags>& s) {
  s->cancel_command = bench.add_subcommand(
      "cancel", "Measure how long a slot stays taken after its branch is cancelled");
  s->cancel_command->fallthrough();
  s->cancel_command->add_option("--count", s->cancel.count, "Cancellations of each kind")
      ->check(CLI::Range(std::size_t{1}, count_max))
      ->capture_default_str();
  s->cancel_command->add_option("--in-flight", s->cancel.in_flight, "Branches side by side")
      ->check(CLI::Range(std::size_t{1}, std::size_t{64}))
      ->capture_default_str();
}

}  // namespace

void add_bench(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<BenchFlags>();
  CLI::App& command =
      add_command(app, "bench", "Measure what a step costs, on a cluster of its own", chosen, [s] {
        if (s->cancel_command->parsed()) {
          s->cancel.is_json = s->output == "json";
          return report(run_cancel_bench(s->cancel, std::cout, std::cerr));
        }
        s->bench.binary = own_binary();
        s->bench.is_json = s->output == "json";
        return report(run_bench(s->bench, std::cout, std::cerr));
      });
  command.add_option("--seconds", s->bench.seconds, "For each thing that is measured")
      ->check(number_within(0.1, 60))
      ->capture_default_str();
  command.add_option("--in-flight", s->bench.in_flight, "Steps side by side")
      ->check(CLI::Range(std::size_t{1}, in_flight_max))
      ->capture_default_str();
  command
      .add_option("--saturated", s->bench.saturated,
                  "Steps side by side where neither side is to wait for the other")
      ->check(CLI::Range(std::size_t{1}, in_flight_max))
      ->capture_default_str();
  command.add_option("--size", s->bench.size, "Bytes of the frame that brings a step to a node")
      ->check(CLI::Range(std::size_t{1}, size_max))
      ->capture_default_str();
  command
      .add_option("--only", s->bench.only,
                  "One part alone, as for a profiler: step, durable, three_nodes, saturated, "
                  "predicting, hit, "
                  "http, confirmed_first, hedging or memory")
      ->check(CLI::IsMember(std::vector<std::string>(bench_parts.begin(), bench_parts.end())));
  command.add_flag("--check", s->bench.check, "Only show that it cannot flatter itself");
  command.add_option("--output", s->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  add_cancel(command, s);
  bind_environment(command);
}

/// Started by `forerun bench` alone.
void add_bench_peer(CLI::App& app, Action& chosen) {
  const auto bytes = std::make_shared<std::size_t>(0);
  CLI::App& command = add_command(app, "bench-peer", "The raw round trip's other end", chosen,
                                  [bytes] { return report(run_bench_peer(*bytes)); });
  command.add_option("--reply-bytes", *bytes, "Of each reply")->required();
  command.group("");
}

}  // namespace forerun
