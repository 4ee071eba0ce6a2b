#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "speculation/call.hpp"
#include "speculation/command_settings.hpp"
#include "speculation/http_settings.hpp"
#include "speculation/json_pointer.hpp"
#include "speculation/tie_break.hpp"

namespace forerun {

/// What running a task does to the world outside. Only `pure` and `read` may be speculated, raced
/// or run again.
enum class Effect { pure, read, write };
std::string_view to_string(Effect effect);

/// What runs a task on a node.
enum class ExecutorKind {
  native,  ///< A C++ function registered by name in the node's program.
  exec,    ///< A command: input on stdin, output on stdout.
  world,   ///< A recorded world answers (see files/recorded_world.hpp).
  http,    ///< A request to an endpoint that answers JSON.
};
std::string_view to_string(ExecutorKind kind);

/// How far an undeclared `read` or `write` reaches.
enum class HazardScope { tenant, session };
std::string_view to_string(HazardScope scope);

/// Where a name usually stands in a session, for predictions before any history. Nothing depends
/// on it but what runs ahead.
struct Flow {
  /// Tasks and races, one of which usually follows, the likeliest first. An empty list: the session
  /// usually ends. No list: nobody said.
  std::optional<std::vector<std::string>> next;
  bool starts = false;  ///< A session usually begins with it.
};

struct Task {
  std::string name;
  ExecutorKind executor = ExecutorKind::exec;
  Effect effect = Effect::write;
  std::vector<std::string> command;  ///< `exec` only; argv.
  CommandSettings exec;              ///< `exec` only.
  HttpSettings http;                 ///< `http` only.
  std::string function;              ///< `native` only; the registered name, by default the task's.
  std::optional<std::vector<std::string>>
      reads;  ///< Tag patterns such as "order/{order_id}"; empty: not declared.
  std::optional<std::vector<std::string>> writes;  ///< As reads.
  HazardScope scope = HazardScope::tenant;
  /// Empty: timeout_default, until the coordinator knows how long the task takes (run_times.hpp).
  std::optional<Duration> timeout;
  Duration age_max =
      std::chrono::seconds(30);  ///< `read` only: how old a speculative answer may be at commit.
  bool idempotent = false;       ///< `write` only: may run again with the same key.
  std::optional<std::vector<std::string>>
      state;  ///< JSON pointers into the session's state that it gets; empty: all of it.
  bool envelope = false;  ///< `exec` only: input with the state, output with writes and effects.
  bool deterministic = true;
  bool hedge = true;  ///< A slow confirmed run may get a second attempt; never of a `write`.
  bool sandbox = true;
  std::string pool;  ///< Empty: none.
  std::string description;
  std::optional<json::Object> example;  ///< An input to try; its members are what calls give.
  Flow flow{};
};

/// Whether its answers may depend on its session's state.
inline bool sees_state(const Task& task) {
  return !task.state || !task.state->empty();
}

/// A condition on one branch's output that must hold for the branch to be valid. It reads nothing
/// else.
struct ValidCondition {
  enum class Test { at_least, at_most, equals, one_of, exists };
  std::string branch;
  std::string pointer;  ///< RFC 6901 into the output.
  Test test = Test::exists;
  json::Value operand;  ///< A number, any value, a list of values, or a flag.
};
std::string_view to_string(ValidCondition::Test test);

struct Race {
  std::string name;
  std::vector<std::string> branches;  ///< Task names in declared order; 2 to branches_max.
  SelectRule select = SelectRule::ranked;
  std::vector<ValidCondition> valid;
  Flow flow{};
};

struct Pool {
  std::string name;
  std::uint32_t in_flight_max = 0;
};

/// Where effects may go (design.md §4.4). Nowhere, unless the operator says so.
struct EffectRules {
  std::vector<std::string> allow;  ///< Beginnings of URLs.
  std::vector<std::string> tasks;  ///< Names; each a `write` that may run again with its key.
};

inline constexpr std::size_t branches_max = 16;
inline constexpr std::size_t effect_targets_max = 256;  ///< Of each kind.
inline constexpr std::size_t tasks_max = 20'000;
inline constexpr std::size_t tags_max = 32;         ///< Per task and direction.
inline constexpr std::size_t conditions_max = 64;   ///< Per race.
inline constexpr std::size_t state_paths_max = 32;  ///< Per task.
inline constexpr std::size_t next_max = 32;         ///< Names that may follow one.
inline constexpr std::size_t command_arguments_max = 256;
inline constexpr Duration timeout_max = std::chrono::hours(24);
inline constexpr Duration timeout_default = std::chrono::seconds(30);
/// For reading Catalog::to_json(): more than one document may have, less than a frame holds.
inline constexpr json::Limits catalog_wire_limits{7U << 20U, json::depth_max};

/// How a called name is answered: a race's branches, or the one branch of a plain task.
struct CallPlan {
  std::vector<std::string> names;  ///< Branch names in declared order.
  std::vector<const Task*> tasks;  ///< Borrowed from the catalog, one a name.
  SelectRule select = SelectRule::ranked;
  const Race* race = nullptr;  ///< Borrowed; null for a plain task.
  bool is_write() const { return tasks.size() == 1 && tasks.front()->effect == Effect::write; }
};

/// Tasks, races and pools, checked whole. Immutable once made.
class Catalog {
public:
  Catalog() = default;
  /// Errors: invalid, naming the first thing that does not hold: a race with an unknown, repeated
  /// or `write` branch, a name used twice, a condition on a branch that the race lacks, an unknown
  /// pool or follower, an empty command, a tag pattern with an unclosed brace, `reads` of a `pure`
  /// task, `writes` of any but a `write`, a limit exceeded. Messages name the place as in the file
  /// (`race.fraud.branches`) and suggest a near name.
  static Result<Catalog> make(std::vector<Task> tasks, std::vector<Race> races,
                              std::vector<Pool> pools, EffectRules effects = {});

  /// How `name` is answered. Errors: not_found with a near name as suggestion.
  Result<CallPlan> plan(std::string_view name) const;
  const Task* task(std::string_view name) const;
  const Pool* pool(std::string_view name) const;
  const std::map<std::string, Task, std::less<>>& tasks() const { return tasks_; }
  const std::map<std::string, Race, std::less<>>& races() const { return races_; }
  const std::map<std::string, Pool, std::less<>>& pools() const { return pools_; }

  const EffectRules& effects() const { return effects_; }

  /// The wire form that nodes receive: JSON with every field written. from_json(to_json(c)) equals
  /// c in every field.
  json::Value to_json() const;
  static Result<Catalog> from_json(const json::Value& value);

private:
  std::map<std::string, Task, std::less<>> tasks_;
  std::map<std::string, Race, std::less<>> races_;
  std::map<std::string, Pool, std::less<>> pools_;
  EffectRules effects_;
};

/// The candidate nearest to `name` by edit distance, if near enough to suggest (at most a third of
/// its length); the first of equally near ones.
std::optional<std::string> nearest_name(std::string_view name,
                                        std::span<const std::string> candidates);

/// True when every condition on `branch` holds for `output`. Pure.
bool output_is_valid(std::span<const ValidCondition> conditions, std::string_view branch,
                     const json::Value& output);

}  // namespace forerun
