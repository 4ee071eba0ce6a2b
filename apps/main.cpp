#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <string>

#include "apps/coordinator_process.hpp"
#include "apps/dev.hpp"
#include "apps/ledger_commands.hpp"
#include "apps/node_process.hpp"
#include "apps/process.hpp"
#include "apps/selftest.hpp"
#include "cluster/keys.hpp"
#include "demo/http_client.hpp"
#include "demo/run_demo.hpp"
#include "version.hpp"

namespace forerun {
namespace {

std::filesystem::path own_binary() { return std::filesystem::read_symlink("/proc/self/exe"); }

int report(const Result<int>& result) {
  if (result) {
    return *result;
  }
  std::cerr << "forerun: " << result.error().message << '\n';
  return exit_code_of(result.error());
}

int report(const Result<void>& result) {
  return report(result ? Result<int>(exit_ok) : Result<int>(tl::unexpected<Error>(result.error())));
}

/// Every flag is also an environment variable and, through --config, a TOML key in its command's table: --publish-port,
/// FORERUN_PUBLISH_PORT, publish-port.
void bind_environment(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    const auto& names = option->get_lnames();
    if (names.empty() || names.front() == "help" || names.front() == "config") {
      continue;
    }
    std::string variable = "FORERUN_" + names.front();
    std::transform(variable.begin(), variable.end(), variable.begin(), [](unsigned char c) {
      return c == '-' ? '_' : static_cast<char>(std::toupper(c));
    });
    option->envname(variable);
  }
}

using Action = std::function<int()>;

CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& description, Action& chosen,
                      Action action) {
  CLI::App* command = app.add_subcommand(name, description);
  command->callback([&chosen, action = std::move(action)] { chosen = action; });
  command->fallthrough(); // So that --config may stand behind the command's name.
  return *command;
}

struct Settings {
  CoordinatorProcessSettings coordinator;
  NodeProcessSettings node;
  DemoSettings demo;
  DevSettings dev;
  std::filesystem::path data = "forerun-data";
  std::filesystem::path folder;
  std::string name;
  std::string url = "http://127.0.0.1:7480";
  std::string output = "table";
  std::uint64_t seq = 0;
  double bucket_s = 300;
};

