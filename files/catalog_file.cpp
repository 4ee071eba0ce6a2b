#include "files/catalog_file.hpp"

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "files/file_bytes.hpp"
#include "speculation/call.hpp"

namespace forerun {
namespace {

using Line = std::uint32_t;

/// A value with its place in the file.
struct Field {
  const toml::node& node;
  std::string path;  ///< As `race.fraud.branches`.
  Line line = 0;
};

/// The problems of one file, each with its line.
class Problems {
public:
  explicit Problems(std::string_view file_name) : file_name_(file_name) {}

  /// Always false, so that a reader can return it.
  bool add(Line line, const std::string& text) {
    lines_.emplace_back(line, file_name_ + ":" + std::to_string(line) + ": " + text);
    return false;
  }
  bool add(const Field& at, const std::string& why) { return add(at.line, at.path + ": " + why); }

  bool empty() const { return lines_.empty(); }
  Error error() && {
    std::stable_sort(lines_.begin(), lines_.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::string message;
    for (std::size_t i = 0; i < std::min(lines_.size(), catalog_problems_max); ++i) {
      message += (i == 0 ? "" : "\n") + lines_[i].second;
    }
    if (lines_.size() > catalog_problems_max) {
      message += "\nand " + std::to_string(lines_.size() - catalog_problems_max) + " more";
    }
    return {Errc::invalid, message};
  }

private:
  std::string file_name_;
  std::vector<std::pair<Line, std::string>> lines_;
};

std::string_view toml_kind(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "a flag";
    default:
      return "a date or time";
  }
}

bool expected(Problems& problems, const Field& at, std::string_view what) {
  return problems.add(at, std::string(toml_kind(at.node)) + ", expected " + std::string(what));
}

std::string in_quotes(std::string_view text) {
  return '"' + std::string(text) + '"';
}

std::string joined(std::span<const std::string> names) {
  std::string list;
  for (const std::string& name : names) {
    list += (list.empty() ? "" : ", ") + name;
  }
  return list;
}

/// `; did you mean "x"?`, or what there is.
std::string suggestion(std::string_view name, std::span<const std::string> known) {
  const std::optional<std::string> near = nearest_name(name, known);
  return near ? "; did you mean " + in_quotes(*near) + "?" : ", expected one of " + joined(known);
}

// ---- values ----

bool read_text(Problems& problems, const Field& at, std::string& out) {
  const auto* text = at.node.as_string();
  if (text == nullptr) {
    return expected(problems, at, "a text");
  }
  if (text->get().find('\0') != std::string::npos) {
    return problems.add(at, "a text with a zero byte, expected one without");
  }
  out = text->get();
  return true;
}

bool read_texts(Problems& problems, const Field& at, std::vector<std::string>& out) {
  const toml::array* items = at.node.as_array();
  if (items == nullptr) {
    return expected(problems, at, "a list of texts");
  }
  if (items->size() > catalog_list_max) {
    return problems.add(at, std::to_string(items->size()) + " items, expected at most " +
                                std::to_string(catalog_list_max));
  }
  for (const toml::node& item : *items) {
    const Field field{item, at.path + "[" + std::to_string(out.size()) + "]",
                      item.source().begin.line};
    if (!read_text(problems, field, out.emplace_back())) {
      return false;
    }
  }
  return true;
}

bool read_flag(Problems& problems, const Field& at, bool& out) {
  const auto* flag = at.node.as_boolean();
  if (flag == nullptr) {
    return expected(problems, at, "true or false");
  }
  out = flag->get();
  return true;
}

bool read_milliseconds(Problems& problems, const Field& at, int least, Duration& out) {
  const std::optional<double> milliseconds =
      at.node.is_number() ? at.node.value<double>() : std::nullopt;
  if (!milliseconds) {
    return expected(problems, at, "a number of milliseconds");
  }
  // Written so that a NaN is out of range too.
  if (!(*milliseconds >= least && *milliseconds <= milliseconds_of(timeout_max))) {
    return problems.add(at, "out of range, expected " + std::to_string(least) + " to " +
                                std::to_string(timeout_max / std::chrono::milliseconds(1)) +
                                " milliseconds");
  }
  out = Duration(std::llround(*milliseconds * 1000));
  return true;
}

template <class Choice>
using Choices = std::span<const std::pair<const char*, Choice>>;

template <class Choice>
bool read_choice(Problems& problems, const Field& at, Choices<Choice> choices, Choice& out) {
  std::string text;
  if (!read_text(problems, at, text)) {
    return false;
  }
  std::vector<std::string> names;
  for (const auto& [name, choice] : choices) {
    if (text == name) {
      out = choice;
      return true;
    }
    names.emplace_back(name);
  }
  return problems.add(at, in_quotes(text) + suggestion(text, names));
}

constexpr std::array<std::pair<const char*, ExecutorKind>, 4> executors = {
    {{"native", ExecutorKind::native},
     {"exec", ExecutorKind::exec},
     {"http", ExecutorKind::http},
     {"world", ExecutorKind::world}}};
constexpr std::array<std::pair<const char*, HttpTemplate>, 2> templates = {
    {{"openai-chat", HttpTemplate::openai_chat},
     {"openai-completions", HttpTemplate::openai_completions}}};
constexpr std::array<std::pair<const char*, Effect>, 3> effects = {
    {{"pure", Effect::pure}, {"read", Effect::read}, {"write", Effect::write}}};
constexpr std::array<std::pair<const char*, HazardScope>, 2> scopes = {
    {{"tenant", HazardScope::tenant}, {"session", HazardScope::session}}};
constexpr std::array<std::pair<const char*, SelectRule>, 4> select_rules = {
    {{"seeded", SelectRule::seeded},
     {"ranked", SelectRule::ranked},
     {"ordered", SelectRule::ordered},
     {"first", SelectRule::first}}};

/// Reads any TOML value as JSON, refusing what JSON cannot hold exactly.
bool read_value(Problems& problems, const Field& at, json::Value& out, std::size_t depth = 0) {
  constexpr std::int64_t integer_max = 9007199254740991;  // 2^53-1, as in json::parse.
  if (depth == json::depth_max) {
    return problems.add(at, "nested deeper than " + std::to_string(json::depth_max));
  }
  if (const auto* text = at.node.as_string()) {
    out = json::Value(text->get());
  } else if (const auto* flag = at.node.as_boolean()) {
    out = json::Value(flag->get());
  } else if (const auto* integer = at.node.as_integer()) {
    if (integer->get() > integer_max || integer->get() < -integer_max) {
      return problems.add(at, "integer " + std::to_string(integer->get()) +
                                  ", expected at most 2^53-1: write it as a text");
    }
    out = json::Value(integer->get());
  } else if (const auto* number = at.node.as_floating_point()) {
    if (!std::isfinite(number->get())) {
      return expected(problems, at, "a finite one");
    }
    out = json::Value(number->get());
  } else if (const toml::array* items = at.node.as_array()) {
    json::Array array;
    for (const toml::node& item : *items) {
      const Field field{item, at.path + "[" + std::to_string(array.size()) + "]",
                        item.source().begin.line};
      if (!read_value(problems, field, array.emplace_back(), depth + 1)) {
        return false;
      }
    }
    out = json::Value(std::move(array));
  } else if (const toml::table* members = at.node.as_table()) {
    json::Object object;
    for (const auto& [key, item] : *members) {
      const Field field{item, at.path + "." + std::string(key.str()), key.source().begin.line};
      json::Value value;
      if (!read_value(problems, field, value, depth + 1)) {
        return false;
      }
      object.set(std::string(key.str()), std::move(value));
    }
    out = json::Value(std::move(object));
  } else {
    return expected(problems, at, "a value that JSON has: write it as a text");
  }
  return true;
}

// ---- keys ----

template <class Target>
struct Key {
  const char* name;
  bool (*read)(Problems& problems, const Field& at, Target& target);
};

/// What a table held.
struct KeysFound {
  std::map<std::string, Line, std::less<>> lines;
  bool all_readable = true;  ///< False: an unknown key, or a value that could not be read.
  bool has(std::string_view key) const { return lines.contains(key); }
};

template <class Target>
std::vector<std::string> names_of(std::span<const Key<Target>> keys) {
  std::vector<std::string> names;
  for (const Key<Target>& key : keys) {
    names.emplace_back(key.name);
  }
  return names;
}

/// A table under an unknown key is most often a name that lost its quotes.
std::string unknown_key(const Field& at, std::string_view key, std::span<const std::string> known) {
  if (at.node.is_table()) {
    const std::size_t dot = at.path.find('.');
    if (dot != std::string::npos && dot != at.path.size() - key.size() - 1) {
      return "unknown table; a name with a dot needs quotes: [" + at.path.substr(0, dot) + ".\"" +
             at.path.substr(dot + 1) + "\"]";
    }
  }
  return "unknown key" + suggestion(key, known);
}

template <class Target>
KeysFound read_keys(Problems& problems, const toml::table& table, const std::string& path,
                    std::span<const Key<Target>> keys, Target& target) {
  KeysFound found;
  for (const auto& [key, node] : table) {
    const std::string_view name = key.str();
    const Field at{node, path + "." + std::string(name), key.source().begin.line};
    const auto known = std::find_if(keys.begin(), keys.end(),
                                    [&](const Key<Target>& k) { return name == k.name; });
    if (known == keys.end()) {
      problems.add(at, unknown_key(at, name, names_of(keys)));
      found.all_readable = false;
      continue;
    }
    found.lines.emplace(name, at.line);
    found.all_readable = known->read(problems, at, target) && found.all_readable;
  }
  return found;
}

bool read_variables(Problems& problems, const Field& at, std::map<std::string, std::string>& out) {
  const toml::table* table = at.node.as_table();
  if (table == nullptr) {
    return expected(problems, at, "a table of texts such as { NAME = \"value\" }");
  }
  bool all = true;
  for (const auto& [name, node] : *table) {
    const Field field{node, at.path + "." + std::string(name.str()), name.source().begin.line};
    all = read_text(problems, field, out[std::string(name.str())]) && all;
  }
  return all;
}

bool read_limit(Problems& problems, const Field& at, std::uint32_t& out) {
  const auto* count = at.node.as_integer();
  if (count == nullptr) {
    return expected(problems, at, "a whole number");
  }
  if (count->get() < 0 || count->get() > command_limit_max) {
    return problems.add(at, std::to_string(count->get()) + ", expected at most " +
                                std::to_string(command_limit_max));
  }
  out = static_cast<std::uint32_t>(count->get());
  return true;
}

bool read_tags(Problems& problems, const Field& at, std::optional<std::vector<std::string>>& out) {
  return read_texts(problems, at, out.emplace());
}

/// A task with how the file says what an endpoint gets.
struct FileTask : Task {
  std::optional<HttpTemplate> http_template;
  ModelSettings model;
  bool is_streamed = false;
};

bool read_body(Problems& problems, const Field& at, std::optional<json::Value>& out) {
  return read_value(problems, at, out.emplace());
}

bool read_example(Problems& problems, const Field& at, std::optional<json::Object>& out) {
  std::string text;
  if (!read_text(problems, at, text)) {
    return false;
  }
  const auto value = json::parse(text);
  if (!value) {
    return problems.add(at, value.error().message + ", expected an input as JSON");
  }
  if (value->object() == nullptr) {
    return problems.add(at, in_quotes(text) + ", expected an input: a JSON object");
  }
  out = *value->object();
  return true;
}

bool read_pointer(Problems& problems, const Field& at, std::string& out);

constexpr std::array<Key<FileTask>, 46> task_keys = {{
    {"executor",
     [](Problems& p, const Field& at, FileTask& t) {
       return read_choice<ExecutorKind>(p, at, executors, t.executor);
     }},
    {"command",
     [](Problems& p, const Field& at, FileTask& t) { return read_texts(p, at, t.command); }},
    {"function",
     [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.function); }},
    {"effect", [](Problems& p, const Field& at,
                  FileTask& t) { return read_choice<Effect>(p, at, effects, t.effect); }},
    {"reads", [](Problems& p, const Field& at, FileTask& t) { return read_tags(p, at, t.reads); }},
    {"writes",
     [](Problems& p, const Field& at, FileTask& t) { return read_tags(p, at, t.writes); }},
    {"scope", [](Problems& p, const Field& at,
                 FileTask& t) { return read_choice<HazardScope>(p, at, scopes, t.scope); }},
    {"timeout_ms", [](Problems& p, const Field& at,
                      FileTask& t) { return read_milliseconds(p, at, 1, t.timeout.emplace()); }},
    {"max_age_ms", [](Problems& p, const Field& at,
                      FileTask& t) { return read_milliseconds(p, at, 0, t.age_max); }},
    {"idempotent",
     [](Problems& p, const Field& at, FileTask& t) { return read_flag(p, at, t.idempotent); }},
    {"deterministic",
     [](Problems& p, const Field& at, FileTask& t) { return read_flag(p, at, t.deterministic); }},
    {"hedge", [](Problems& p, const Field& at, FileTask& t) { return read_flag(p, at, t.hedge); }},
    {"sandbox",
     [](Problems& p, const Field& at, FileTask& t) { return read_flag(p, at, t.sandbox); }},
    {"pool", [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.pool); }},
    {"description",
     [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.description); }},
    {"example",
     [](Problems& p, const Field& at, FileTask& t) { return read_example(p, at, t.example); }},
    {"next",
     [](Problems& p, const Field& at, FileTask& t) { return read_tags(p, at, t.flow.next); }},
    {"starts",
     [](Problems& p, const Field& at, FileTask& t) { return read_flag(p, at, t.flow.starts); }},
    {"envelope",
     [](Problems& p, const Field& at, FileTask& t) { return read_flag(p, at, t.envelope); }},
    {"state", [](Problems& p, const Field& at, FileTask& t) { return read_tags(p, at, t.state); }},
    {"resident",
     [](Problems& p, const Field& at, FileTask& t) { return read_flag(p, at, t.exec.resident); }},
    {"env", [](Problems& p, const Field& at,
               FileTask& t) { return read_variables(p, at, t.exec.environment); }},
    {"workdir",
     [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.exec.workdir); }},
    {"network",
     [](Problems& p, const Field& at, FileTask& t) { return read_flag(p, at, t.exec.network); }},
    {"readable",
     [](Problems& p, const Field& at, FileTask& t) { return read_texts(p, at, t.exec.readable); }},
    {"writable",
     [](Problems& p, const Field& at, FileTask& t) { return read_texts(p, at, t.exec.writable); }},
    {"memory_mb", [](Problems& p, const Field& at,
                     FileTask& t) { return read_limit(p, at, t.exec.limits.memory_mb); }},
    {"processes", [](Problems& p, const Field& at,
                     FileTask& t) { return read_limit(p, at, t.exec.limits.processes); }},
    {"file_mb", [](Problems& p, const Field& at,
                   FileTask& t) { return read_limit(p, at, t.exec.limits.file_mb); }},
    {"scratch_mb", [](Problems& p, const Field& at,
                      FileTask& t) { return read_limit(p, at, t.exec.limits.scratch_mb); }},
    {"cpu_s", [](Problems& p, const Field& at,
                 FileTask& t) { return read_limit(p, at, t.exec.limits.cpu_s); }},
    {"output_kb", [](Problems& p, const Field& at,
                     FileTask& t) { return read_limit(p, at, t.exec.limits.output_kb); }},
    {"url", [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.http.url); }},
    {"method",
     [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.http.method); }},
    {"headers", [](Problems& p, const Field& at,
                   FileTask& t) { return read_variables(p, at, t.http.headers); }},
    {"body",
     [](Problems& p, const Field& at, FileTask& t) { return read_body(p, at, t.http.body); }},
    {"answer",
     [](Problems& p, const Field& at, FileTask& t) { return read_pointer(p, at, t.http.answer); }},
    {"answer_is_json", [](Problems& p, const Field& at,
                          FileTask& t) { return read_flag(p, at, t.http.answer_is_json); }},
    {"answer_kb",
     [](Problems& p, const Field& at, FileTask& t) { return read_limit(p, at, t.http.answer_kb); }},
    {"retries",
     [](Problems& p, const Field& at, FileTask& t) { return read_limit(p, at, t.http.retries); }},
    {"ca_file",
     [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.http.ca_file); }},
    {"stream",
     [](Problems& p, const Field& at, FileTask& t) { return read_flag(p, at, t.is_streamed); }},
    {"template",
     [](Problems& p, const Field& at,
        FileTask&
            t) { return read_choice<HttpTemplate>(p, at, templates, t.http_template.emplace()); }},
    {"model",
     [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.model.model); }},
    {"system",
     [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.model.system); }},
    {"prompt",
     [](Problems& p, const Field& at, FileTask& t) { return read_text(p, at, t.model.prompt); }},
}};

