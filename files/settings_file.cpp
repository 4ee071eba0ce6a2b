#include "files/settings_file.hpp"

#include <toml++/toml.h>

#include <cmath>
#include <optional>
#include <utility>

#include "base/json.hpp"

namespace forerun {
namespace {

std::string place_of(const std::string& file, const toml::source_position& at) {
  return file + ":" + std::to_string(at.line);
}

/// A scalar as a command line would have it; empty for what no flag takes.
std::optional<std::string> text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) {
    return text->get();
  }
  if (const auto* flag = node.as_boolean()) {
    return flag->get() ? "true" : "false";
  }
  if (const auto* whole = node.as_integer()) {
    return std::to_string(whole->get());
  }
  if (const auto* number = node.as_floating_point(); number && std::isfinite(number->get())) {
    std::string text;
    json::append_number(text, number->get());
    return text;
  }
  return std::nullopt;
}

class Reader {
public:
  explicit Reader(const std::string& file) : file_(file) {}

  Result<void> read(const toml::table& table, const std::vector<std::string>& tables) {
    for (const auto& [name, node] : table) {
      const std::string key(name.str());
      if (const auto* inner = node.as_table()) {
        std::vector<std::string> deeper = tables;
        deeper.push_back(key);
        if (auto read_inner = read(*inner, deeper); !read_inner) {
          return read_inner;
        }
        continue;
      }
      FileSetting setting{tables, key, {}, place_of(file_, node.source().begin)};
      if (!take(node, setting)) {
        return fail(Errc::invalid,
                    setting.place + ": " + key +
                        ": found a value that no flag takes, expected a string, a number, true or "
                        "false, or an array of these");
      }
      settings.push_back(std::move(setting));
    }
    return {};
  }

  std::vector<FileSetting> settings;

private:
  static bool take(const toml::node& node, FileSetting& setting) {
    const auto* array = node.as_array();
    if (array == nullptr) {
      const auto text = text_of(node);
      setting.values.push_back(text.value_or(""));
      return text.has_value();
    }
    for (const toml::node& element : *array) {
      const auto text = text_of(element);
      if (!text) {
        return false;
      }
      setting.values.push_back(*text);
    }
    return true;
  }

  const std::string& file_;
};

}  // namespace

Result<std::vector<FileSetting>> read_settings(std::string_view text, const std::string& file) {
  if (text.size() > settings_bytes_max) {
    return fail(Errc::too_large, file + ": more than " + std::to_string(settings_bytes_max) +
                                     " bytes, the limit of a settings file");
  }
  try {
    Reader reader(file);
    if (const auto read = reader.read(toml::parse(text, file), {}); !read) {
      return tl::unexpected<Error>(read.error());
    }
    return std::move(reader.settings);
  } catch (const toml::parse_error& problem) {
    return fail(Errc::invalid, place_of(file, problem.source().begin) + ": not TOML: " +
                                   std::string(problem.description()));
  }
}

}  // namespace forerun
