#include "speculation/command_settings.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace forerun {
namespace {

struct Limit {
  const char* name;
  std::uint32_t CommandLimits::*value;
  std::uint32_t least;
  std::uint32_t most;
};
constexpr std::array<Limit, 6> limits = {{
    {"memory_mb", &CommandLimits::memory_mb, 16, command_limit_max},
    {"processes", &CommandLimits::processes, 1, command_limit_max},
    {"file_mb", &CommandLimits::file_mb, 1, command_limit_max},
    {"scratch_mb", &CommandLimits::scratch_mb, 1, command_limit_max},
    {"cpu_s", &CommandLimits::cpu_s, 0, command_limit_max},
    {"output_kb", &CommandLimits::output_kb, 1, output_kb_max},
}};

tl::unexpected<Error> wrong(const std::string& place, const std::string& why) {
  return fail(Errc::invalid, place + ": " + why);
}

bool is_variable_name(const std::string& name) {
  const auto is_part = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && (name[0] < '0' || name[0] > '9') &&
         std::all_of(name.begin(), name.end(), is_part);
}

bool has_parent_part(const std::string& path) {
  return ("/" + path + "/").find("/../") != std::string::npos;
}

Result<void> check_paths(const std::string& place, const std::vector<std::string>& paths) {
  if (paths.size() > command_paths_max) {
    return wrong(place, std::to_string(paths.size()) + " paths, expected at most " +
                            std::to_string(command_paths_max));
  }
  for (const std::string& path : paths) {
    if (path.size() < 2 || path[0] != '/' || has_parent_part(path)) {
      return wrong(place, "\"" + path + "\", expected an absolute path without \"..\"");
    }
  }
  return {};
}

json::Value paths_json(const std::vector<std::string>& texts) {
  json::Array items;
  for (const std::string& text : texts) {
    items.emplace_back(text);
  }
  return items;
}

std::optional<std::vector<std::string>> texts_of(const json::Value* value) {
  if (value == nullptr || value->array() == nullptr) {
    return std::nullopt;
  }
  std::vector<std::string> texts;
  for (const json::Value& item : *value->array()) {
    if (item.string() == nullptr) {
      return std::nullopt;
    }
    texts.push_back(*item.string());
  }
  return texts;
}

std::optional<std::map<std::string, std::string>> variables_of(const json::Value* value) {
  if (value == nullptr || value->object() == nullptr) {
    return std::nullopt;
  }
  std::map<std::string, std::string> variables;
  for (const json::Member& member : *value->object()) {
    if (member.value.string() == nullptr) {
      return std::nullopt;
    }
    variables.emplace(member.name, *member.value.string());
  }
  return variables;
}

}  // namespace

Result<void> check_command_settings(const std::string& place, const CommandSettings& settings) {
  if (settings.environment.size() > command_variables_max) {
    return wrong(place + ".env", std::to_string(settings.environment.size()) +
                                     " variables, expected at most " +
                                     std::to_string(command_variables_max));
  }
  for (const auto& [name, value] : settings.environment) {
    if (!is_variable_name(name) || value.find('\0') != std::string::npos) {
      return wrong(place + ".env", "\"" + name +
                                       "\", expected a name of letters, digits and underscores, "
                                       "and a text without a zero byte");
    }
  }
  if (has_parent_part(settings.workdir) || settings.workdir == "/") {
    return wrong(place + ".workdir", "\"" + settings.workdir +
                                         "\", expected a folder in the node's tasks folder or an "
                                         "absolute path, without \"..\"");
  }
  for (const auto& [key, paths] :
       {std::pair{".readable", &settings.readable}, std::pair{".writable", &settings.writable}}) {
    if (const auto held = check_paths(place + key, *paths); !held) {
      return held;
    }
  }
  for (const Limit& limit : limits) {
    const std::uint32_t value = settings.limits.*limit.value;
    if (value < limit.least || value > limit.most) {
      return wrong(place + "." + limit.name, std::to_string(value) + ", expected " +
                                                 std::to_string(limit.least) + " to " +
                                                 std::to_string(limit.most));
    }
  }
  return {};
}

json::Value command_settings_json(const CommandSettings& settings) {
  if (settings == CommandSettings()) {
    return {};
  }
  json::Object variables;
  for (const auto& [name, value] : settings.environment) {
    variables.set(name, value);
  }
  json::Object out;
  out.set("env", std::move(variables));
  for (const Limit& limit : limits) {
    out.set(limit.name, static_cast<std::int64_t>(settings.limits.*limit.value));
  }
  out.set("network", settings.network);
  out.set("readable", paths_json(settings.readable));
  out.set("resident", settings.resident);
  out.set("workdir", settings.workdir);
  out.set("writable", paths_json(settings.writable));
  return out;
}

Result<CommandSettings> command_settings_from(const json::Value& value) {
  CommandSettings settings;
  if (value.is_null()) {
    return settings;
  }
  const auto refuse = [](const std::string& name) {
    return wrong("exec." + name, "absent or of the wrong type");
  };
  constexpr std::size_t other_members = 6;
  if (value.object() == nullptr || value.object()->size() != limits.size() + other_members) {
    return refuse("settings");
  }
  for (const Limit& limit : limits) {
    const json::Value* found = value.find(limit.name);
    const double* number = found == nullptr ? nullptr : found->number();
    if (number == nullptr || *number != std::trunc(*number) || *number < 0 ||
        *number > command_limit_max) {
      return refuse(limit.name);
    }
    settings.limits.*limit.value = static_cast<std::uint32_t>(*number);
  }
  for (const auto& [name, flag] :
       {std::pair{"network", &settings.network}, std::pair{"resident", &settings.resident}}) {
    const json::Value* found = value.find(name);
    if (found == nullptr || found->boolean() == nullptr) {
      return refuse(name);
    }
    *flag = *found->boolean();
  }
  for (const auto& [name, paths] :
       {std::pair{"readable", &settings.readable}, std::pair{"writable", &settings.writable}}) {
    auto texts = texts_of(value.find(name));
    if (!texts) {
      return refuse(name);
    }
    *paths = std::move(*texts);
  }
  auto variables = variables_of(value.find("env"));
  const json::Value* workdir = value.find("workdir");
  if (!variables || workdir == nullptr || workdir->string() == nullptr) {
    return refuse("env or workdir");
  }
  settings.environment = std::move(*variables);
  settings.workdir = *workdir->string();
  return settings;
}

}  // namespace forerun
