#include "coordinator/parts_of_texts.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "coordinator/ascii.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t text_bytes_min = 4;
constexpr std::size_t table_columns_max = 16;
constexpr std::size_t line_name_bytes_max = 40;
constexpr std::size_t line_name_words_max = 4;
constexpr std::size_t shown_name_bytes_max = 40;
constexpr std::size_t part_look_runs_max = 8;
constexpr std::size_t prefix_bytes_max = 6;
constexpr std::size_t capitals_min = 3;
constexpr std::size_t document_depth_max = 12;
constexpr std::size_t braces_tried_max = 8;
constexpr std::size_t address_bytes_max = 512;   ///< Of a URL or a path whose parts are told.
constexpr double number_min = 1e-6;              ///< JSON writes smaller ones with an exponent,
constexpr double number_max = 9007199254740992;  ///< and larger ones are not exact.
constexpr std::size_t number_bytes_max = 24;
constexpr std::size_t written_number_bytes_max = 15;

constexpr std::uint8_t separating = 1;
constexpr std::uint8_t telling = 2;

/// What each byte says of whether a text has parts.
constexpr std::array<std::uint8_t, 256> signs = [] {
  std::array<std::uint8_t, 256> made{};
  const auto set = [&](std::string_view all, std::uint8_t sign) {
    for (const char c : all) {
      made[static_cast<unsigned char>(c)] = sign;
    }
  };
  set(" \n\t\r,;()", separating);
  set("0123456789@_\"'`#.", telling);
  set("/|=:{[", separating | telling);
  return made;
}();

bool is_alphanumeric(char c) {
  return is_upper(c) || is_lower(c) || is_digit(c);
}
bool is_one_of(char c, std::string_view all) {
  return all.find(c) != std::string_view::npos;
}
constexpr std::string_view spaces = " \t\r\n";
constexpr std::string_view dress =
    " \t\r\n*_`\"'";  ///< Around names and values of lines and cells.

std::string_view without_edge(std::string_view text, std::string_view edge) {
  const std::size_t from = text.find_first_not_of(edge);
  if (from == std::string_view::npos) {
    return {};
  }
  return text.substr(from, text.find_last_not_of(edge) + 1 - from);
}

Key hash_lowered(std::string_view text) {
  std::array<char, part_bytes_max> lower{};
  text = text.substr(0, lower.size());
  std::transform(text.begin(), text.end(), lower.begin(), to_lower);
  return hash_text({lower.data(), text.size()});
}

/// Runs of letters, of digits and of both are one sign each; capitals before a sign (`ORD-`) stay.
Key look_of_part(std::string_view text) {
  Key look = 0x71;
  std::size_t at = 0;
  while (at < text.size() && is_upper(text[at])) {
    ++at;
  }
  if (at > 1 && at <= prefix_bytes_max && at < text.size() && is_one_of(text[at], "-_#")) {
    look = mix(look, hash_text(text.substr(0, at)));
  } else {
    at = 0;
  }
  for (std::size_t runs = 0; at < text.size() && runs < part_look_runs_max; ++runs) {
    char sign = text[at];
    if (!is_alphanumeric(sign)) {
      ++at;
    } else {
      bool has_letters = false;
      bool has_digits = false;
      for (; at < text.size() && is_alphanumeric(text[at]); ++at) {
        has_digits = has_digits || is_digit(text[at]);
        has_letters = has_letters || !is_digit(text[at]);
      }
      sign = has_letters && has_digits ? 'x' : has_digits ? '9' : 'a';
    }
    look = mix(look, static_cast<unsigned char>(sign));
  }
  return look;
}

/// A word that is data: it names, counts or codes something.
bool is_telling(std::string_view word) {
  bool has_small = false;
  std::size_t capitals = 0;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const char c = word[i];
    const bool is_inner = i > 0 && i + 1 < word.size();
    if (is_digit(c) || c == '@' || (is_one_of(c, "._") && is_inner) || (is_upper(c) && has_small)) {
      return true;
    }
    has_small = has_small || is_lower(c);
    capitals += is_upper(c) ? 1 : 0;
  }
  return capitals >= capitals_min && !has_small;
}

bool is_name(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return is_upper(c) || is_lower(c) || is_one_of(c, "_-");
  });
}