bool read_conditions(Problems& problems, const Field& at, Race& race);

constexpr std::array<Key<Race>, 5> race_keys = {{
    {"branches",
     [](Problems& p, const Field& at, Race& r) { return read_texts(p, at, r.branches); }},
    {"select", [](Problems& p, const Field& at,
                  Race& r) { return read_choice<SelectRule>(p, at, select_rules, r.select); }},
    {"valid", read_conditions},
    {"next", [](Problems& p, const Field& at, Race& r) { return read_tags(p, at, r.flow.next); }},
    {"starts",
     [](Problems& p, const Field& at, Race& r) { return read_flag(p, at, r.flow.starts); }},
}};

constexpr std::array<Key<Pool>, 1> pool_keys = {{
    {"max_in_flight",
     [](Problems& problems, const Field& at, Pool& pool) {
       const auto* count = at.node.as_integer();
       if (count == nullptr) {
         return expected(problems, at, "a whole number");
       }
       if (count->get() < 1 || count->get() > pool_in_flight_max) {
         return problems.add(at, std::to_string(count->get()) + ", expected 1 to " +
                                     std::to_string(pool_in_flight_max));
       }
       pool.in_flight_max = static_cast<std::uint32_t>(count->get());
       return true;
     }},
}};

constexpr std::array<Key<EffectRules>, 2> effect_keys = {{
    {"allow",
     [](Problems& p, const Field& at, EffectRules& r) { return read_texts(p, at, r.allow); }},
    {"tasks",
     [](Problems& p, const Field& at, EffectRules& r) { return read_texts(p, at, r.tasks); }},
}};

