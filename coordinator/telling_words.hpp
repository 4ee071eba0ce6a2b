#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "coordinator/learned_contexts.hpp"
#include "coordinator/session_memory.hpp"

namespace forerun::prediction {

/// What the words of a session's latest texts say of forms (not a probability), best first: before
/// any step, and after.
using Spoken = std::array<std::vector<Likely>, 2>;

/// Which words of texts tell which form of call comes next, by tenant: a linear model over words,
/// learned online with a step of its own for each word and form (AdaGrad). A bounded number.
class TellingWords {
public:
  explicit TellingWords(std::size_t words_max) : words_(words_max) {}

  /// Adds up what the words of the latest texts say; done once an event, not once a question.
  void hear(const SessionMemory& memory, Key tenant, Spoken& spoken) const;
  /// After these words came this form, where each was stated as so likely. A step along the
  /// gradient, for each word and form.
  void learn(const SessionMemory& memory, Key tenant, std::map<Key, double> stated, Key came);
  /// The words of the text that speak most for a form, or against it, before its rivals (each with
  /// its part of them). For people.
  std::string words_for(const SessionMemory& memory, Key tenant, Key form,
                        const std::map<Key, double>& rivals, bool speaks_for) const;

private:
  /// What follows a word: how much it speaks for each form, the forms it was last wrong about.
  struct Word {
    struct Weight {
      Key form = 0;
      double weight = 0;
      double squares = 0;
    };
    std::vector<Weight> forms;

    Weight& of(Key form);
  };

  BoundedTable<Word> words_;  ///< By tenant, word, and whether steps have followed it.
};

/// The place in Spoken of what is said in the session as it is.
inline std::size_t spoken_at(const SessionMemory& memory) {
  return memory.has_fresh_words() ? 0 : 1;
}

}  // namespace forerun::prediction
