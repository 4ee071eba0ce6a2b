#include "apps/commands/config_file.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "apps/commands/cli.hpp"
#include "files/settings_file.hpp"
#include "speculation/catalog.hpp"

namespace forerun {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw CLI::ConfigError(why, CLI::ExitCodes::ConfigError);
}

[[noreturn]] void refuse_unknown(const std::string& place, const std::string& what,
                                 const std::string& found, const std::vector<std::string>& known,
                                 const std::string& help) {
  const auto near = nearest_name(found, known);
  refuse(place + ": \"" + found + "\": no such " + what +
         (near ? "; did you mean \"" + *near + "\"?" : "; see " + help));
}

std::vector<std::string> flags_of(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_configurable() && !option->get_lnames().empty()) {
      names.push_back(option->get_lnames().front());
    }
  }
  return names;
}

/// The flag that a key means.
const CLI::Option& flag_of(const CLI::App& app, const FileSetting& setting) {
  const CLI::App* command = &app;
  std::string path = "forerun";
  for (const std::string& table : setting.tables) {
    const auto subs = command->get_subcommands({});
    const auto next = std::find_if(subs.begin(), subs.end(), [&](const CLI::App* sub) {
      return sub->get_name() == table;
    });
    if (next == subs.end()) {
      refuse_unknown(setting.place, "table: tables are commands", table, names_under(*command),
                     path + " --help");
    }
    command = *next;
    path += " " + table;
  }
  const std::vector<std::string> flags = flags_of(*command);
  if (std::find(flags.begin(), flags.end(), setting.key) == flags.end()) {
    refuse_unknown(setting.place, "flag of " + path, setting.key, flags, path + " --help");
  }
  return *command->get_option("--" + setting.key);
}

bool is_in_environment(const CLI::Option& flag) {
  const char* const value =
      flag.get_envname().empty() ? nullptr : std::getenv(flag.get_envname().c_str());
  return value != nullptr && *value != '\0';
}

class ConfigFile : public CLI::ConfigTOML {
public:
  explicit ConfigFile(const CLI::App& app) : app_(app) {}

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    const std::string text(std::istreambuf_iterator<char>(input), {});
    auto settings = read_settings(text, app_.get_config_ptr()->as<std::string>());
    if (!settings) {
      refuse(settings.error().message);
    }
    std::vector<CLI::ConfigItem> found;
    for (FileSetting& setting : *settings) {
      if (is_in_environment(flag_of(app_, setting))) {
        continue;
      }
      CLI::ConfigItem& item = found.emplace_back();
      item.parents = std::move(setting.tables);
      item.name = std::move(setting.key);
      item.inputs = std::move(setting.values);
    }
    return found;
  }

private:
  const CLI::App& app_;
};

}  // namespace

void read_config_files(CLI::App& app) {
  app.set_config("--config", "", "A TOML file: a table for each command, flags as keys")
      ->envname("FORERUN_CONFIG")
      ->check(existing_file());
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.config_formatter(std::make_shared<ConfigFile>(app));
}

}  // namespace forerun