using Test = ValidCondition::Test;

bool read_test(Problems& problems, const Field& at, Test test, ValidCondition& condition) {
  condition.test = test;
  const bool is_number = at.node.is_number();
  const toml::array* list = at.node.as_array();
  if ((test == Test::at_least || test == Test::at_most) && !is_number) {
    return expected(problems, at, "a number");
  }
  if (test == Test::exists && !at.node.is_boolean()) {
    return expected(problems, at, "true or false");
  }
  if (test == Test::one_of &&
      (list == nullptr || list->empty() || list->size() > catalog_list_max)) {
    return problems.add(at,
                        "expected a list of 1 to " + std::to_string(catalog_list_max) + " values");
  }
  return read_value(problems, at, condition.operand);
}

bool read_pointer(Problems& problems, const Field& at, std::string& out) {
  if (!read_text(problems, at, out)) {
    return false;
  }
  return is_json_pointer(out) ||
         problems.add(at, in_quotes(out) + ", expected a JSON pointer such as \"/confidence\"");
}

constexpr std::array<Key<ValidCondition>, 7> condition_keys = {{
    {"branch",
     [](Problems& p, const Field& at, ValidCondition& c) { return read_text(p, at, c.branch); }},
    {"pointer", [](Problems& p, const Field& at,
                   ValidCondition& c) { return read_pointer(p, at, c.pointer); }},
    {"at_least", [](Problems& p, const Field& at,
                    ValidCondition& c) { return read_test(p, at, Test::at_least, c); }},
    {"at_most", [](Problems& p, const Field& at,
                   ValidCondition& c) { return read_test(p, at, Test::at_most, c); }},
    {"equals", [](Problems& p, const Field& at,
                  ValidCondition& c) { return read_test(p, at, Test::equals, c); }},
    {"one_of", [](Problems& p, const Field& at,
                  ValidCondition& c) { return read_test(p, at, Test::one_of, c); }},
    {"exists", [](Problems& p, const Field& at,
                  ValidCondition& c) { return read_test(p, at, Test::exists, c); }},
}};

