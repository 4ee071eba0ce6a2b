#include "coordinator/task_names.hpp"

#include <algorithm>
#include <string>

#include "base/real.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t stem_bytes = 5;
constexpr std::size_t stem_bytes_min = 2;
constexpr std::size_t described_max = 64;       ///< Stems of one description.
constexpr std::size_t described_bytes_min = 4;  ///< Shorter words of a sentence tell little.
/// A stem that so many tasks hold tells nothing.
constexpr std::size_t holders_max = 512;
constexpr std::size_t forms_max = 16;  ///< Of one task.

char small(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool is_letter(char c) {
  return small(c) >= 'a' && small(c) <= 'z';
}

std::vector<Key> stems_of(std::string_view name, std::size_t bytes_min) {
  std::vector<Key> stems;
  std::string word;
  const auto end_word = [&] {
    if (word.size() >= bytes_min) {
      stems.push_back(stem_of(word));
    }
    word.clear();
  };
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool is_capital = c >= 'A' && c <= 'Z';
    const bool starts =
        is_capital && (i == 0 || !(name[i - 1] >= 'A' && name[i - 1] <= 'Z') ||
                       (i + 1 < name.size() && name[i + 1] >= 'a' && name[i + 1] <= 'z'));
    if (!is_letter(c) || starts) {
      end_word();
    }
    if (is_letter(c)) {
      word.push_back(small(c));
    }
  }
  end_word();
  std::sort(stems.begin(), stems.end());
  stems.erase(std::unique(stems.begin(), stems.end()), stems.end());
  return stems;
}

}  // namespace

Key stem_of(std::string_view word) {
  std::string stem;
  for (const char c : word.substr(0, stem_bytes)) {
    stem.push_back(small(c));
  }
  return mix(0x5e, hash_text(stem));
}

void TaskNames::add(std::string_view name, std::string_view description, Key task, Key form) {
  if (names_.size() >= names_max && !names_.contains(task)) {
    return;
  }
  Name& known = names_[task];
  if (known.forms.empty()) {
    const std::vector<Key> named = stems_of(name, stem_bytes_min);
    std::vector<Key> described = stems_of(description, described_bytes_min);
    std::erase_if(described,
                  [&](Key stem) { return std::binary_search(named.begin(), named.end(), stem); });
    described.resize(std::min(described.size(), described_max));
    known.stems = hold(named, task);
    known.described = hold(described, task);
  }
  if (std::find(known.forms.begin(), known.forms.end(), form) == known.forms.end() &&
      known.forms.size() < forms_max) {
    known.forms.push_back(form);
  }
}

TaskNames::Stems TaskNames::hold(const std::vector<Key>& stems, Key task) {
  Stems held;
  for (const Key stem : stems) {
    Stem& holder = holders_[stem];
    holder.tasks.push_back(task);
    holder.names = 0;
    held.emplace_back(stem, &holder);
  }
  return held;
}

double TaskNames::rarity(const Stem& stem) const {
  if (stem.names != names_.size()) {
    const auto holders = static_cast<double>(stem.tasks.size());
    stem.rarity = real::log((static_cast<double>(names_.size()) + 1) / (holders + 0.5)) + 0.1;
    stem.names = names_.size();
  }
  return stem.rarity;
}

const std::vector<Key>* TaskNames::forms_of(Key task) const {
  const auto found = names_.find(task);
  return found == names_.end() ? nullptr : &found->second.forms;
}

/// The share of what a task is named by that the text holds.
double TaskNames::held(const Stems& of_task, const std::vector<Key>& stems) const {
  double all = 0.5;
  double common = 0;
  for (const auto& [stem, holder] : of_task) {
    const double weight = std::max(rarity(*holder), 0.0);
    all += weight;
    common += std::binary_search(stems.begin(), stems.end(), stem) ? weight : 0;
  }
  return common / all;
}

double TaskNames::match(Key task, const std::vector<Key>& stems) const {
  if (stems.empty()) {
    return 0;
  }
  const auto found = names_.find(task);
  if (found == names_.end()) {
    return 0;
  }
  const double by_name = held(found->second.stems, stems);
  return found->second.described.empty()
             ? by_name
             : by_name + (1 - by_name) * held(found->second.described, stems);
}

std::vector<Likely> TaskNames::named(const std::vector<Key>& stems) const {
  std::vector<Likely> tasks;
  for (const Key stem : stems) {
    const auto found = holders_.find(stem);
    if (found == holders_.end() || found->second.tasks.size() > holders_max) {
      continue;
    }
    for (const Key task : found->second.tasks) {
      if (std::none_of(tasks.begin(), tasks.end(),
                       [&](const Likely& each) { return each.symbol == task; })) {
        tasks.push_back({task, match(task, stems)});
      }
    }
  }
  std::sort(tasks.begin(), tasks.end(), [](const Likely& a, const Likely& b) {
    return a.probability != b.probability ? a.probability > b.probability : a.symbol < b.symbol;
  });
  tasks.resize(std::min(tasks.size(), named_max));
  std::vector<Likely> forms;
  for (const Likely& task : tasks) {
    for (const Key form : names_.at(task.symbol).forms) {
      forms.push_back({form, task.probability});
    }
  }
  forms.resize(std::min(forms.size(), 2 * named_max));
  return forms;
}

}  // namespace forerun::prediction
