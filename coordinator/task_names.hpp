#pragma once

#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/learned_contexts.hpp"
#include "coordinator/prediction_hash.hpp"

namespace forerun::prediction {

/// Which tasks a text names: "find restaurants" and SearchRestaurants share a word. Words count by
/// how few task names hold them; the first letters of a word stand for it.
class TaskNames {
public:
  static constexpr std::size_t names_max = 16'384;
  static constexpr std::size_t named_max = 12;

  void add(std::string_view name, Key task, Key form);
  /// How much of a task's name a text holds, 0 to 1. `words`: stems of the text, ascending.
  double match(Key task, const std::vector<Key>& stems) const;
  /// The forms of the tasks that a text names most, best first, with their match.
  std::vector<Likely> named(const std::vector<Key>& stems) const;

private:
  struct Stem {
    std::vector<Key> tasks;  ///< Whose names hold it.
    mutable double rarity = 0;
    mutable std::size_t names = 0;  ///< There were so many when its rarity was worked out.
  };
  struct Name {
    std::vector<std::pair<Key, const Stem*>> stems;  ///< Elements of a map stay where they are.
    std::vector<Key> forms;
  };
  double rarity(const Stem& stem) const;
  std::unordered_map<Key, Name, KeyHash> names_;  ///< By task.
  std::unordered_map<Key, Stem, KeyHash> holders_;
};

/// The first letters of a word, in small letters.
Key stem_of(std::string_view word);

}  // namespace forerun::prediction