bool is_path(std::string_view word) {
  return word.size() > 2 && word.find('/') != std::string_view::npos &&
         (is_one_of(word.front(), "/.~") ||
          std::any_of(word.begin(), word.end(),
                      [](char c) { return is_digit(c) || is_one_of(c, "._"); })) &&
         std::any_of(word.begin(), word.end(), [](char c) { return is_upper(c) || is_lower(c); });
}

struct NamedLine {
  std::string_view name;
  std::string_view rest;
};

/// A line like `Order ID: ORD-1`; without a name where it is none.
NamedLine named(std::string_view line) {
  const std::size_t colon = line.substr(0, line_name_bytes_max + 1).find(':');
  if (colon == std::string_view::npos ||
      (colon + 1 < line.size() && !is_one_of(line[colon + 1], " \t*_"))) {
    return {{}, line};
  }
  const std::string_view name = without_edge(line.substr(0, colon), dress);
  const auto words = 1 + std::count(name.begin(), name.end(), ' ');
  if (name.empty() || has_digit(name) || static_cast<std::size_t>(words) > line_name_words_max ||
      !is_alphanumeric(name.front())) {
    return {{}, line};
  }
  return {name, line.substr(colon + 1)};
}

/// Without what makes it an item or a heading: `- `, `2. `, `## `.
std::string_view without_bullet(std::string_view line) {
  std::size_t at = line.find_first_not_of("-*#>+");
  if (at == 0) {
    at = line.find_first_not_of("0123456789");
    at = at != std::string_view::npos && at > 0 && is_one_of(line[at], ".)") ? at + 1 : 0;
  }
  return at > 0 && at < line.size() && line[at] == ' ' ? without_edge(line.substr(at), spaces)
                                                       : line;
}

/// Reads one text, line by line.
class Reader {
public:
  explicit Reader(const std::function<bool(const TextPart&)>& take) : take_(take) {}

  void read(std::string_view text) {
    is_in_table_ = false;
    while (!text.empty() && !is_done_) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      const std::string_view line = without_edge(text.substr(0, end), spaces);
      text.remove_prefix(std::min(end + 1, text.size()));
      const std::string_view next = without_edge(text.substr(0, text.find('\n')), spaces);
      if (!line.empty() && line.front() == '|') {
        read_row(line.substr(1), '|', is_rule(next));
        continue;
      }
      if (const char comma = separator_of(line, next); comma != 0) {
        read_row(line, comma, !is_in_table_);
        continue;
      }
      is_in_table_ = false;
      const auto [name, rest] = named(without_bullet(line));
      const std::string_view value = without_edge(rest, dress);
      if (!name.empty() && value.find(' ') != std::string_view::npos) {
        tell(value, PartBy::line, name);
      }
      read_words(rest, name);
    }
  }

  /// Tells of the last parts, where there were many.
  void end() {
    const std::size_t kept = std::min(last_parts, read_ - std::min(read_, first_parts));
    for (std::size_t i = read_ - kept; i < read_ && !is_done_; ++i) {
      is_done_ = !take_(last_[i % last_parts]);
    }
  }

