#include <cmath>
#include <functional>

#include "speculation/catalog.hpp"

namespace forerun {
namespace {

json::Value list_of(const std::vector<std::string>& texts) {
  json::Array items;
  items.reserve(texts.size());
  for (const std::string& text : texts) {
    items.emplace_back(text);
  }
  return items;
}

json::Value list_or_null(const std::optional<std::vector<std::string>>& texts) {
  return texts ? list_of(*texts) : json::Value();
}

void set_flow(json::Object& out, const Flow& flow) {
  out.set("next", list_or_null(flow.next));
  out.set("starts", flow.starts);
}

json::Value value_of(const Task& task) {
  json::Object out;
  out.set("executor", to_string(task.executor));
  out.set("effect", to_string(task.effect));
  out.set("command", list_of(task.command));
  out.set("exec", command_settings_json(task.exec));
  out.set("function", task.function);
  out.set("http", http_settings_json(task.http));
  out.set("reads", list_or_null(task.reads));
  out.set("writes", list_or_null(task.writes));
  out.set("scope", to_string(task.scope));
  out.set("timeout_us", task.timeout ? json::Value(static_cast<std::int64_t>(task.timeout->count()))
                                     : json::Value());
  out.set("max_age_us", static_cast<std::int64_t>(task.age_max.count()));
  out.set("idempotent", task.idempotent);
  out.set("state", list_or_null(task.state));
  out.set("envelope", task.envelope);
  out.set("deterministic", task.deterministic);
  out.set("hedge", task.hedge);
  out.set("sandbox", task.sandbox);
  out.set("pool", task.pool);
  out.set("description", task.description);
  out.set("example", task.example ? json::Value(*task.example) : json::Value());
  set_flow(out, task.flow);
  return out;
}

json::Value value_of(const Race& race) {
  json::Array conditions;
  for (const ValidCondition& condition : race.valid) {
    json::Object each;
    each.set("branch", condition.branch);
    each.set("pointer", condition.pointer);
    each.set("test", to_string(condition.test));
    each.set("operand", condition.operand);
    conditions.emplace_back(std::move(each));
  }
  json::Object out;
  out.set("branches", list_of(race.branches));
  out.set("select", to_string(race.select));
  out.set("valid", std::move(conditions));
  set_flow(out, race.flow);
  return out;
}

/// Reads one object's members; keeps the first failure. Every member is required and none may be
/// left over: a field that this version does not know could be one that makes a task safe.
class FieldReader {
public:
  FieldReader(std::string place, const json::Value& value)
      : place_(std::move(place)), members_(value.object()) {
    if (members_ == nullptr) {
      refuse("expected an object");
    }
  }

