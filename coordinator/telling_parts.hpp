#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "coordinator/prediction_hash.hpp"

/// Parts of an output that may be labels, which what follows depends on. Pure, and bounded whatever
/// the output holds.
namespace forerun::prediction {

enum class PartKind : std::uint8_t {
  scalar,         ///< A scalar at a path: in objects, and in the first items of lists.
  length,         ///< Of a list: none, one, two or more.
  count,          ///< Of a list, exactly.
  item,           ///< Of the first item of a list whose name or key it is, wherever it stands.
  set,            ///< Which different scalars the items of a list hold.
  word,           ///< The n-th of a text.
  last_word,      ///< Of a text.
  after_word,     ///< The word behind another one of a text.
  before_digits,  ///< Of a text, what stands before its first digit.
  coarse_range,   ///< The range that a number falls into.
  fine_range,
};

struct OutputPart {
  PartKind kind = PartKind::scalar;
  bool is_of_list = false;  ///< Found only where more is wanted of a list: each_output_part().
  Key path = 0;             ///< Where it is found again in the next output.
  Key base = 0;             ///< The path of the scalar, or of the list, that it is a part of.
  Key value = 0;            ///< Equal for equal parts.
  const json::Value* scalar = nullptr;  ///< Of `scalar` and `item`.
  const json::Array* list = nullptr;    ///< Of `length`, `count` and `set`.
  std::string_view text;  ///< Of parts of a text: the part; of `set`: the items' member, if they
                          ///< are objects.
  Key behind = 0;  ///< Of `after_word`: the word before it; of `item`: the path of the first item's
                   ///< key.
};

/// The part as people would name it.
std::string text_of(const OutputPart& part);
/// The value of the output that is the part, or whose text holds it; null: there is none.
const json::Value* holder_of(const json::Value& output, const OutputPart& part);

/// The words of a text that may be labels, in their order: its first and last ones, those behind
/// another, and what stands before its digits. At most label_words_max.
inline constexpr std::size_t text_words_max = 32;  ///< A text's first ones are looked at.
inline constexpr std::size_t words_by_number = 8;  ///< So many are known by their number.
inline constexpr std::size_t label_words_max = text_words_max + words_by_number + 2;
struct LabelWords {
  std::array<OutputPart, label_words_max> parts;
  std::size_t count = 0;
};
/// `whole`: the part that holds the text.
LabelWords label_words(std::string_view text, const OutputPart& whole);

/// The words that stand in most texts of one place. Words are counted in windows of some texts, and
/// forgotten where they stood in less than half of one (lossy counting: Manku and Motwani 2002).
class FrameWords {
public:
  static constexpr std::size_t words_max = 48;
  static constexpr std::uint8_t window = 16;

  /// The `after_word` parts of one text tell its words, each once.
  void learn(const LabelWords& text);
  bool has(Key word) const;

private:
  struct Word {
    std::uint32_t word = 0;
    std::uint8_t count = 0;
    bool is_frame = false;
  };
  std::vector<Word> words_;
  std::uint8_t texts_ = 0;
};

/// Cuts numbers into ranges that hold about equally many of the first ones. A cut lies at the
/// roundest number that it may: where people draw a limit, they draw it there.
class NumberRanges {
public:
  static constexpr std::size_t sample = 64;
  /// Into about so many: few are soon known, many are exact.
  enum class Fineness : std::uint8_t { coarse = 5, fine = 17 };

  /// Until there are enough of them.
  void learn(double number, Fineness fineness);
  bool is_cut() const { return is_cut_; }
  /// How many cuts are at or below it. @pre is_cut()
  std::size_t range_of(double number) const;
  std::string text_of(double number) const;

private:
  std::vector<double> numbers_;  ///< The sample, then the cuts, ascending.
  bool is_cut_ = false;
};
/// Above `low` and at most `high`: of the multiples of the largest 1, 1/2 or 1/4 of a power of ten
/// that has one there, the largest. @pre low < high
double roundest_between(double low, double high);
Key path_of_range(Key path, NumberRanges::Fineness fineness);

namespace telling {
inline constexpr std::size_t depth_max = 6;
inline constexpr std::size_t items_max = 3;         ///< Of a list are known by their number.
inline constexpr std::size_t listed_max = 16;       ///< Of a list, for sets and names of items.
inline constexpr std::size_t listed_names_max = 8;  ///< Of their members.
inline constexpr std::size_t scalars_max = 48;      ///< Of one output.
inline constexpr std::size_t list_parts_max = 48;   ///< Of one output.
inline constexpr std::size_t members_max = 256;     ///< Of one object are looked at.

Key hash_scalar(const json::Value& value);
Key path_of_member(Key path, std::string_view name);
Key path_of_item(Key path, std::size_t item);
OutputPart length_of(const json::Array& array, Key path);
/// Its exact length, its sets, and its items by their names; at most `left`. Appends.
/// @pre the list is not empty
void add_list_parts(const json::Array& array, Key path, std::size_t& left,
                    std::vector<OutputPart>& parts);
inline constexpr Key root = 0x91;

struct Left {
  std::size_t scalars = scalars_max;
  std::size_t list_parts = list_parts_max;
  std::vector<OutputPart> of_list;  ///< Of the one that is looked at.
};

template <class Take>
void each(const json::Value& value, Key path, std::size_t depth, Left& left, bool wants_lists,
          const Take& take) {
  if (left.scalars == 0 || depth > depth_max) {
    return;
  }
  if (const json::Array* array = value.array()) {
    --left.scalars;
    take(length_of(*array, path));
    for (std::size_t i = 0; i < std::min(array->size(), items_max); ++i) {
      each((*array)[i], path_of_item(path, i), depth + 1, left, wants_lists, take);
    }
    if (!array->empty() && wants_lists) {
      left.of_list.clear();
      add_list_parts(*array, path, left.list_parts, left.of_list);
      for (const OutputPart& part : left.of_list) {
        take(part);
      }
    }
  } else if (const json::Object* object = value.object()) {
    for (std::size_t i = 0; i < std::min(object->size(), members_max) && left.scalars > 0; ++i) {
      const json::Member& member = object->begin()[i];
      each(member.value, path_of_member(path, member.name), depth + 1, left, wants_lists, take);
    }
  } else {
    --left.scalars;
    OutputPart part;
    part.path = part.base = path;
    part.value = hash_scalar(value);
    part.scalar = &value;
    take(part);
  }
}
}  // namespace telling

/// Calls take(part) for each scalar, and what lists say. `wants_lists`: more than how many
/// items, up to items_max, is wanted of lists. What is found in texts and numbers depends on
/// others: label_words(), NumberRanges.
template <class Take>
void each_output_part(const json::Value& output, bool wants_lists, const Take& take) {
  telling::Left left;
  telling::each(output, telling::root, 0, left, wants_lists, take);
}

}  // namespace forerun::prediction
