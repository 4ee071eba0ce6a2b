#include "apps/commands/cli.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iostream>

#include "base/json.hpp"

namespace forerun {
namespace {

std::string check_existing(const std::string& path, const std::string& expected, bool is_other,
                           const std::string& other) {
  std::error_code problem;
  if (!std::filesystem::exists(path, problem)) {
    throw CLI::FileError(path + ": no such " + expected, CLI::ExitCodes::FileError);
  }
  return is_other ? "found " + other + " at " + path + ", expected a " + expected : "";
}

}  // namespace

std::filesystem::path own_binary() {
  return std::filesystem::read_symlink("/proc/self/exe");
}

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

CLI::Validator number_within(double low, double high, bool above) {
  const auto plain = [](double number) {
    std::string text;
    json::append_number(text, number);
    return text;
  };
  const std::string range =
      (above ? "more than " + plain(low) : plain(low) + " or more") + ", at most " + plain(high);
  const auto check = [low, high, above, range](const std::string& text) {
    double number = 0;
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, number);
    const bool is_within = read.ec == std::errc() && read.ptr == end && number <= high &&
                           (above ? number > low : number >= low);
    return is_within ? std::string() : "found " + text + ", expected " + range;
  };
  return CLI::Validator(check, "");
}

CLI::Validator existing_file() {
  return CLI::Validator(
      [](const std::string& path) {
        return check_existing(path, "file", std::filesystem::is_directory(path), "a folder");
      },
      "");
}

CLI::Validator existing_folder() {
  return CLI::Validator(
      [](const std::string& path) {
        return check_existing(path, "folder", !std::filesystem::is_directory(path), "a file");
      },
      "");
}

CLI::Validator existing_path() {
  return CLI::Validator(
      [](const std::string& path) { return check_existing(path, "file or folder", false, ""); }, "");
}

std::vector<std::string> names_under(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* sub : command.get_subcommands({})) {
    if (!sub->get_group().empty()) {
      names.push_back(sub->get_name());
    }
  }
  return names;
}

CLI::App& add_command(CLI::App& app, const std::string& name, const std::string& description,
                      Action& chosen, Action action) {
  CLI::App* command = app.add_subcommand(name, description);
  command->callback([&chosen, action = std::move(action)] { chosen = action; });
  command->fallthrough();
  return *command;
}

}  // namespace forerun
