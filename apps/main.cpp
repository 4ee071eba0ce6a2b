#include "apps/commands/commands.hpp"
#include "version.hpp"

namespace forerun {
namespace {

int run(int argc, char** argv) {
  CLI::App app("Runs the tasks of AI workflows before anyone asks for them.", "forerun");
  app.set_version_flag("--version", program_version);
  app.require_subcommand(1);
  app.set_config("--config", "", "A TOML file: a table for each command, flags as keys")
      ->check(CLI::ExistingFile);
  app.allow_config_extras(CLI::config_extras_mode::error);
  Action chosen;
  add_demo(app, chosen);
  add_dev(app, chosen);
  add_coordinator(app, chosen);
  add_node(app, chosen);
  add_bench(app, chosen);
  add_bench_peer(app, chosen);
  add_explain(app, chosen);
  add_keys(app, chosen);
  add_ledger(app, chosen);
  add_replay(app, chosen);
  add_status(app, chosen);
  add_selftest(app, chosen);
  add_verify(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem) == 0 ? exit_ok : exit_usage;
  }
  return chosen ? chosen() : exit_usage;
}

}  // namespace
}  // namespace forerun

int main(int argc, char** argv) {
  return forerun::run(argc, argv);
}