private:
  static constexpr std::size_t first_parts = parts_per_text_max - last_parts;

  void take(const TextPart& part) {
    if (read_ < first_parts) {
      is_done_ = is_done_ || !take_(part);
    } else {
      last_[read_ % last_parts] = part;
    }
    ++read_;
  }

  void tell(std::string_view text, PartBy by, std::string_view name = {}, std::size_t number = 0) {
    if (text.empty() || text.size() > part_bytes_max) {
      return;
    }
    TextPart part{text, by, name, number, number_of_text(text).has_value()};
    take(part);
    // An amount ($1,250.50) is a text, and a number too.
    if (!part.is_number && text.find_first_of(".,$") != std::string_view::npos &&
        number_in_text(text)) {
      part.is_number = true;
      take(part);
    }
  }

  static bool is_rule(std::string_view line) {
    return !line.empty() && line.front() == '|' && line.find('-') != std::string_view::npos &&
           line.find_first_not_of("|-: \t") == std::string_view::npos;
  }

  /// What separates the values of a line of names and values (CSV, TSV), which begins with a line
  /// of names; 0: it is none.
  char separator_of(std::string_view line, std::string_view next) const {
    for (const char comma : {'\t', ','}) {
      const auto count = std::count(line.begin(), line.end(), comma);
      if (count == 0) {
        continue;
      }
      if (is_in_table_) {
        return static_cast<std::size_t>(count) + 1 == columns_.size() ? comma : '\0';
      }
      const bool names = std::all_of(line.begin(), line.end(), [&](char c) {
        return c == comma || is_upper(c) || is_lower(c) || is_one_of(c, "_-");
      });
      return names && std::count(next.begin(), next.end(), comma) == count ? comma : '\0';
    }
    return '\0';
  }

  /// `a | b`: a table's first row is its names where `has_names` says so.
  void read_row(std::string_view line, char separator, bool has_names) {
    const bool names = !is_in_table_ && has_names;
    if (!is_in_table_) {
      columns_.clear();
    }
    is_in_table_ = true;
    if (separator == '|' && line.find_first_not_of("|-: \t") == std::string_view::npos) {
      return;
    }
    for (std::size_t column = 0; !line.empty() && column < table_columns_max && !is_done_;
         ++column) {
      const std::size_t end = std::min(line.find(separator), line.size());
      const std::string_view cell = line.substr(0, end);
      line.remove_prefix(std::min(end + 1, line.size()));
      if (names) {
        columns_.push_back(without_edge(cell, dress));
        continue;
      }
      const std::string_view name =
          column < columns_.size() ? columns_[column] : std::string_view();
      tell(without_edge(cell, dress), PartBy::column, name, name.empty() ? column : 0);
      if (cell.find('/') != std::string_view::npos) {
        read_words(cell, name);
      }
    }
  }

  /// `name`: what stands before, and names the first word; empty: nothing does.
  void read_words(std::string_view run, std::string_view name) {
    std::string_view before = name;
    bool is_named = !name.empty();
    bool is_tag = false;
    while (!run.empty() && !is_done_) {
      const char c = run.front();
      if (c == '[') {
        const std::size_t read = read_link(run);
        before = read > 1 ? std::string_view() : before;
        run.remove_prefix(read);
        continue;
      }
      if (is_one_of(c, " \t\r,;(){}<>]|!?*")) {
        is_tag = c == '<';
        run.remove_prefix(1);
        continue;
      }
      if (is_one_of(c, "\"'`")) {
        const std::size_t end = run.substr(0, part_bytes_max + 2).find(c, 1);
        if (end == std::string_view::npos || end == 1 ||
            (end + 1 < run.size() && is_alphanumeric(run[end + 1]))) {
          run.remove_prefix(1);
          continue;
        }
        const std::string_view quoted = run.substr(1, end - 1);
        run.remove_prefix(end + 1);
        is_named = !run.empty() && is_one_of(run.front(), ":=");
        if (!is_named) {
          tell(quoted, PartBy::quoted);
          tell(quoted, PartBy::word, before);
          if (is_path(quoted)) {
            read_path(quoted);
          }
        }
        before = is_named ? quoted : std::string_view();
        continue;
      }
      std::size_t end = 1;
      while (end < run.size() && !is_one_of(run[end], " \t\r()[]{}<>;|\"`") &&
             !(run[end] == ',' &&
               (!is_digit(run[end - 1]) || end + 1 == run.size() || !is_digit(run[end + 1]))) &&
             !(run[end] == '\'' && is_one_of(run[end - 1], ":="))) {
        ++end;
      }
      const std::string_view raw = run.substr(0, end);
      run.remove_prefix(end);
      const std::string_view word = without_edge(raw, ".,:;!?'*=");
      const bool names_next = is_one_of(raw.back(), ":=") ||
                              (is_tag && !run.empty() && run.front() == '>' && is_name(word));
      is_tag = false;
      if (word.empty()) {
        is_named = is_named || names_next;
        continue;
      }
      if (!names_next || has_digit(word)) {
        read_word(word, before, is_named);
        if (is_upper(word.front()) && (is_named || (!before.empty() && is_lower(before.front())))) {
          tell_name(word, word.end() == raw.end() ? run : std::string_view(), before, is_named);
        }
      }
      before = has_digit(word) ? std::string_view() : word;
      is_named = names_next;
    }
  }

  /// A name within a sentence: words that begin with a capital, one after another.
  void tell_name(std::string_view word, std::string_view behind, std::string_view before,
                 bool is_named) {
    std::size_t end = 0;  // Of the name, in what stands behind its first word.
    while (end + 1 < behind.size() && behind[end] == ' ' && is_upper(behind[end + 1])) {
      ++end;
      while (end < behind.size() &&
             (is_alphanumeric(behind[end]) || is_one_of(behind[end], "'-"))) {
        ++end;
      }
    }
    if (end > 0 || (!is_named && !is_telling(word))) {
      tell({word.data(), word.size() + end}, PartBy::word, before);
    }
  }

  /// Returns how many bytes of `[label](address)` were read, 1 where it is no such thing.
  std::size_t read_link(std::string_view run) {
    run = run.substr(0, address_bytes_max);
    const std::size_t close = run.find("](");
    const std::size_t end =
        close == std::string_view::npos ? close : run.find_first_of(") ", close + 2);
    if (end == std::string_view::npos || run.find('[', 1) < close) {
      return 1;
    }
    const std::string_view address = run.substr(close + 2, end - close - 2);
    tell(without_edge(run.substr(1, close - 1), dress), PartBy::label);
    tell(address, PartBy::linked);
    read_path(address);
    return end + 1;
  }

  void read_word(std::string_view word, std::string_view before, bool is_named) {
    if (word.size() > address_bytes_max) {
      return;
    }
    const std::size_t sign = word.find_first_of("=:");
    const bool has_name = sign != std::string_view::npos && is_name(word.substr(0, sign)) &&
                          word.substr(sign, 3) != "://";
    if (has_name) {
      before = word.substr(0, sign);
      is_named = true;
      word = without_edge(word.substr(sign + 1), "=:'");
      if (word.empty()) {
        return;
      }
    }
    const bool is_address = word.find("://") != std::string_view::npos;
    const bool is_data = is_address || is_telling(word);
    const bool has_sign = word.front() == '#' && word.size() > 1;
    if (is_data || is_named) {
      tell(has_sign ? word.substr(1) : word, PartBy::word, before);
    }
    if (is_data) {
      tell(word, PartBy::look);
    }
    if (is_address || is_path(word)) {
      read_path(word);
    }
  }

  /// The parts of a path or a URL, and what its query says.
  void read_path(std::string_view path) {
    std::string_view before;
    if (const std::size_t scheme = path.find("://"); scheme != std::string_view::npos) {
      path.remove_prefix(scheme + 3);
      const std::size_t host = path.find_first_of("/?#");
      path.remove_prefix(std::min(host, path.size()));
    }
    path = path.substr(0, path.find('#'));
    const std::size_t mark = std::min(path.find('?'), path.size());
    std::string_view query = path.substr(std::min(mark + 1, path.size()));
    path = without_edge(path.substr(0, mark), "/");
    while (!path.empty() && !is_done_) {
      const std::size_t end = std::min(path.find('/'), path.size());
      const std::string_view part = path.substr(0, end);
      path.remove_prefix(std::min(end + 1, path.size()));
      if (is_telling(part)) {
        tell(part, PartBy::word, before);
      }
      if (path.empty()) {
        tell(part, PartBy::path_end);
      }
      before = has_digit(part) ? std::string_view() : part;
    }
    while (!query.empty() && !is_done_) {
      const std::size_t end = std::min(query.find('&'), query.size());
      const std::string_view pair = query.substr(0, end);
      query.remove_prefix(std::min(end + 1, query.size()));
      if (const std::size_t sign = pair.find('='); sign != std::string_view::npos) {
        tell(pair.substr(sign + 1), PartBy::word, pair.substr(0, sign));
      }
    }
  }

  const std::function<bool(const TextPart&)>& take_;
  std::size_t read_ = 0;  ///< Parts so far.
  std::array<TextPart, last_parts> last_;
  bool is_done_ = false;
  bool is_in_table_ = false;
  std::vector<std::string_view> columns_;  ///< The names of the table that is read.
};

}  // namespace

