#include "apps/commands/commands.hpp"

#include <cstdlib>
#include <memory>
#include <utility>

#include "apps/native_node.hpp"
#include "apps/node_process.hpp"
#include "version.hpp"

namespace forerun {
namespace {

/// Told by a flag of its own: CLI11 would repeat an unknown one's value, a secret.
void refuse_token_flag(CLI::App& command) {
  command
      .add_option_function<std::string>(
          "--token", [](const std::string&) {}, "")
      ->group("")
      ->check(CLI::Validator(
          [](const std::string&) {
            return std::string(
                "every user of a machine sees its processes' arguments, expected --token-file FILE "
                "or FORERUN_TOKEN in the environment (and a new token, if others may have seen "
                "this "
                "one: forerun keys renew NAME)");
          },
          ""));
}

std::shared_ptr<NodeProcessSettings> add_node_flags(CLI::App& command) {
  const auto s = std::make_shared<NodeProcessSettings>();
  command.add_option("--join", s->join, "HOST:PORT of the coordinator")->required();
  command.add_option("--token-file", s->token_file,
                     "The line that `forerun keys add` printed; kept after the first start");
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
  command.add_option("--seed", s->seed, "Of modelled latencies")
      ->check(number_within(0, whole_number_max))
      ->capture_default_str();
  command.add_option("--speedup", s->speedup, "Divides the world's latencies; at replay 0: none")
      ->check(number_within(0, 1e6));
  command.add_option("--demo-store", s->demo_store,
                     "Offer the demo's functions, with their store in this folder");
  command.add_flag("--resync", s->resync, "Put the replica aside and fetch the ledger anew");
  bind_environment(command);
  refuse_token_flag(command);
  if (const char* const token = std::getenv("FORERUN_TOKEN")) {
    s->token = token;
  }
  return s;
}

}  // namespace

void add_node(CLI::App& app, Action& chosen) {
  const auto settings = std::make_shared<std::shared_ptr<NodeProcessSettings>>();
  *settings = add_node_flags(add_command(app, "node", "Run a node that hosts workers", chosen,
                                         [settings] { return report(run_node(**settings)); }));
}

int native_node_main(int argc, char** argv, NativeFunctions functions) {
  CLI::App app("Runs a node of a Forerun cluster that hosts workers, with functions of its own.");
  app.set_version_flag("--version", program_version);
  app.set_config("--config", "", "A TOML file with flags as keys")->check(CLI::ExistingFile);
  app.allow_config_extras(CLI::config_extras_mode::error);
  const auto settings = add_node_flags(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem) == 0 ? exit_ok : exit_usage;
  }
  return report(run_node(*settings, std::move(functions)));
}

}  // namespace forerun
