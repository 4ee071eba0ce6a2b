#include "speculation/catalog.hpp"

#include <algorithm>
#include <set>

#include "base/assert.hpp"
#include "speculation/effects.hpp"
#include "speculation/hazard_tags.hpp"

namespace forerun {
namespace {

/// A name that is not near anything in the first so many candidates, or longer than so many bytes,
/// gets no suggestion: a client's misspelling must not cost a coordinator more than a millisecond.
constexpr std::size_t suggestion_candidates_max = 2'000;
constexpr std::size_t suggestion_bytes_max = 64;

tl::unexpected<Error> invalid(const std::string& place, const std::string& why) {
  return fail(Errc::invalid, place + ": " + why);
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

/// Levenshtein's distance, or `limit` + 1 as soon as it is known to be more.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  const std::size_t difference = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (difference > limit) {
    return limit + 1;
  }
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    std::size_t least = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      least = std::min(least, row[j]);
    }
    if (least > limit) {
      return limit + 1;
    }
  }
  return row[b.size()];
}

template <class Map>
std::string suggestion(std::string_view name, const Map& known) {
  std::vector<std::string> candidates;
  for (const auto& [each, value] : known) {
    candidates.push_back(each);
    if (candidates.size() == suggestion_candidates_max) {
      break;
    }
  }
  const auto near = nearest_name(name, candidates);
  return near ? "; did you mean " + quoted(*near) + "?" : "";
}

Result<void> check_name(const std::string& place, const std::string& name) {
  if (name.empty() || name.size() > task_bytes_max) {
    return invalid(place, "a name of " + std::to_string(name.size()) + " bytes, expected 1 to " +
                              std::to_string(task_bytes_max));
  }
  return {};
}

Result<void> check_tags(const std::string& place,
                        const std::optional<std::vector<std::string>>& patterns) {
  if (!patterns) {
    return {};
  }
  if (patterns->size() > tags_max) {
    return invalid(place, std::to_string(patterns->size()) + " tags, expected at most " +
                              std::to_string(tags_max));
  }
  for (const std::string& pattern : *patterns) {
    if (!is_tag_pattern(pattern)) {
      return invalid(
          place,
          quoted(pattern) + ": expected text with fields in braces, as in \"order/{order_id}\"");
    }
  }
  return {};
}

Result<void> check_executor(const std::string& place, const Task& task) {
  if (task.executor == ExecutorKind::exec &&
      (task.command.empty() || task.command.front().empty())) {
    return invalid(place + ".command", "empty, expected a program and its arguments");
  }
  if (task.executor != ExecutorKind::exec && !task.command.empty()) {
    return invalid(place + ".command",
                   "only for executor \"exec\", found " + quoted(to_string(task.executor)));
  }
  if (task.executor != ExecutorKind::exec && task.exec != CommandSettings()) {
    return invalid(place + ".exec",
                   "only for executor \"exec\", found " + quoted(to_string(task.executor)));
  }
  if (task.effect != Effect::write && !task.exec.writable.empty()) {
    return invalid(place + ".writable", "only a task with effect \"write\" writes, found " +
                                            quoted(to_string(task.effect)));
  }
  if (const auto held = check_command_settings(place, task.exec); !held) {
    return held;
  }
  if (task.executor == ExecutorKind::http) {
    if (const auto held = check_http_settings(place, task.http); !held) {
      return held;
    }
  } else if (task.http != HttpSettings()) {
    return invalid(place + ".http",
                   "only for executor \"http\", found " + quoted(to_string(task.executor)));
  }
  if (task.command.size() > command_arguments_max) {
    return invalid(place + ".command", std::to_string(task.command.size()) +
                                           " arguments, expected at most " +
                                           std::to_string(command_arguments_max));
  }
  if (task.executor != ExecutorKind::exec && task.envelope) {
    return invalid(place + ".envelope",
                   "only for executor \"exec\", found " + quoted(to_string(task.executor)));
  }
  if (task.executor != ExecutorKind::native && !task.function.empty()) {
    return invalid(place + ".function",
                   "only for executor \"native\", found " + quoted(to_string(task.executor)));
  }
  return {};
}

Result<void> check_state(const std::string& place,
                         const std::optional<std::vector<std::string>>& paths) {
  if (!paths) {
    return {};
  }
  if (paths->size() > state_paths_max) {
    return invalid(place, std::to_string(paths->size()) + " paths, expected at most " +
                              std::to_string(state_paths_max));
  }
  for (const std::string& path : *paths) {
    if (!is_json_pointer(path)) {
      return invalid(place, quoted(path) + ": expected a JSON pointer, as in \"/cart\"");
    }
  }
  return {};
}