void add_coordinator(CLI::App& app, Settings& s, Action& chosen) {
  CLI::App& command = add_command(app, "coordinator", "Run a coordinator", chosen, [&s] {
    s.coordinator.admission.bucket_max = Duration(static_cast<std::int64_t>(s.bucket_s * 1e6));
    return report(run_coordinator(s.coordinator));
  });
  AdmissionSettings& admission = s.coordinator.admission;
  command.add_option("--data", s.coordinator.data, "Data directory: ledger, keys; one owner")->capture_default_str();
  command.add_option("--catalog", s.coordinator.catalog, "Tasks, races and pools (docs/catalog.md)")->required();
  command.add_option("--listen", s.coordinator.listen, "HOST:PORT for nodes")->capture_default_str();
  command.add_option("--publish-port", s.coordinator.publish_port, "Port of the ledger's publication; 0: any");
  command.add_option("--http", s.coordinator.http, "HOST:PORT for clients")->capture_default_str();
  command.add_option("--start-above", admission.start_above, "Speculate at this confidence")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  command.add_option("--idle-above", admission.idle_above, "Speculate at this confidence on idle slots")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  command.add_option("--waste-max", admission.waste_ratio_max, "Waste, of committed slot time")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  command.add_option("--waste-bucket-s", s.bucket_s, "Size of the waste budget, in seconds of slot time")
      ->check(CLI::Range(0.0, 86'400.0))->capture_default_str();
  command.add_option("--depth-max", admission.depth_max, "How many calls ahead")
      ->check(CLI::Range(1, 16))->capture_default_str();
  command.add_option("--plant", s.coordinator.plant, "A bug, to see that it is caught")
      ->check(CLI::IsMember({"skip-hazards"}));
  bind_environment(command);
}

void add_node(CLI::App& app, Settings& s, Action& chosen) {
  CLI::App& command = add_command(app, "node", "Run a node that hosts workers", chosen, [&s] {
    return report(run_node(s.node));
  });
  command.add_option("--join", s.node.join, "HOST:PORT of the coordinator")->required();
  command.add_option("--token", s.node.token, "The line that `forerun keys add` printed; kept after the first start");
  command.add_option("--token-file", s.node.token_file, "The same from a file");
  command.add_option("--data", s.node.data, "Data directory: UUIDs, replica; one owner")->capture_default_str();
  command.add_option("--name", s.node.name, "For people")->capture_default_str();
  command.add_option("--workers", s.node.workers, "Workers to make at the first start")
      ->check(CLI::Range(1, 256))->capture_default_str();
  command.add_option("--worker", s.node.worker_uuids, "UUID of a worker, instead of a made one");
  command.add_option("--slots", s.node.slots, "Branches that a worker runs at once")
      ->check(CLI::Range(1, 1024))->capture_default_str();
  command.add_option("--tasks-dir", s.node.tasks_dir, "Where `exec` commands run")->check(CLI::ExistingDirectory);
  command.add_option("--world", s.node.world, "Recorded sessions that answer `world` tasks")->check(CLI::ExistingFile);
  command.add_option("--read-only", s.node.read_only, "FILE or PATTERN: tasks of the world that only read");
  command.add_option("--seed", s.node.seed, "Of modelled latencies")->capture_default_str();
  command.add_option("--speedup", s.node.speedup, "Divides the world's latencies")->check(CLI::PositiveNumber);
  command.add_option("--demo-store", s.node.demo_store, "Offer the demo's functions, with their store in this folder");
  command.add_flag("--resync", s.node.resync, "Put the replica aside and fetch the ledger anew");
  bind_environment(command);
}

void add_demo(CLI::App& app, Settings& s, Action& chosen) {
  CLI::App& command = add_command(app, "demo", "Show what running ahead saves, on a cluster of its own", chosen, [&s] {
    s.demo.binary = own_binary();
    s.demo.is_json = s.output == "json";
    return run_demo(s.demo, std::cout, std::cerr);
  });
  command.add_option("--traces", s.demo.traces, "Recorded sessions, instead of the demo's own")->check(CLI::ExistingFile);
  command.add_option("--read-only", s.demo.read_only, "FILE or PATTERN: tasks that only read");
  command.add_option("--speedup", s.demo.speedup, "Divides think and task times")
      ->check(CLI::PositiveNumber)->capture_default_str();
  command.add_option("--sessions", s.demo.sessions, "How many; 0: a default")->capture_default_str();
  command.add_option("--nodes", s.demo.nodes, "Nodes of each cluster")->capture_default_str();
  command.add_option("--slots", s.demo.slots, "Slots of each node")->capture_default_str();
  command.add_option("--concurrency", s.demo.concurrency, "Sessions side by side")->capture_default_str();
  command.add_option("--seed", s.demo.seed, "Of the workload, UUIDs and modelled times")->capture_default_str();
  command.add_option("--export", s.demo.export_folder, "Leave the ledger's export here");
  command.add_option("--plant", s.demo.plant, "A bug, to see that it is caught")->check(CLI::IsMember({"skip-hazards"}));
  command.add_option("--output", s.output, "table or json")->check(CLI::IsMember({"table", "json"}));
  bind_environment(command);
}

void add_dev(CLI::App& app, Settings& s, Action& chosen) {
  CLI::App& command = add_command(app, "dev", "A coordinator and a node on this machine, for trying a catalog", chosen,
                                  [&s] {
                                    s.dev.binary = own_binary();
                                    return report(run_dev(s.dev));
                                  });
  command.add_option("catalog", s.dev.catalog, "catalog.toml")->required()->check(CLI::ExistingFile);
  command.add_option("--data", s.dev.data, "Keep the data here between runs");
  command.add_option("--slots", s.dev.slots, "Branches at once")->check(CLI::Range(1, 1024))->capture_default_str();
  bind_environment(command);
}

int list_keys(const std::filesystem::path& data) {
  const auto keys = KeyFolder::open_or_create(data);
  const auto allowed = keys ? keys->allowed() : Result<std::vector<AllowedPeer>>(tl::unexpected<Error>(keys.error()));
  if (!allowed) {
    return report(Result<void>(tl::unexpected<Error>(allowed.error())));
  }
  for (const AllowedPeer& peer : *allowed) {
    std::cout << fingerprint(peer.public_key).name << "  " << peer.name << '\n';
  }
  return exit_ok;
}

int add_key(const Settings& s) {
  auto keys = KeyFolder::open_or_create(s.data);
  const auto token = keys ? keys->add(s.name) : Result<JoinToken>(tl::unexpected<Error>(keys.error()));
  if (!token) {
    return report(Result<void>(tl::unexpected<Error>(token.error())));
  }
  std::cout << token->text() << '\n';
  std::cerr << "This line is the node's secret. On its machine: forerun node --join HOST:PORT --name " << s.name
            << " --token LINE\n";
  return exit_ok;
}

int revoke_key(const Settings& s) {
  auto keys = KeyFolder::open_or_create(s.data);
  return report(keys ? keys->revoke(s.name) : Result<void>(tl::unexpected<Error>(keys.error())));
}

void add_keys(CLI::App& app, Settings& s, Action& chosen) {
  CLI::App* keys = app.add_subcommand("keys", "Make, list and revoke the keys that nodes join with");
  keys->require_subcommand(1);
  CLI::App& add = add_command(*keys, "add", "Make a key; prints the token that lets a node join", chosen,
                              [&s] { return add_key(s); });
  add.add_option("name", s.name, "The node's name: [a-z0-9-], up to 63")->required();
  CLI::App& list = add_command(*keys, "list", "List allowed nodes", chosen, [&s] { return list_keys(s.data); });
  CLI::App& revoke = add_command(*keys, "revoke", "Shut a node out, within a second", chosen,
                                 [&s] { return revoke_key(s); });
  revoke.add_option("name", s.name, "The node's name")->required();
  for (CLI::App* command : {&add, &list, &revoke}) {
    command->add_option("--data", s.data, "The coordinator's data directory")->capture_default_str();
    bind_environment(*command);
  }
}

void add_ledger(CLI::App& app, Settings& s, Action& chosen) {
  CLI::App* ledger = app.add_subcommand("ledger", "Export and prove decisions (docs/ledger.md)");
  ledger->require_subcommand(1);
  CLI::App& dump = add_command(*ledger, "export", "Write the ledger for an auditor", chosen,
                               [&s] { return report(ledger_export(s.data, s.folder, std::cout)); });
  dump.add_option("folder", s.folder, "A new folder")->required();
  CLI::App& head = add_command(*ledger, "head", "Print the signed head", chosen,
                               [&s] { return report(ledger_head(s.data, std::cout)); });
  CLI::App& prove = add_command(*ledger, "prove", "Print an entry and the proof that it is in the ledger", chosen,
                                [&s] { return report(ledger_prove(s.data, s.seq, std::cout)); });
  prove.add_option("seq", s.seq, "The entry's number")->required();
  for (CLI::App* command : {&dump, &head, &prove}) {
    command->add_option("--data", s.data, "The coordinator's data directory")->capture_default_str();
    command->add_option("--output", s.output, "json, the only form")->check(CLI::IsMember({"json"}));
    bind_environment(*command);
  }
}

int show_status(const Settings& s) {
  HttpClient client(s.url);
  const auto answer = client.get("/v1/status");
  if (!answer) {
    return report(Result<void>(tl::unexpected<Error>(answer.error())));
  }
  if (answer->status != 200) {
    std::cerr << "forerun: " << s.url << ": status " << answer->status << '\n';
    return exit_error;
  }
  std::cout << json::canonical(answer->body) << '\n';
  return exit_ok;
}

int run(int argc, char** argv) {
  CLI::App app("Runs the tasks of AI workflows before anyone asks for them.", "forerun");
  app.set_version_flag("--version", program_version);
  app.require_subcommand(1);
  app.set_config("--config", "", "A TOML file: a table for each command, flags as keys")->check(CLI::ExistingFile);
  app.allow_config_extras(CLI::config_extras_mode::error);
  Settings settings;
  Action chosen;
  std::filesystem::path vectors;
  add_demo(app, settings, chosen);
  add_dev(app, settings, chosen);
  add_coordinator(app, settings, chosen);
  add_node(app, settings, chosen);
  add_keys(app, settings, chosen);
  add_ledger(app, settings, chosen);
  CLI::App& status = add_command(app, "status", "Print a coordinator's status", chosen,
                                 [&settings] { return show_status(settings); });
  status.add_option("--url", settings.url, "The coordinator's HTTP address")->capture_default_str();
  status.add_option("--output", settings.output, "json, the only form")->check(CLI::IsMember({"json"}));
  bind_environment(status);
  CLI::App& check = add_command(app, "selftest", "Check golden vectors of the byte formats", chosen,
                                [&vectors] { return selftest(vectors, std::cout, std::cerr); });
  check.add_option("--vectors", vectors, "A folder of golden vectors")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem) == 0 ? exit_ok : exit_usage;
  }
  return chosen ? chosen() : exit_usage;
}

} // namespace
} // namespace forerun

int main(int argc, char** argv) { return forerun::run(argc, argv); }
