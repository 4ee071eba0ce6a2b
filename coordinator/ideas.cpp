#include "coordinator/ideas.hpp"

#include <array>
#include <vector>

namespace forerun {

namespace {

struct IdeaParts {
  Idea idea;
  const char* name;
  std::vector<std::size_t> value_features{}, call_features{};  ///< That say it to the rankers.
};

const std::array<IdeaParts, ideas>& all_ideas() {
  static const std::array<IdeaParts, ideas> all = {{
      {Idea::corrected_texts, "corrected-texts", {22, 23}, {36}},
      {Idea::composed_values, "composed-values", {20, 21}, {46}},
      {Idea::meanings, "meanings", {24, 25}, {}},
      {Idea::spoken_of, "spoken-of", {26, 27}, {}},
      {Idea::own_words, "own-words", {17, 19}, {41}},
      {Idea::read_next, "read-next", {18}, {42, 43, 44}},
      {Idea::same_arguments, "same-arguments", {}, {40}},
      {Idea::importance, "importance", {}, {45}},
      {Idea::past, "past", {}, {7, 8, 23}},
      {Idea::names, "names", {}, {24, 25, 26, 43}},
      {Idea::words, "words", {}, {27}},
      {Idea::long_contexts, "long-contexts", {}, {28, 29, 30, 31, 32, 33}},
      {Idea::ranking_calls, "ranking-calls", {}, {}},
      {Idea::ranking_values, "ranking-values", {}, {}},
      {Idea::labels, "labels", {}, {}},
      {Idea::counts, "counts", {}, {}},
      {Idea::declared, "declared", {}, {}},
      {Idea::descriptions, "descriptions", {}, {}},
      {Idea::telling_fields, "telling-fields", {}, {}},
      {Idea::trust, "trust", {}, {}},
      {Idea::number_of_steps, "number-of-steps", {}, {47}},
      {Idea::parts_of_texts, "parts-of-texts", {28, 29}, {}},
      {Idea::written_dates, "written-dates", {}, {}},
      {Idea::records, "records", {}, {48, 49, 50}},
      {Idea::made_again, "made-again", {}, {51}},
  }};
  return all;
}

const IdeaParts* find_idea(Idea idea) {
  for (const IdeaParts& each : all_ideas()) {
    if (each.idea == idea) {
      return &each;
    }
  }
  return nullptr;
}

}  // namespace

const char* to_string(Idea idea) {
  const IdeaParts* const known = find_idea(idea);
  return known == nullptr ? "?" : known->name;
}

std::optional<Idea> parse_idea(std::string_view name) {
  for (const IdeaParts& each : all_ideas()) {
    if (each.name == name) {
      return each.idea;
    }
  }
  return std::nullopt;
}

std::span<const std::size_t> value_features_of(Idea idea) {
  const IdeaParts* const known = find_idea(idea);
  return known == nullptr ? std::span<const std::size_t>() : known->value_features;
}

std::span<const std::size_t> call_features_of(Idea idea) {
  const IdeaParts* const known = find_idea(idea);
  return known == nullptr ? std::span<const std::size_t>() : known->call_features;
}

}  // namespace forerun