template <class Pools>
Result<void> check_task(const Task& task, const Pools& pools) {
  const std::string place = "task." + task.name;
  if (const auto held = check_executor(place, task); !held) {
    return held;
  }
  if (task.effect == Effect::pure && task.reads && !task.reads->empty()) {
    return invalid(place + ".reads",
                   "a \"pure\" task reads nothing, expected effect \"read\" or \"write\"");
  }
  if (task.effect != Effect::write && task.writes && !task.writes->empty()) {
    return invalid(place + ".writes", "only a task with effect \"write\" writes, found " +
                                          quoted(to_string(task.effect)));
  }
  if (const auto held = check_tags(place + ".reads", task.reads); !held) {
    return held;
  }
  if (const auto held = check_tags(place + ".writes", task.writes); !held) {
    return held;
  }
  if (const auto held = check_state(place + ".state", task.state); !held) {
    return held;
  }
  if (task.timeout && (*task.timeout <= Duration::zero() || *task.timeout > timeout_max)) {
    return invalid(place + ".timeout_ms", "expected more than 0 and at most 24 hours");
  }
  if (task.age_max < Duration::zero() || task.age_max > timeout_max) {
    return invalid(place + ".max_age_ms", "expected 0 to 24 hours");
  }
  if (!task.pool.empty() && !pools.contains(task.pool)) {
    return invalid(place + ".pool", "no pool " + quoted(task.pool) + suggestion(task.pool, pools));
  }
  return {};
}

Result<void> check_condition(const std::string& place, const Race& race,
                             const ValidCondition& condition) {
  if (std::find(race.branches.begin(), race.branches.end(), condition.branch) ==
      race.branches.end()) {
    const auto near = nearest_name(condition.branch, race.branches);
    return invalid(place, "the race has no branch " + quoted(condition.branch) +
                              (near ? "; did you mean " + quoted(*near) + "?" : ""));
  }
  if (!is_json_pointer(condition.pointer)) {
    return invalid(place, "pointer " + quoted(condition.pointer) +
                              ": expected RFC 6901, as in \"/confidence\"");
  }
  using Test = ValidCondition::Test;
  const json::Value& operand = condition.operand;
  if ((condition.test == Test::at_least || condition.test == Test::at_most) &&
      operand.number() == nullptr) {
    return invalid(place, std::string(to_string(condition.test)) + ": expected a number");
  }
  if (condition.test == Test::one_of && (operand.array() == nullptr || operand.array()->empty())) {
    return invalid(place, "one_of: expected a list of values");
  }
  if (condition.test == Test::exists && operand.boolean() == nullptr) {
    return invalid(place, "exists: expected true or false");
  }
  return {};
}

template <class Tasks>
Result<void> check_race(const Race& race, const Tasks& tasks) {
  const std::string place = "race." + race.name;
  if (tasks.contains(race.name)) {
    return invalid(place, "named like a task, expected a name of its own");
  }
  if (race.branches.size() < 2 || race.branches.size() > branches_max) {
    return invalid(place + ".branches", std::to_string(race.branches.size()) +
                                            " branches, expected 2 to " +
                                            std::to_string(branches_max));
  }
  std::set<std::string_view> seen;
  for (const std::string& branch : race.branches) {
    const auto task = tasks.find(branch);
    if (task == tasks.end()) {
      return invalid(place + ".branches", "no task " + quoted(branch) + suggestion(branch, tasks));
    }
    if (!seen.insert(branch).second) {
      return invalid(place + ".branches", quoted(branch) + " twice, expected each task once");
    }
    if (task->second.effect == Effect::write) {
      return invalid(place + ".branches",
                     quoted(branch) +
                         " has effect \"write\", expected \"pure\" or \"read\": a "
                         "write runs once");
    }
  }
  if (race.valid.size() > conditions_max) {
    return invalid(place + ".valid", std::to_string(race.valid.size()) +
                                         " conditions, expected at most " +
                                         std::to_string(conditions_max));
  }
  for (const ValidCondition& condition : race.valid) {
    if (const auto held = check_condition(place + ".valid", race, condition); !held) {
      return held;
    }
  }
  return {};
}

