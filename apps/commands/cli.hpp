#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>

#include "apps/process.hpp"
#include "base/result.hpp"

/// What the commands share. Each command is one file here that adds itself to the command line;
/// what it does lives elsewhere.
namespace forerun {

/// What the command line has chosen to do; returns the process's exit code.
using Action = std::function<int()>;

/// Adds a command that, when it is the chosen one, sets `chosen`. `--config` may stand behind its
/// name.
CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& description,
                      Action& chosen, Action action);

/// Every flag is also an environment variable and, through --config, a TOML key in its command's
/// table: --publish-port, FORERUN_PUBLISH_PORT, publish-port. Call it when all of a command's flags
/// are there.
void bind_environment(CLI::App& command);

/// The commands under one, without those for the program's own use.
std::vector<std::string> names_under(const CLI::App& command);

/// Paths that must be there. One that is not ends the command with exit_not_found.
CLI::Validator existing_file();
CLI::Validator existing_folder();
CLI::Validator existing_path();

/// A number from `low` (not itself when `above`) to `high`. An option without a sign needs it too:
/// CLI11 would take -1 for the largest number.
CLI::Validator number_within(double low, double high, bool above = false);
inline constexpr double whole_number_max = 9007199254740991;  ///< 2^53-1, what JSON can carry.

/// Prints an error on stderr; the exit code that goes with it.
int report(const Result<int>& result);
int report(const Result<void>& result);

std::filesystem::path own_binary();

}  // namespace forerun