bool may_have_parts(std::string_view text) {
  if (text.size() < text_bytes_min) {
    return false;
  }
  std::uint8_t found = 0;
  for (const char c : text.substr(0, part_text_bytes_max)) {
    found |= signs[static_cast<unsigned char>(c)];
  }
  return found == (separating | telling);
}

void each_part(std::string_view text, const std::function<bool(const TextPart&)>& take) {
  Reader reader(take);
  if (text.size() <= part_text_bytes_max) {
    reader.read(text);
  } else {
    // What is cut in two is no part.
    const std::size_t end = text.find_last_of(spaces, part_text_bytes_max - last_text_bytes);
    reader.read(text.substr(0, end == std::string_view::npos ? 0 : end));
    const std::size_t from = text.find_first_of(spaces, text.size() - last_text_bytes);
    reader.read(text.substr(std::min(from, text.size())));
  }
  reader.end();
}

Key key_of(const TextPart& part) {
  const Key kind = mix(0x72 + static_cast<Key>(part.by), part.is_number ? 1 : 0, part.number);
  if (part.by == PartBy::look) {
    return part.is_number ? kind : mix(kind, look_of_part(part.text));
  }
  return mix(kind, hash_lowered(part.name));
}

std::string text_of(const TextPart& part) {
  const std::string name = "'" + json::clean_text(part.name, shown_name_bytes_max) + "'";
  switch (part.by) {
    case PartBy::word:
      return part.name.empty() ? "that stands first or behind another" : "after " + name;
    case PartBy::look:
      return "by its look";
    case PartBy::line:
      return "on the line of " + name;
    case PartBy::column:
      return "in column " + (part.name.empty() ? std::to_string(part.number + 1) : name);
    case PartBy::quoted:
      return "in quotes";
    case PartBy::linked:
      return "where a link leads";
    case PartBy::label:
      return "in a link's text";
    case PartBy::path_end:
      return "at the end of a path";
  }
  return "";
}