template <class Tasks, class Races>
Result<void> check_flow(const std::string& place, const Flow& flow, const Tasks& tasks,
                        const Races& races) {
  if (!flow.next) {
    return {};
  }
  if (flow.next->size() > next_max) {
    return invalid(place + ".next", std::to_string(flow.next->size()) +
                                        " names, expected at most " + std::to_string(next_max));
  }
  std::set<std::string_view> seen;
  for (const std::string& name : *flow.next) {
    if (!tasks.contains(name) && !races.contains(name)) {
      std::string near = suggestion(name, tasks);
      if (near.empty()) {
        near = suggestion(name, races);
      }
      return invalid(place + ".next", "no task or race " + quoted(name) + near);
    }
    if (!seen.insert(name).second) {
      return invalid(place + ".next", quoted(name) + " twice, expected each name once");
    }
  }
  return {};
}

template <class Tasks>
Result<void> check_effects(const EffectRules& rules, const Tasks& tasks) {
  for (const auto* list : {&rules.allow, &rules.tasks}) {
    if (list->size() > effect_targets_max) {
      return invalid(list == &rules.allow ? "effects.allow" : "effects.tasks",
                     std::to_string(list->size()) + " items, expected at most " +
                         std::to_string(effect_targets_max));
    }
  }
  for (const std::string& prefix : rules.allow) {
    if (!is_url_prefix(prefix)) {
      return invalid("effects.allow",
                     quoted(prefix) +
                         ": expected the beginning of an http or https URL with its host, as in "
                         "\"https://hooks.example/orders/\"");
    }
  }
  for (const std::string& name : rules.tasks) {
    const auto task = tasks.find(name);
    if (task == tasks.end()) {
      return invalid("effects.tasks", "no task " + quoted(name) + suggestion(name, tasks));
    }
    if (task->second.effect != Effect::write || !task->second.idempotent) {
      return invalid("effects.tasks",
                     quoted(name) +
                         ": expected a task with effect \"write\" and idempotent = "
                         "true: an effect is delivered at least once");
    }
  }
  return {};
}

/// Moves `items` into `map` by name.
template <class Item, class Map>
Result<void> index_by_name(const char* kind, std::vector<Item> items, Map& map) {
  if (items.size() > tasks_max) {
    return invalid(
        kind, std::to_string(items.size()) + ", expected at most " + std::to_string(tasks_max));
  }
  for (Item& item : items) {
    const std::string place = std::string(kind) + "." + item.name;
    if (const auto held = check_name(place, item.name); !held) {
      return held;
    }
    std::string name = item.name;
    if (!map.emplace(std::move(name), std::move(item)).second) {
      return invalid(place, "named twice");
    }
  }
  return {};
}

bool holds(const ValidCondition& condition, const json::Value& output) {
  const json::Value* found = resolve_pointer(output, condition.pointer);
  if (condition.test == ValidCondition::Test::exists) {
    const bool* expected = condition.operand.boolean();
    return (found != nullptr) == (expected == nullptr || *expected);
  }
  if (found == nullptr) {
    return false;
  }
  const double* bound = condition.operand.number();
  const json::Array* choices = condition.operand.array();
  switch (condition.test) {
    case ValidCondition::Test::at_least:
      return found->number() != nullptr && bound != nullptr && *found->number() >= *bound;
    case ValidCondition::Test::at_most:
      return found->number() != nullptr && bound != nullptr && *found->number() <= *bound;
    case ValidCondition::Test::equals:
      return *found == condition.operand;
    case ValidCondition::Test::one_of:
      return choices != nullptr &&
             std::find(choices->begin(), choices->end(), *found) != choices->end();
    case ValidCondition::Test::exists:
      break;
  }
  FORERUN_ASSERT(false);
}

}  // namespace

std::string_view to_string(Effect effect) {
  switch (effect) {
    case Effect::pure:
      return "pure";
    case Effect::read:
      return "read";
    case Effect::write:
      return "write";
  }
  FORERUN_ASSERT(false);
}

std::string_view to_string(ExecutorKind kind) {
  switch (kind) {
    case ExecutorKind::native:
      return "native";
    case ExecutorKind::exec:
      return "exec";
    case ExecutorKind::world:
      return "world";
    case ExecutorKind::http:
      return "http";
  }
  FORERUN_ASSERT(false);
}

std::string_view to_string(HazardScope scope) {
  return scope == HazardScope::tenant ? "tenant" : "session";
}

std::string_view to_string(ValidCondition::Test test) {
  switch (test) {
    case ValidCondition::Test::at_least:
      return "at_least";
    case ValidCondition::Test::at_most:
      return "at_most";
    case ValidCondition::Test::equals:
      return "equals";
    case ValidCondition::Test::one_of:
      return "one_of";
    case ValidCondition::Test::exists:
      return "exists";
  }
  FORERUN_ASSERT(false);
}

