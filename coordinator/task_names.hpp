#pragma once

#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/learned_contexts.hpp"
#include "coordinator/prediction_hash.hpp"

namespace forerun::prediction {

/// Which tasks a text names: "find restaurants" and SearchRestaurants share a word, and a task's
/// description may share more. Words count by how few tasks hold them; the first letters of a word
/// stand for it.
class TaskNames {
public:
  static constexpr std::size_t names_max = 16'384;
  static constexpr std::size_t named_max = 12;

  /// `description` may be empty; of a task that is known already it counts for nothing.
  void add(std::string_view name, std::string_view description, Key task, Key form);
  /// Of a task's calls; null: it is not known.
  const std::vector<Key>* forms_of(Key task) const;
  /// How much of a task's name, and of its description where the name leaves off, a text holds,
  /// 0 to 1. `stems`: those of the text, ascending.
  double match(Key task, const std::vector<Key>& stems) const;
  /// The forms of the tasks that a text names most, best first, with their match.
  std::vector<Likely> named(const std::vector<Key>& stems) const;

private:
  struct Stem {
    std::vector<Key> tasks;  ///< Whose names or descriptions hold it.
    mutable double rarity = 0;
    mutable std::size_t names = 0;  ///< There were so many when its rarity was worked out.
  };
  using Stems =
      std::vector<std::pair<Key, const Stem*>>;  ///< Elements of a map stay where they are.
  struct Name {
    Stems stems;
    Stems described;  ///< Of the description, as far as the name lacks them.
    std::vector<Key> forms;
  };
  double rarity(const Stem& stem) const;
  double held(const Stems& of_task, const std::vector<Key>& stems) const;
  Stems hold(const std::vector<Key>& stems, Key task);
  std::unordered_map<Key, Name, KeyHash> names_;  ///< By task.
  std::unordered_map<Key, Stem, KeyHash> holders_;
};

/// The first letters of a word, in small letters.
Key stem_of(std::string_view word);

}  // namespace forerun::prediction
