#include "apps/commands/commands.hpp"

#include <iostream>
#include <memory>

#include "demo/run_demo.hpp"

namespace forerun {
namespace {

struct DemoFlags {
  DemoSettings demo;
  std::string output = "table";
};

}  // namespace

void add_demo(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<DemoFlags>();
  CLI::App& command = add_command(
      app, "demo", "Show what running ahead saves, on a cluster of its own", chosen, [s] {
        s->demo.binary = own_binary();
        s->demo.is_json = s->output == "json";
        return run_demo(s->demo, std::cout, std::cerr);
      });
  command.add_option("--traces", s->demo.traces, "Recorded sessions, instead of the demo's own")
      ->check(existing_file());
  command.add_option("--read-only", s->demo.read_only, "FILE or PATTERN: tasks that only read");
  command.add_option("--speedup", s->demo.speedup, "Divides think and task times")
      ->check(number_within(0, 1e6, true))
      ->capture_default_str();
  command.add_option("--sessions", s->demo.sessions, "How many; 0: a default")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--nodes", s->demo.nodes, "Nodes of each cluster")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--slots", s->demo.slots, "Slots of each node")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--concurrency", s->demo.concurrency, "Sessions side by side")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--seed", s->demo.seed, "Of the workload, UUIDs and modelled times")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--export", s->demo.export_folder, "Leave the ledger's export here");
  command.add_option("--plant", s->demo.plant, "A bug, to see that it is caught")
      ->check(CLI::IsMember({"skip-hazards"}));
  command.add_option("--output", s->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  bind_environment(command);
}

}  // namespace forerun
