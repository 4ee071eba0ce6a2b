#include "apps/commands/commands.hpp"

#include <memory>

#include "apps/dev.hpp"

namespace forerun {

void add_dev(CLI::App& app, Action& chosen) {
  const auto s = std::make_shared<DevSettings>();
  CLI::App& command = add_command(
      app, "dev", "A coordinator and a node on this machine, for trying a catalog", chosen, [s] {
        s->binary = own_binary();
        return report(run_dev(*s));
      });
  command.add_option("catalog", s->catalog, "catalog.toml")->required()->check(existing_file());
  command.add_option("--data", s->data, "Keep the data here between runs");
  command.add_option("--slots", s->slots, "Branches at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--output", s->output, "text, or json: where it is, for programs")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  bind_environment(command);
}

}  // namespace forerun
