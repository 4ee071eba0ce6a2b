#include "apps/commands/commands.hpp"

#include <memory>

#include "apps/node_process.hpp"

namespace forerun {

void add_node(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<NodeProcessSettings>();
  CLI::App& command = add_command(app, "node", "Run a node that hosts workers", chosen,
                                  [s] { return report(run_node(*s)); });
  command.add_option("--join", s->join, "HOST:PORT of the coordinator")->required();
  command.add_option("--token", s->token,
                     "The line that `forerun keys add` printed; kept after the first start");
  command.add_option("--token-file", s->token_file, "The same from a file");
  command.add_option("--data", s->data, "Data directory: UUIDs, replica; one owner")
      ->capture_default_str();
  command.add_option("--name", s->name, "For people")->capture_default_str();
  command.add_option("--workers", s->workers, "Workers to make at the first start")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_option("--worker", s->worker_uuids, "UUID of a worker, instead of a made one");
  command.add_option("--slots", s->slots, "Branches that a worker runs at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--tasks-dir", s->tasks_dir, "Where `exec` commands run")
      ->check(existing_folder());
  command
      .add_option("--replay", s->replay,
                  "An export: run deterministic pure tasks, answer all else as it records")
      ->check(existing_folder());
  command.add_option("--plant-wrong-output", s->plant_wrong_output,
                     "At replay: a task that answers differently");
  command.add_option("--world", s->world, "Recorded sessions that answer `world` tasks")
      ->check(existing_file());
  command.add_option("--read-only", s->read_only,
                     "FILE or PATTERN: tasks of the world that only read");
  command.add_option("--seed", s->seed, "Of modelled latencies")->capture_default_str();
  command.add_option("--speedup", s->speedup, "Divides the world's latencies; at replay 0: none")
      ->check(number_within(0, 1e6));
  command.add_option("--demo-store", s->demo_store,
                     "Offer the demo's functions, with their store in this folder");
  command.add_flag("--resync", s->resync, "Put the replica aside and fetch the ledger anew");
  bind_environment(command);
}

}  // namespace forerun