bool read_condition(Problems& problems, const Field& at, ValidCondition& condition) {
  const toml::table* table = at.node.as_table();
  if (table == nullptr) {
    return expected(problems, at,
                    "a table such as { branch = \"b\", pointer = \"/p\", at_least = 0.9 }");
  }
  const KeysFound found =
      read_keys<ValidCondition>(problems, *table, at.path, condition_keys, condition);
  if (!found.all_readable) {
    return false;
  }
  bool whole = true;
  for (const char* key : {"branch", "pointer"}) {
    whole =
        (found.has(key) || problems.add(at, "no " + std::string(key) + ", expected one")) && whole;
  }
  const std::size_t tests =
      found.lines.size() - (found.has("branch") ? 1 : 0) - (found.has("pointer") ? 1 : 0);
  if (tests != 1) {
    return problems.add(
        at, std::to_string(tests) +
                " tests, expected exactly one of at_least, at_most, equals, one_of, exists");
  }
  return whole;
}

bool read_conditions(Problems& problems, const Field& at, Race& race) {
  const toml::array* items = at.node.as_array();
  if (items == nullptr) {
    return expected(problems, at, "a list of conditions");
  }
  if (items->size() > catalog_list_max) {
    return problems.add(at, std::to_string(items->size()) + " conditions, expected at most " +
                                std::to_string(catalog_list_max));
  }
  bool all = true;
  for (const toml::node& item : *items) {
    const Field field{item, at.path + "[" + std::to_string(race.valid.size()) + "]",
                      item.source().begin.line};
    all = read_condition(problems, field, race.valid.emplace_back()) && all;
  }
  return all;
}

