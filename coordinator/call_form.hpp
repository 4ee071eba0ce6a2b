#pragma once

#include <string>
#include <vector>

#include "base/json.hpp"
#include "coordinator/declared_prior.hpp"
#include "coordinator/prediction_hash.hpp"

namespace forerun::prediction {

/// Calls with more have no form that is learned.
inline constexpr std::size_t parameters_per_call_max = 32;

/// A task with the parameters that a call gives: what follows is predicted in forms.
struct Form {
  std::string task;
  Key task_key = 0;
  std::vector<std::string> names;
  std::vector<Key> name_keys;
  std::vector<Key> parameters;
  double seen = 0;      ///< Calls of this form, ever.
  double tries = 0;     ///< Calls of this form, the recent ones.
  double expected = 0;  ///< Sum of what its best arguments were given as their probability.
  double hits = 0;      ///< How often they were exactly right.
  double repeats = 0;   ///< Calls that the session had made before.
  const DeclaredPrior::Declared* declared = nullptr;  ///< Of a form that was never seen.

  /// The form of such calls, still without a record.
  void name(const std::string& of_task, Key key_of_task, const json::Object& input);
  /// One more call. `is_repeat`: its session had made it before.
  void count(bool is_repeat);
};

/// Names the form of calls of a task with such an input.
Key form_key_of(Key task, const json::Object& input);
Key hash_input(const json::Object& input);

}  // namespace forerun::prediction