std::optional<double> number_in_text(std::string_view text) {
  if (const auto number = number_of_text(text)) {
    return number;
  }
  std::string plain;
  for (const char c : text) {
    if (c == ',' || (c == '$' && plain.empty())) {
      continue;
    }
    plain.push_back(c);
  }
  if (plain.empty() || plain.size() > written_number_bytes_max || !is_digit(plain.back())) {
    return std::nullopt;
  }
  double number = 0;
  const auto [end, error] =
      std::from_chars(plain.data(), plain.data() + plain.size(), number, std::chars_format::fixed);
  if (error != std::errc() || end != plain.data() + plain.size()) {
    return std::nullopt;
  }
  return number;
}

std::optional<json::Value> document_in(std::string_view text, std::size_t bytes_max) {
  std::size_t from = text.find_first_of("{[");
  for (std::size_t tried = 0; from != std::string_view::npos && tried < braces_tried_max; ++tried) {
    const std::size_t inner = text.find_first_not_of(spaces, from + 1);
    if (inner == std::string_view::npos) {
      return std::nullopt;
    }
    const bool is_object = text[from] == '{';
    if (is_one_of(text[inner], is_object ? "\"" : "\"{[-0123456789")) {
      const std::size_t to = text.rfind(is_object ? '}' : ']');
      if (to == std::string_view::npos || to < inner || to + 1 - from > bytes_max) {
        return std::nullopt;
      }
      auto document =
          json::parse(text.substr(from, to + 1 - from), {bytes_max, document_depth_max});
      return document ? std::optional(std::move(*document)) : std::nullopt;
    }
    from = text.find_first_of("{[", inner);
  }
  return std::nullopt;
}

std::optional<std::string> text_of_number(double number) {
  const double size = std::fabs(number);
  if (!(size < number_max) || (size < number_min && size != 0) ||
      (size == 0 && std::signbit(number))) {
    return std::nullopt;
  }
  std::array<char, number_bytes_max + 8> written{};
  const auto [end, error] = std::to_chars(written.data(), written.data() + written.size(), number,
                                          std::chars_format::fixed);
  if (error != std::errc()) {
    return std::nullopt;
  }
  return std::string(written.data(), end);
}

std::optional<double> number_of_text(std::string_view text) {
  if (text.empty() || text.size() > number_bytes_max || !is_digit(text.back()) ||
      (!is_digit(text.front()) && text.front() != '-')) {
    return std::nullopt;
  }
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  const std::optional<std::string> back = text_of_number(number);
  return back && *back == text ? std::optional(number) : std::nullopt;
}

}  // namespace forerun::prediction
