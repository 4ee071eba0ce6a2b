#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/learned_contexts.hpp"
#include "coordinator/prediction_hash.hpp"

namespace forerun::prediction {

/// What one past session said and did.
struct PastSession {
  std::vector<Key> words;  ///< Of its texts, ascending, each once.
  std::vector<Key> tasks;  ///< Of its steps, in order.
  std::vector<Key> forms;  ///< Forms of its calls; one more than tasks: the last is its end.
};

/// One tenant's past sessions, a bounded number: what was done after texts like this one. Words
/// weigh by their rarity (inverse document frequency, Spärck Jones 1972), sessions by the cosine.
class PastSessions {
public:
  static constexpr std::size_t sessions_max = 384;
  static constexpr std::size_t words_max = 256;  ///< Of one session.
  static constexpr std::size_t steps_max = 64;   ///< Of one session.
  static constexpr std::size_t neighbours = 12;

  struct Neighbour {
    std::uint64_t number = 0;
    double likeness = 0;
  };

  /// Keeps the latest `limit`, at most sessions_max.
  void add(PastSession session, std::size_t limit);
  /// The most alike, best first. `words` ascending, each once.
  std::vector<Neighbour> nearest(const std::vector<Key>& words) const;
  /// What followed in the neighbours where they had done what was done last (`tasks`: all tasks so
  /// far): forms with shares that sum to 1, or nothing.
  std::vector<Likely> likely(const std::vector<Neighbour>& near,
                             const std::vector<Key>& tasks) const;

private:
  double rarity(Key word) const;

  std::deque<PastSession> sessions_;
  std::uint64_t forgotten_ = 0;  ///< Number of the first session still here.
  std::unordered_map<Key, std::uint32_t, KeyHash> holders_;  ///< Sessions that hold a word.
};

}  // namespace forerun::prediction