  const json::Value& any(const char* name) {
    static const json::Value nothing;
    const json::Value* found = members_ == nullptr ? nullptr : members_->find(name);
    if (found == nullptr) {
      refuse(std::string(name) + ": missing");
      return nothing;
    }
    ++read_;
    return *found;
  }
  std::string text(const char* name) { return text_of(name, any(name)); }
  bool flag(const char* name) {
    const bool* found = any(name).boolean();
    if (found == nullptr) {
      refuse(std::string(name) + ": expected true or false");
    }
    return found != nullptr && *found;
  }
  std::int64_t integer(const char* name) {
    const double* found = any(name).number();
    if (found == nullptr || std::abs(*found) > 9007199254740991.0 || *found != std::trunc(*found)) {
      refuse(std::string(name) + ": expected an integer");
      return 0;
    }
    return static_cast<std::int64_t>(*found);
  }
  const json::Array& list(const char* name) {
    static const json::Array nothing;
    const json::Array* found = any(name).array();
    if (found == nullptr) {
      refuse(std::string(name) + ": expected a list");
    }
    return found == nullptr ? nothing : *found;
  }
  std::vector<std::string> texts(const char* name) {
    std::vector<std::string> result;
    for (const json::Value& item : list(name)) {
      result.push_back(text_of(name, item));
    }
    return result;
  }
  std::optional<std::vector<std::string>> texts_or_null(const char* name) {
    if (members_ != nullptr && members_->find(name) != nullptr && members_->find(name)->is_null()) {
      ++read_;
      return std::nullopt;
    }
    return texts(name);
  }
  std::optional<json::Object> object_or_null(const char* name) {
    const json::Value& found = any(name);
    if (found.object() != nullptr) {
      return *found.object();
    }
    if (!found.is_null()) {
      refuse(std::string(name) + ": expected an object or null");
    }
    return std::nullopt;
  }
  Flow flow() { return {texts_or_null("next"), flag("starts")}; }
  std::optional<std::int64_t> integer_or_null(const char* name) {
    if (members_ != nullptr && members_->find(name) != nullptr && members_->find(name)->is_null()) {
      ++read_;
      return std::nullopt;
    }
    return integer(name);
  }
  template <class Enum>
  Enum one_of(const char* name, std::initializer_list<Enum> known) {
    const std::string found = text(name);
    for (const Enum each : known) {
      if (to_string(each) == found) {
        return each;
      }
    }
    refuse(std::string(name) + ": \"" + found + "\" is not known");
    return *known.begin();
  }
  Result<void> finish() {
    if (!error_ && read_ != members_->size()) {
      refuse("has a field that this version does not know");
    }
    if (error_) {
      return tl::unexpected<Error>(*error_);
    }
    return {};
  }

private:
  std::string text_of(const char* name, const json::Value& value) {
    if (value.string() == nullptr) {
      refuse(std::string(name) + ": expected a text");
      return {};
    }
    return *value.string();
  }
  void refuse(const std::string& why) {
    if (!error_) {
      error_ = Error{Errc::invalid, place_ + ": " + why};
    }
  }
  std::string place_;
  const json::Object* members_;
  std::size_t read_ = 0;
  std::optional<Error> error_;
};

Result<Task> task_of(const std::string& name, const json::Value& value) {
  FieldReader in("task." + name, value);
  Task task;
  task.name = name;
  task.executor = in.one_of("executor", {ExecutorKind::native, ExecutorKind::exec,
                                         ExecutorKind::world, ExecutorKind::http});
  task.effect = in.one_of("effect", {Effect::pure, Effect::read, Effect::write});
  task.command = in.texts("command");
  task.function = in.text("function");
  auto exec = command_settings_from(in.any("exec"));
  auto http = http_settings_from(in.any("http"));
  task.reads = in.texts_or_null("reads");
  task.writes = in.texts_or_null("writes");
  task.scope = in.one_of("scope", {HazardScope::tenant, HazardScope::session});
  if (const auto timeout = in.integer_or_null("timeout_us")) {
    task.timeout = Duration(*timeout);
  }
  task.age_max = Duration(in.integer("max_age_us"));
  task.idempotent = in.flag("idempotent");
  task.state = in.texts_or_null("state");
  task.envelope = in.flag("envelope");
  task.deterministic = in.flag("deterministic");
  task.hedge = in.flag("hedge");
  task.sandbox = in.flag("sandbox");
  task.pool = in.text("pool");
  task.description = in.text("description");
  task.example = in.object_or_null("example");
  task.flow = in.flow();
  if (const auto held = in.finish(); !held) {
    return tl::unexpected<Error>(held.error());
  }
  if (!exec || !http) {
    const Error& error = !exec ? exec.error() : http.error();
    return fail(error.code, "task." + name + "." + error.message);
  }
  task.exec = std::move(*exec);
  task.http = std::move(*http);
  return task;
}

Result<ValidCondition> condition_of(const std::string& place, const json::Value& value) {
  using Test = ValidCondition::Test;
  FieldReader in(place, value);
  ValidCondition condition;
  condition.branch = in.text("branch");
  condition.pointer = in.text("pointer");
  condition.test =
      in.one_of("test", {Test::at_least, Test::at_most, Test::equals, Test::one_of, Test::exists});
  condition.operand = in.any("operand");
  return in.finish().map([&] { return std::move(condition); });
}

Result<Race> race_of(const std::string& name, const json::Value& value) {
  const std::string place = "race." + name;
  FieldReader in(place, value);
  Race race;
  race.name = name;
  race.branches = in.texts("branches");
  race.select = in.one_of(
      "select", {SelectRule::seeded, SelectRule::ranked, SelectRule::ordered, SelectRule::first});
  for (const json::Value& item : in.list("valid")) {
    auto condition = condition_of(place + ".valid", item);
    if (!condition) {
      return tl::unexpected<Error>(condition.error());
    }
    race.valid.push_back(std::move(*condition));
  }
  race.flow = in.flow();
  return in.finish().map([&] { return std::move(race); });
}

Result<Pool> pool_of(const std::string& name, const json::Value& value) {
  FieldReader in("pool." + name, value);
  const std::int64_t in_flight = in.integer("max_in_flight");
  if (const auto held = in.finish(); !held) {
    return tl::unexpected<Error>(held.error());
  }
  if (in_flight < 0 || in_flight > UINT32_MAX) {
    return fail(Errc::invalid, "pool." + name + ".max_in_flight: out of range");
  }
  return Pool{name, static_cast<std::uint32_t>(in_flight)};
}

/// Reads every member of `value`'s object `kind`.
template <class Item>
Result<std::vector<Item>> items_of(const json::Value& value, const char* kind,
                                   Result<Item> (*read)(const std::string&, const json::Value&)) {
  const json::Value* found = value.find(kind);
  if (found == nullptr || found->object() == nullptr) {
    return fail(Errc::invalid, "catalog: " + std::string(kind) + ": expected an object");
  }
  std::vector<Item> items;
  for (const json::Member& member : *found->object()) {
    auto item = read(member.name, member.value);
    if (!item) {
      return tl::unexpected<Error>(std::move(item.error()));
    }
    items.push_back(std::move(*item));
  }
  return items;
}

}  // namespace

json::Value Catalog::to_json() const {
  // In the maps' order, so that set() mostly appends.
  json::Object tasks;
  for (const auto& [name, task] : tasks_) {
    tasks.set(name, value_of(task));
  }
  json::Object races;
  for (const auto& [name, race] : races_) {
    races.set(name, value_of(race));
  }
  json::Object pools;
  for (const auto& [name, pool] : pools_) {
    json::Object each;
    each.set("max_in_flight", static_cast<std::int64_t>(pool.in_flight_max));
    pools.set(name, std::move(each));
  }
  json::Object effects;
  effects.set("allow", list_of(effects_.allow));
  effects.set("tasks", list_of(effects_.tasks));
  json::Object out;
  out.set("effects", std::move(effects));
  out.set("pool", std::move(pools));
  out.set("race", std::move(races));
  out.set("task", std::move(tasks));
  return out;
}

Result<Catalog> Catalog::from_json(const json::Value& value) {
  auto tasks = items_of<Task>(value, "task", task_of);
  if (!tasks) {
    return tl::unexpected<Error>(std::move(tasks.error()));
  }
  auto races = items_of<Race>(value, "race", race_of);
  if (!races) {
    return tl::unexpected<Error>(std::move(races.error()));
  }
  auto pools = items_of<Pool>(value, "pool", pool_of);
  if (!pools) {
    return tl::unexpected<Error>(std::move(pools.error()));
  }
  static const json::Value nothing;
  const json::Value* found = value.find("effects");
  FieldReader in("effects", found == nullptr ? nothing : *found);
  EffectRules effects{in.texts("allow"), in.texts("tasks")};
  if (const auto held = in.finish(); !held) {
    return tl::unexpected<Error>(held.error());
  }
  return make(std::move(*tasks), std::move(*races), std::move(*pools), std::move(effects));
}

}  // namespace forerun
