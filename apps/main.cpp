#include <algorithm>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "apps/commands/commands.hpp"
#include "apps/commands/config_file.hpp"
#include "speculation/catalog.hpp"
#include "version.hpp"

namespace forerun {
namespace {

std::string unknown_command(const std::string& found, const std::vector<std::string>& known) {
  std::string text = "\"" + found + "\": no such command";
  if (const auto near = nearest_name(found, known)) {
    return text + "; did you mean \"" + *near + "\"?";
  }
  text += ", expected one of ";
  for (const std::string& name : known) {
    text += (name == known.front() ? "" : ", ") + name;
  }
  return text;
}

/// What is wrong with a command line, where CLI11's own words do not help; else empty.
std::string explained(const CLI::App& app, std::span<char* const> arguments) {
  const CLI::App* command = &app;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string argument = arguments[i];
    const auto subs = command->get_subcommands({});
    if (subs.empty() || argument.starts_with('-')) {
      return {};  // Where a flag's value ends is CLI11's to know.
    }
    const auto at = std::find_if(subs.begin(), subs.end(),
                                 [&](const CLI::App* sub) { return sub->get_name() == argument; });
    if (at == subs.end()) {
      return unknown_command(argument, names_under(*command));
    }
    command = *at;
  }
  return {};
}

int run(int argc, char** argv) {
  CLI::App app("Runs the tasks of AI workflows before anyone asks for them.", "forerun");
  app.set_version_flag("--version", program_version);
  app.require_subcommand(1);
  read_config_files(app);
  Action chosen;
  add_demo(app, chosen);
  add_dev(app, chosen);
  add_coordinator(app, chosen);
  add_effects(app, chosen);
  add_node(app, chosen);
  add_bench(app, chosen);
  add_bench_peer(app, chosen);
  add_explain(app, chosen);
  add_keys(app, chosen);
  add_learn(app, chosen);
  add_ledger(app, chosen);
  add_predict(app, chosen);
  add_replay(app, chosen);
  add_run(app, chosen);
  add_status(app, chosen);
  add_selftest(app, chosen);
  add_simulate(app, chosen);
  add_verify(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    const std::string why = problem.get_exit_code() == 0
                                ? std::string()
                                : explained(app, std::span(argv, static_cast<std::size_t>(argc)));
    if (!why.empty()) {
      std::cerr << "forerun: " << why << "\nRun with --help for more information.\n";
      return exit_usage;
    }
    const int code = app.exit(problem);
    return code == 0 ? exit_ok
                     : code == static_cast<int>(CLI::ExitCodes::FileError) ? exit_not_found : exit_usage;
  }
  return chosen ? chosen() : exit_usage;
}

/// An answer that could not be written is no success: a token would be lost, a proof cut.
int written(int code) {
  std::cout.flush();
  if (std::cout.good()) {
    return code;
  }
  std::cerr << "forerun: stdout: the output could not be written whole; is the disk full?\n";
  return code == exit_ok ? exit_error : code;
}

}  // namespace
}  // namespace forerun

int main(int argc, char** argv) {
  return forerun::written(forerun::run(argc, argv));
}
