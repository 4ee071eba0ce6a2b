#include "coordinator/telling_words.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <unordered_map>

#include "coordinator/likely.hpp"

namespace forerun::prediction {

namespace {

/// How fast the weights of words move (AdaGrad).
constexpr double word_rate = 0.3;
constexpr double word_damping = 0.1;
constexpr std::size_t word_forms_max = 48;
constexpr std::size_t words_told = 2;
constexpr std::size_t word_bytes_told = 24;

/// Of so many words each says so much less.
double share_of_word(const std::vector<Key>& words) {
  return 1 / std::sqrt(static_cast<double>(std::max<std::size_t>(1, words.size())));
}

}  // namespace

TellingWords::Word::Weight& TellingWords::Word::of(Key form) {
  for (Weight& each : forms) {
    if (each.form == form) {
      return each;
    }
  }
  if (forms.size() >= word_forms_max) {
    // The one that says least.
    forms.erase(std::min_element(forms.begin(), forms.end(), [](const Weight& a, const Weight& b) {
      return std::abs(a.weight) < std::abs(b.weight);
    }));
  }
  return forms.emplace_back(Weight{form});
}

void TellingWords::hear(const SessionMemory& memory, Key tenant, Spoken& spoken) const {
  const std::vector<Key>& words = memory.last_words();
  const double scale = share_of_word(words);
  for (Key later = 0; later < 2; ++later) {
    if (words.empty()) {
      spoken[later].clear();
      continue;
    }
    std::unordered_map<Key, double, KeyHash> sums;
    for (const Key word : words) {
      if (const Word* known = words_.find(mix(tenant, word, later))) {
        for (const Word::Weight& each : known->forms) {
          sums[each.form] += each.weight * scale;
        }
      }
    }
    std::vector<Likely>& said = spoken[later];
    said.clear();
    for (const auto& [form, sum] : sums) {
      said.push_back({form, sum});
    }
    std::sort(said.begin(), said.end(), more_likely);
  }
}

void TellingWords::learn(const SessionMemory& memory, Key tenant, std::map<Key, double> stated,
                         Key came) {
  stated.try_emplace(came, 0);
  const std::vector<Key>& words = memory.last_words();
  const Key later = spoken_at(memory);
  const double scale = share_of_word(words);
  std::erase_if(stated, [&](const auto& each) {
    return std::abs((each.first == came ? 1.0 : 0.0) - each.second) < 0.01;
  });
  if (stated.empty()) {
    return;
  }
  for (const Key word : words) {
    Word& known = words_.touch(mix(tenant, word, later));
    for (const auto& [form, probability] : stated) {
      Word::Weight& each = known.of(form);
      const double gradient = ((form == came ? 1.0 : 0.0) - probability) * scale;
      each.squares += gradient * gradient;
      each.weight += word_rate * gradient / std::sqrt(each.squares + word_damping);
    }
  }
}

std::string TellingWords::words_for(const SessionMemory& memory, Key tenant, Key form,
                                    const std::map<Key, double>& rivals, bool speaks_for) const {
  const Key later = spoken_at(memory);
  std::vector<std::pair<double, std::string_view>> weighed;
  for (const Key word : memory.last_words()) {
    const Word* known = words_.find(mix(tenant, word, later));
    if (known == nullptr) {
      continue;
    }
    double weight = 0;
    for (const Word::Weight& each : known->forms) {
      const auto rival = rivals.find(each.form);
      weight += each.form == form ? each.weight
                                  : (rival == rivals.end() ? 0 : -each.weight * rival->second);
    }
    weight = speaks_for ? weight : -weight;
    if (const std::string_view spelling = memory.spelling_of(word);
        weight > 0 && !spelling.empty()) {
      weighed.emplace_back(weight, spelling);
    }
  }
  std::sort(weighed.begin(), weighed.end(), std::greater<>());
  weighed.resize(std::min(weighed.size(), words_told));
  std::string text;
  for (const auto& [weight, spelling] : weighed) {
    // One that says far less than the first is not named.
    if (weight * 2 > weighed.front().first) {
      text += (text.empty() ? "\"" : ", \"") + json::clean_text(spelling, word_bytes_told) + "\"";
    }
  }
  return text;
}

}  // namespace forerun::prediction
