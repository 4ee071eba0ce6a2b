#include "files/costs_file.hpp"

#include <toml++/toml.h>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "files/file_bytes.hpp"
#include "files/line_reader.hpp"
#include "speculation/catalog.hpp"

namespace forerun {
namespace {

Result<json::Object> members_of_json(const std::string& text, const std::string& file) {
  Result<json::Value> value = json::parse(text, {.bytes = costs_bytes_max});
  if (!value) {
    return fail(value.error().code, file + ": " + value.error().message);
  }
  if (value->object() == nullptr) {
    return fail(Errc::invalid, file + ": " + std::string(kind_of(&*value)) +
                                   ", expected an object with dispatch_us, hit_us and kill_us");
  }
  return std::move(*value->object());
}

Result<json::Object> members_of_toml(const std::string& text, const std::string& file) {
  json::Object members;
  try {
    for (const auto& [key, node] : toml::parse(text, file)) {
      const auto number = node.value<double>();
      members.set(std::string(key.str()), number && std::isfinite(*number)
                                              ? json::Value(*number)
                                              : json::Value("no finite number"));
    }
  } catch (const toml::parse_error& problem) {
    return fail(Errc::invalid, file + ":" + std::to_string(problem.source().begin.line) + ": " +
                                   std::string(problem.description()));
  }
  return members;
}

}  // namespace

Result<MeasuredCosts> read_costs(const std::filesystem::path& file) {
  const Result<std::string> text = read_file(file, costs_bytes_max);
  if (!text) {
    return tl::unexpected<Error>(text.error());
  }
  const Result<json::Object> members = file.extension() == ".json"
                                           ? members_of_json(*text, file.string())
                                           : members_of_toml(*text, file.string());
  if (!members) {
    return tl::unexpected<Error>(members.error());
  }
  MeasuredCosts costs;
  const std::array<std::pair<const char*, Duration*>, 3> known = {
      {{"dispatch_us", &costs.dispatch}, {"hit_us", &costs.hit}, {"kill_us", &costs.kill}}};
  for (const json::Member& member : *members) {
    std::vector<std::string> names;
    Duration* target = nullptr;
    for (const auto& [name, cost] : known) {
      names.emplace_back(name);
      target = member.name == name ? cost : target;
    }
    const std::string place = file.string() + ": " + member.name;
    if (target == nullptr) {
      const auto near = nearest_name(member.name, names);
      return fail(Errc::invalid, place + ": unknown, expected dispatch_us, hit_us or kill_us" +
                                     (near ? "; did you mean \"" + *near + "\"?" : ""));
    }
    const double* microseconds = member.value.number();
    if (microseconds == nullptr || *microseconds < 0 ||
        *microseconds > static_cast<double>(cost_max.count())) {
      return fail(Errc::invalid, place + ": " + json::canonical(member.value) +
                                     ", expected microseconds from 0 to " +
                                     std::to_string(cost_max.count()));
    }
    *target = Duration(std::llround(*microseconds));
  }
  return costs;
}

}  // namespace forerun
