#include "coordinator/word_meanings.hpp"

#include <algorithm>

#include "base/real.hpp"

namespace forerun::prediction {

namespace {

constexpr double meaning_share_min = 0.05;
constexpr std::size_t meaning_bytes_max = 40;

/// What follows any text of the tenant, and one that holds the word.
Key meanings_of_any(Key tenant) {
  return mix(tenant, 0xf1);
}
Key meanings_of_word(Key tenant, Key word) {
  return mix(tenant, 0xf2, word);
}

}  // namespace

void gather_meanings(const SessionMemory& memory, Key tenant, const LearnedContexts& contexts,
                     std::vector<Meaning>& meanings) {
  meanings.clear();
  const Context* anyway = contexts.find(meanings_of_any(tenant));
  if (anyway == nullptr) {
    return;
  }
  for (const Key word : memory.all_words()) {
    const Context* known = contexts.find(meanings_of_word(tenant, word));
    if (known == nullptr) {
      continue;
    }
    for (const Context::Follower& each : known->followers()) {
      const Key any = each.symbol & name_of_meaning;
      if (each.symbol == any) {
        continue;
      }
      const double share = (each.count - 0.5) / (known->count(any) + 1);
      if (share > meaning_share_min) {
        const double usual = (anyway->count(each.symbol) + 0.5) / (anyway->count(any) + 1);
        meanings.push_back(
            {each.symbol, share, std::clamp(real::log(share / usual), -1.0, 4.0) * 0.25});
      }
    }
  }
  std::sort(meanings.begin(), meanings.end(), [](const Meaning& a, const Meaning& b) {
    return a.value != b.value ? a.value < b.value : a.share > b.share;
  });
  meanings.erase(std::unique(meanings.begin(), meanings.end(),
                             [](const Meaning& a, const Meaning& b) { return a.value == b.value; }),
                 meanings.end());
}

void learn_meaning(const SessionMemory& memory, Key tenant, Key task, Key name,
                   const json::Value& value, LearnedContexts& contexts) {
  const std::string* text = value.string();
  if ((text == nullptr && value.number() == nullptr) ||
      (text != nullptr && text->size() > meaning_bytes_max) || !memory.has_text()) {
    return;
  }
  const Key hash = hash_value(value);
  const std::uint32_t seen = memory.latest_equal(hash);
  if (memory.was_used(SessionMemory::used_key(task, name, hash)) ||
      (seen != 0 && memory.value(seen).side != Side::input) || memory.in_text(hash) != 0) {
    return;
  }
  std::vector<Key> keys = {meanings_of_any(tenant)};
  for (const Key word : memory.all_words()) {
    keys.push_back(meanings_of_word(tenant, word));
  }
  contexts.teach(keys, meaning_of(name, hash));
  contexts.teach(keys, meaning_of(name, 0));
}

}  // namespace forerun::prediction