// ---- rules of one task ----

/// A key that would have no effect misleads whoever reads the file, so it is refused.
struct KeyRule {
  const char* key;
  bool (*applies)(const FileTask& task);
  const char* why;
};

bool runs_command(const FileTask& task) {
  return task.executor == ExecutorKind::exec;
}
bool is_sandboxed(const FileTask& task) {
  return runs_command(task) && task.sandbox;
}
constexpr const char* only_commands = "only executor = \"exec\" runs a command";
bool is_request(const FileTask& task) {
  return task.executor == ExecutorKind::http;
}
bool has_template(const FileTask& task) {
  return is_request(task) && task.http_template.has_value();
}
bool is_chat(const FileTask& task) {
  return has_template(task) && *task.http_template == HttpTemplate::openai_chat;
}
constexpr const char* only_requests = "only executor = \"http\" sends a request";
constexpr const char* only_templates = "only a template has it, as template = \"openai-chat\" does";
constexpr const char* only_sandboxes = "only a sandbox has it, and this task runs without one";

constexpr std::array<KeyRule, 36> key_rules = {{
    {"command", [](const FileTask& t) { return t.executor == ExecutorKind::exec; },
     "only executor = \"exec\" runs a command"},
    {"sandbox", [](const FileTask& t) { return t.executor == ExecutorKind::exec; },
     "only executor = \"exec\" has a sandbox"},
    {"env", &runs_command, only_commands},
    {"workdir", &runs_command, only_commands},
    {"resident", &runs_command, only_commands},
    {"output_kb", &runs_command, only_commands},
    {"network", &is_sandboxed, only_sandboxes},
    {"readable", &is_sandboxed, only_sandboxes},
    {"writable", &is_sandboxed, only_sandboxes},
    {"memory_mb", &is_sandboxed, only_sandboxes},
    {"processes", &is_sandboxed, only_sandboxes},
    {"file_mb", &is_sandboxed, only_sandboxes},
    {"scratch_mb", &is_sandboxed, only_sandboxes},
    {"cpu_s", &is_sandboxed, only_sandboxes},
    {"envelope", &runs_command, "only executor = \"exec\" has an envelope"},
    {"url", &is_request, only_requests},
    {"method", &is_request, only_requests},
    {"headers", &is_request, only_requests},
    {"body", &is_request, only_requests},
    {"answer", &is_request, only_requests},
    {"answer_is_json", &is_request, only_requests},
    {"answer_kb", &is_request, only_requests},
    {"retries", &is_request, only_requests},
    {"ca_file", &is_request, only_requests},
    {"stream", &is_request, only_requests},
    {"template", &is_request, only_requests},
    {"model", &has_template, only_templates},
    {"system", &is_chat, "only template = \"openai-chat\" has it"},
    {"prompt", &has_template, only_templates},
    {"function", [](const FileTask& t) { return t.executor == ExecutorKind::native; },
     "only executor = \"native\" calls a function"},
    {"reads", [](const FileTask& t) { return t.effect != Effect::pure; },
     "a pure task reads nothing: say effect = \"read\""},
    {"scope", [](const FileTask& t) { return t.effect != Effect::pure; },
     "a pure task touches nothing"},
    {"writes", [](const FileTask& t) { return t.effect == Effect::write; },
     "only effect = \"write\" (the default) writes"},
    {"idempotent", [](const FileTask& t) { return t.effect == Effect::write; },
     "only effect = \"write\" (the default) needs it; pure and read tasks always are"},
    {"max_age_ms", [](const FileTask& t) { return t.effect == Effect::read; },
     "only effect = \"read\" can grow old (write is the default)"},
    {"hedge", [](const FileTask& t) { return t.effect != Effect::write; },
     "a write (the default) never gets a second attempt beside the first"},
}};

