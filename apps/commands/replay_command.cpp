#include <iostream>
#include <memory>

#include "apps/commands/commands.hpp"
#include "replay/run_replay.hpp"

namespace forerun {
namespace {

struct ReplayFlags {
  ReplayCommandSettings replay;
  std::string speculation = "on";
  std::string plant;
  std::string output = "json";
};

}  // namespace

void add_replay(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<ReplayFlags>();
  CLI::App& command = add_command(
      app, "replay", "Run exported sessions again and compare every decision", chosen, [s] {
        s->replay.binary = own_binary();
        s->replay.is_speculating = s->speculation == "on";
        s->replay.plants_wrong_output = !s->plant.empty();
        s->replay.is_json = s->output == "json";
        return run_replay(s->replay, std::cout, std::cerr);
      });
  ReplayCommandSettings& replay = s->replay;
  command.add_option("export", replay.export_folder, "A folder that `forerun ledger export` wrote")
      ->required();
  command
      .add_option("--tasks-dir", replay.tasks_dir,
                  "Where `exec` commands run; without it none is run again")
      ->check(existing_folder());
  command.add_option("--catalog", replay.catalog, "Instead of the export's own")
      ->check(existing_file());
  command.add_option("--session", replay.session, "A run ID: this session alone, with its story");
  command.add_option("--nodes", replay.nodes, "Nodes of the cluster")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--workers", replay.workers, "Workers of each node")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--slots", replay.slots, "Slots of each worker")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--speculation", s->speculation, "on or off")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  command.add_option("--concurrency", replay.concurrency, "Sessions side by side")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command
      .add_option("--speedup", replay.speedup, "Divides recorded latencies; 0: none is waited for")
      ->check(number_within(0, 1e6))
      ->capture_default_str();
  command.add_option("--plant", s->plant, "A bug, to see that it is caught")
      ->check(CLI::IsMember({"wrong-output"}));
  command.add_option("--output", s->output, "json or table")
      ->check(CLI::IsMember({"json", "table"}));
  bind_environment(command);
}

}  // namespace forerun