Result<Catalog> Catalog::make(std::vector<Task> tasks, std::vector<Race> races,
                              std::vector<Pool> pools, EffectRules effects) {
  Catalog catalog;
  catalog.effects_ = std::move(effects);
  for (Task& task : tasks) {
    if (task.executor == ExecutorKind::native && task.function.empty()) {
      task.function = task.name;
    }
  }
  for (const auto& indexed : {index_by_name("task", std::move(tasks), catalog.tasks_),
                              index_by_name("race", std::move(races), catalog.races_),
                              index_by_name("pool", std::move(pools), catalog.pools_)}) {
    if (!indexed) {
      return tl::unexpected<Error>(indexed.error());
    }
  }
  for (const auto& [name, pool] : catalog.pools_) {
    if (pool.in_flight_max == 0) {
      return invalid("pool." + name + ".max_in_flight", "0, expected at least 1");
    }
  }
  for (const auto& [name, task] : catalog.tasks_) {
    if (const auto held = check_task(task, catalog.pools_); !held) {
      return tl::unexpected<Error>(held.error());
    }
  }
  for (const auto& [name, race] : catalog.races_) {
    if (const auto held = check_race(race, catalog.tasks_); !held) {
      return tl::unexpected<Error>(held.error());
    }
  }
  for (const auto& [name, task] : catalog.tasks_) {
    if (const auto held = check_flow("task." + name, task.flow, catalog.tasks_, catalog.races_);
        !held) {
      return tl::unexpected<Error>(held.error());
    }
  }
  for (const auto& [name, race] : catalog.races_) {
    if (const auto held = check_flow("race." + name, race.flow, catalog.tasks_, catalog.races_);
        !held) {
      return tl::unexpected<Error>(held.error());
    }
  }
  if (const auto held = check_effects(catalog.effects_, catalog.tasks_); !held) {
    return tl::unexpected<Error>(held.error());
  }
  // A catalog that no node could read must not start a coordinator.
  if (const auto wire = json::parse(json::canonical(catalog.to_json()), catalog_wire_limits);
      !wire) {
    return fail(wire.error().code, "catalog: as nodes receive it: " + wire.error().message);
  }
  return catalog;
}

Result<CallPlan> Catalog::plan(std::string_view name) const {
  CallPlan plan;
  if (const Task* found = task(name)) {
    plan.names.push_back(found->name);
    plan.tasks.push_back(found);
    return plan;
  }
  const auto race = races_.find(name);
  if (race == races_.end()) {
    std::string near = suggestion(name, tasks_);
    if (near.empty()) {
      near = suggestion(name, races_);
    }
    return fail(Errc::not_found,
                "catalog: no task or race " + quoted(name.substr(0, suggestion_bytes_max)) + near);
  }
  plan.race = &race->second;
  plan.select = plan.race->select;
  plan.names = plan.race->branches;
  for (const std::string& branch : plan.names) {
    plan.tasks.push_back(task(branch));
    FORERUN_ASSERT(plan.tasks.back() != nullptr);
  }
  return plan;
}

const Task* Catalog::task(std::string_view name) const {
  const auto at = tasks_.find(name);
  return at == tasks_.end() ? nullptr : &at->second;
}

const Pool* Catalog::pool(std::string_view name) const {
  const auto at = pools_.find(name);
  return at == pools_.end() ? nullptr : &at->second;
}

std::optional<std::string> nearest_name(std::string_view name,
                                        std::span<const std::string> candidates) {
  std::size_t limit = name.size() / 3;
  std::optional<std::string> nearest;
  if (name.size() > suggestion_bytes_max || limit == 0) {
    return nearest;
  }
  for (const std::string& candidate :
       candidates.first(std::min(candidates.size(), suggestion_candidates_max))) {
    const std::size_t distance = edit_distance(name, candidate, limit);
    if (distance <= limit) {
      nearest = candidate;
      if (distance == 0) {
        break;
      }
      limit = distance - 1;  // Only a nearer one replaces it, so equal distances keep the first.
    }
  }
  return nearest;
}

bool output_is_valid(std::span<const ValidCondition> conditions, std::string_view branch,
                     const json::Value& output) {
  return std::all_of(conditions.begin(), conditions.end(), [&](const ValidCondition& condition) {
    return condition.branch != branch || holds(condition, output);
  });
}

}  // namespace forerun
