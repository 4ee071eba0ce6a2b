#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace forerun {

/// What predictions are made of, beyond counts of what followed what: each can be left out, to
/// measure what it is worth.
enum class Idea : std::uint8_t {
  corrected_texts,
  composed_values,
  meanings,
  spoken_of,
  own_words,
  read_next,
  same_arguments,
  importance,
  past,
  names,
  words,
  long_contexts,
  ranking_calls,
  ranking_values,
  labels,
  counts,
  declared,
  descriptions,
  telling_fields,
  trust,
  number_of_steps,
  parts_of_texts,
  written_dates,
  records,
  made_again,
};
inline constexpr std::size_t ideas = 25;
const char* to_string(Idea idea);
std::optional<Idea> parse_idea(std::string_view name);

/// The features that say an idea to the ranker of values (argument_bindings.hpp) and to that of
/// calls (call_features.hpp); none: it is no feature.
std::span<const std::size_t> value_features_of(Idea idea);
std::span<const std::size_t> call_features_of(Idea idea);

}  // namespace forerun
