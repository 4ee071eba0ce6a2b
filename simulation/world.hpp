#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "speculation/catalog.hpp"
#include "speculation/entry.hpp"

namespace forerun::simulation {

/// Of all simulated clients.
inline constexpr const char* client_tenant = "tenant";

/// Tasks of every effect class and races of every reproducible rule.
Catalog make_catalog();

/// What a task answers, given the value stored under its input's key. Errors: a failure that
/// belongs to the input.
Result<std::string> answer_of(std::string_view task, const json::Object& input,
                              std::int64_t stored);
/// The value that a `write` leaves under its input's key.
std::int64_t written_by(std::string_view task, const json::Object& input, std::int64_t stored);
std::string key_of(const json::Object& input);
/// What it changes in its session's state, given the part that it got; empty: nothing.
std::string writes_of(std::string_view task, const std::string& state);
/// What it asks to be done outside; empty: nothing.
std::string effects_of(std::string_view task, const std::string& input);
/// The number that writes_of() counts up.
std::int64_t count_of(std::string_view state);

/// The outside: a store of numbers that all workers share, whatever becomes of their answers.
class Outside {
public:
  /// Runs the task at one moment. An idempotent write with a key that came before changes nothing
  /// and answers the same.
  Result<std::string> run(const Task& task, const json::Object& input,
                          const std::string& outside_key);

private:
  std::map<std::string, std::int64_t> values_;
  std::map<std::string, std::string> done_;
};

/// The sessions as they would go one step after the other, without speculation, faults or time.
/// Each session has keys of its own, so every committed step has one right outcome; only after a
/// write that failed is its key's value not known.
class Reference {
public:
  explicit Reference(const Catalog& catalog) : catalog_(&catalog) {}
  /// Follows the next commit of a session; says what is wrong with it.
  Result<void> follow(const CommitEntry& commit, const Call& call, const std::string& output);

private:
  Result<void> check_branch(const CommitEntry& commit, const Call& call, std::size_t index,
                            std::int64_t stored) const;

  const Catalog* catalog_;
  std::map<std::string, std::int64_t> values_;
  std::set<std::string> unknown_;
};

}  // namespace forerun::simulation
