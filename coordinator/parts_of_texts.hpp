#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "coordinator/prediction_hash.hpp"

/// What a text of an output holds that a later call may take: an id in a sentence, a part of a
/// URL, a cell of a table, a value behind its name. And what makes a number a text and a text a
/// number.
namespace forerun::prediction {

/// How a part is found again in another text.
enum class PartBy : std::uint8_t {
  word,     ///< What stands before it: the word, its name with `:` or `=`, the path's part before.
  look,     ///< It looks so.
  line,     ///< All that stands on a line behind this name.
  column,   ///< Of a table, the column's name, or its number where it has no names.
  quoted,   ///< Quotes or backticks are around it.
  linked,   ///< It is where a Markdown link leads to.
  label,    ///< It is the text of a Markdown link.
  path_end  ///< The last part of a path or a URL.
};

struct TextPart {
  std::string_view text;  ///< In the text that was read.
  PartBy by = PartBy::word;
  std::string_view name;   ///< The word, the line's name or the column's; may be empty.
  std::size_t number = 0;  ///< Of a column without a name.
  bool is_number = false;  ///< It stands for a number: number_in_text().
};

/// Of one text: bytes looked at, and parts told. Of a longer text, and of more parts, they are the
/// first ones and the last, where a log says what came of it.
inline constexpr std::size_t part_text_bytes_max = 4'096;
inline constexpr std::size_t last_text_bytes = 1'024;
inline constexpr std::size_t parts_per_text_max = 64;
inline constexpr std::size_t last_parts = 24;
inline constexpr std::size_t part_bytes_max = 120;

/// Whether each_part() may find anything: all that most texts cost.
bool may_have_parts(std::string_view text);
/// Calls `take` for each part, in their order; one part may be told more than once, each time by
/// something else. Ends when it returns false.
void each_part(std::string_view text, const std::function<bool(const TextPart&)>& take);
/// What parts of equal places in texts have alike.
Key key_of(const TextPart& part);
/// How it is found, for people: "after 'order'".
std::string text_of(const TextPart& part);
/// Of a number as texts write it, `$1,250.50` too.
std::optional<double> number_in_text(std::string_view text);

/// Of a document that is written in a text (all of it, a fenced block, or what stands between its
/// first and last brace): the JSON; nothing where there is none, or more than `bytes_max`.
std::optional<json::Value> document_in(std::string_view text, std::size_t bytes_max);

/// A number as text, where no exponent is needed: only what comes back as the same number.
std::optional<std::string> text_of_number(double number);
/// The number that a text is: only where text_of_number() gives the text.
std::optional<double> number_of_text(std::string_view text);

}  // namespace forerun::prediction