void check_task(Problems& problems, const FileTask& task, const std::string& path,
                const KeysFound& found) {
  for (const KeyRule& rule : key_rules) {
    const auto key = found.lines.find(rule.key);
    if (key != found.lines.end() && !rule.applies(task)) {
      problems.add(key->second, path + "." + rule.key + ": " + rule.why);
    }
  }
}

// ---- the file ----

class CatalogReader {
public:
  explicit CatalogReader(std::string_view file_name) : problems_(file_name) {}

  /// `text` stays out of what it gives.
  Result<CatalogFile> read(const toml::table& root) {
    for (const auto& [key, node] : root) {
      read_section(key, node);
    }
    Result<Catalog> catalog = check_together();
    if (!problems_.empty()) {
      return tl::unexpected<Error>(std::move(problems_).error());
    }
    return CatalogFile{std::move(*catalog), {}};
  }

private:
  /// A table [KIND.NAME]: what a message of Catalog::make may speak of.
  struct Item {
    std::string kind;
    std::string name;
    Line line = 0;
    KeysFound found;
    std::string path() const { return name.empty() ? kind : kind + "." + name; }
  };

  void read_section(const toml::key& key, const toml::node& node) {
    static const std::vector<std::string> kinds = {"task", "race", "pool", "effects"};
    const std::string kind(key.str());
    const Field at{node, kind, key.source().begin.line};
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
      problems_.add(at, "unknown key" + suggestion(kind, kinds));
      return;
    }
    const toml::table* items = node.as_table();
    if (items == nullptr) {
      expected(problems_, at,
               kind == "effects" ? "a table [effects]" : "tables [" + kind + ".NAME]");
      return;
    }
    if (kind == "effects") {
      effects_at_.kind = kind;
      effects_at_.line = at.line;
      effects_at_.found = read_keys<EffectRules>(problems_, *items, kind, effect_keys, effects_);
      return;
    }
    for (const auto& [name, item] : *items) {
      read_item(kind, std::string(name.str()),
                Field{item, kind + "." + std::string(name.str()), name.source().begin.line});
    }
  }

  void read_item(const std::string& kind, const std::string& name, const Field& at) {
    const toml::table* table = at.node.as_table();
    if (table == nullptr) {
      expected(problems_, at, "a table [" + kind + ".NAME]");
      return;
    }
    if (name.empty() || name.size() > task_bytes_max ||
        std::any_of(name.begin(), name.end(),
                    [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
      problems_.add(at, "expected a name of 1 to " + std::to_string(task_bytes_max) +
                            " bytes without control characters");
      return;
    }
    Item item{kind, name, at.line, {}};
    if (kind == "task") {
      read_task(*table, at, item);
    } else if (kind == "race") {
      Race race;
      race.name = name;
      item.found = read_keys<Race>(problems_, *table, at.path, race_keys, race);
      keep(item, races_, std::move(race));
    } else {
      Pool pool;
      pool.name = name;
      item.found = read_keys<Pool>(problems_, *table, at.path, pool_keys, pool);
      if (item.found.all_readable && !item.found.has("max_in_flight")) {
        item.found.all_readable = problems_.add(at, "no max_in_flight, expected one");
      }
      keep(item, pools_, std::move(pool));
    }
  }

  void read_task(const toml::table& table, const Field& at, Item& item) {
    const std::optional<std::string_view> executor = table["executor"].value<std::string_view>();
    if (executor == "mcp") {
      // Its other keys are of that version too: no word about them.
      problems_.add(table.get("executor")->source().begin.line,
                    at.path + ".executor: " + in_quotes(*executor) +
                        " comes in a later version, expected one of native, exec, http, world");
      broken_.insert(item.path());
      return;
    }
    FileTask task;
    task.name = item.name;
    item.found = read_keys<FileTask>(problems_, table, at.path, task_keys, task);
    if (task.executor == ExecutorKind::native && task.function.empty()) {
      task.function = task.name;
    }
    if (item.found.all_readable) {
      check_task(problems_, task, at.path, item.found);
      item.found.all_readable = complete_request(task, at, item.found);
    }
    keep(item, tasks_, Task(std::move(task)));
  }

  /// Makes one request of a template and of what the file adds to it.
  bool complete_request(FileTask& task, const Field& at, const KeysFound& found) {
    if (!is_request(task)) {
      return true;
    }
    if (!found.has("url")) {
      return problems_.add(at, "no url, expected one");
    }
    if (!task.http_template) {
      task.http.stream = task.is_streamed ? HttpStream::events : HttpStream::none;
      return true;
    }
    if (task.http.body && task.http.body->object() == nullptr) {
      return problems_.add(found.lines.find("body")->second,
                           at.path + ".body: expected a table of what the template's body lacks");
    }
    // A model seldom answers twice alike.
    task.deterministic = found.has("deterministic") && task.deterministic;
    apply_http_template(*task.http_template, task.model, task.is_streamed, task.http);
    return true;
  }

  /// What could not be read stays out of the checks that follow: they would only repeat it.
  template <class Kept>
  void keep(Item& item, std::vector<Kept>& into, Kept kept) {
    if (!item.found.all_readable) {
      broken_.insert(item.path());
      return;
    }
    into.push_back(std::move(kept));
    items_.push_back(std::move(item));
  }

  /// Drops what is broken and what names it.
  void drop_broken() {
    std::erase_if(pools_, [&](const Pool& pool) { return broken_.contains("pool." + pool.name); });
    std::erase_if(tasks_, [&](const Task& task) {
      if (!task.pool.empty() && broken_.contains("pool." + task.pool)) {
        broken_.insert("task." + task.name);
      }
      return broken_.contains("task." + task.name);
    });
    std::erase_if(races_, [&](const Race& race) {
      return broken_.contains("race." + race.name) ||
             std::any_of(
                 race.branches.begin(), race.branches.end(),
                 [&](const std::string& branch) { return broken_.contains("task." + branch); });
    });
    const auto drop_from = [&](Flow& flow) {
      if (flow.next) {
        std::erase_if(*flow.next, [&](const std::string& name) {
          return broken_.contains("task." + name) || broken_.contains("race." + name);
        });
      }
    };
    for (Task& task : tasks_) {
      drop_from(task.flow);
    }
    for (Race& race : races_) {
      drop_from(race.flow);
    }
  }

  /// Catalog::make names only the first thing that does not hold; without that thing it names the
  /// next one.
  Result<Catalog> check_together() {
    Result<Catalog> catalog;
    for (std::size_t i = 0; i < catalog_problems_max; ++i) {
      drop_broken();
      catalog = Catalog::make(tasks_, races_, pools_, effects_);
      if (catalog) {
        break;
      }
      if (speaks_of(catalog.error().message, "effects")) {
        problems_.add(line_of(effects_at_, catalog.error().message), catalog.error().message);
        break;  // Checked last: nothing else is wrong.
      }
      const Item* culprit = item_of(catalog.error().message);
      if (culprit == nullptr) {
        problems_.add(1, catalog.error().message);
        break;
      }
      problems_.add(line_of(*culprit, catalog.error().message), catalog.error().message);
      broken_.insert(culprit->path());
    }
    return catalog;
  }

  /// True when `message` begins with `place`, and not only with a name that begins alike.
  static bool speaks_of(std::string_view message, std::string_view place) {
    return message.starts_with(place) &&
           (message.size() == place.size() ||
            std::string_view(".:[ ").find(message[place.size()]) != std::string_view::npos);
  }

  const Item* item_of(std::string_view message) const {
    const Item* longest = nullptr;  // A name may hold a dot and begin with another one.
    for (const Item& item : items_) {
      if (speaks_of(message, item.path()) &&
          (longest == nullptr || longest->name.size() < item.name.size())) {
        longest = &item;
      }
    }
    return longest;
  }

  static Line line_of(const Item& item, std::string_view message) {
    for (const auto& [key, line] : item.found.lines) {
      if (speaks_of(message, item.path() + "." + key)) {
        return line;
      }
    }
    return item.line;
  }

  Problems problems_;
  std::vector<Item> items_;
  std::vector<Task> tasks_;
  std::vector<Race> races_;
  std::vector<Pool> pools_;
  EffectRules effects_;
  Item effects_at_{};
  std::set<std::string, std::less<>> broken_;  ///< Paths.
};

}  // namespace

Result<Catalog> parse_catalog(std::string_view text, std::string_view file_name) {
  return parse_catalog_file(text, file_name).map([](CatalogFile&& file) {
    return std::move(file.catalog);
  });
}

Result<CatalogFile> parse_catalog_file(std::string_view text, std::string_view file_name) {
  if (text.size() > catalog_bytes_max) {
    return fail(Errc::too_large, std::string(file_name) + ": " + std::to_string(text.size()) +
                                     " bytes, expected at most " +
                                     std::to_string(catalog_bytes_max));
  }
  try {
    const toml::table root = toml::parse(text, file_name);
    auto file = CatalogReader(file_name).read(root);
    if (file) {
      file->text = text;
    }
    return file;
  } catch (const toml::parse_error& problem) {
    return fail(Errc::invalid, std::string(file_name) + ":" +
                                   std::to_string(problem.source().begin.line) +
                                   ": TOML: " + std::string(problem.description()));
  }
}

Result<CatalogFile> read_catalog(const std::filesystem::path& file) {
  Result<std::string> text = read_file(file, catalog_bytes_max);
  if (!text) {
    return tl::unexpected<Error>(std::move(text.error()));
  }
  return parse_catalog_file(*text, file.string());
}

}  // namespace forerun
