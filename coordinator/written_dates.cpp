#include "coordinator/written_dates.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

#include "coordinator/ascii.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t pieces_max = 8'192;
/// A day without a year has the one of a day so near, in bytes: "May 3 to June 4, 2024".
constexpr std::size_t year_lent_max = 40;
constexpr int year_min = 1900, year_max = 2199;

/// A run of letters, a run of digits, or one other byte; spaces are none.
struct Piece {
  enum class Kind : std::uint8_t { word, number, sign };
  Kind kind = Kind::sign;
  std::string_view text;
  std::size_t at = 0;
  bool is_joined = false;  ///< No space stands before it.
};

std::vector<Piece> pieces_of(std::string_view text) {
  std::vector<Piece> pieces;
  std::size_t at = 0;
  bool is_joined = false;
  while (at < text.size() && pieces.size() < pieces_max) {
    if (is_space(text[at])) {
      ++at;
      is_joined = false;
      continue;
    }
    const auto is_letter = [](char c) { return is_upper(c) || is_lower(c); };
    std::size_t end = at + 1;
    Piece::Kind kind = Piece::Kind::sign;
    if (is_digit(text[at])) {
      kind = Piece::Kind::number;
      while (end < text.size() && is_digit(text[end])) {
        ++end;
      }
    } else if (is_letter(text[at])) {
      kind = Piece::Kind::word;
      while (end < text.size() && is_letter(text[end])) {
        ++end;
      }
    }
    pieces.push_back({kind, text.substr(at, end - at), at, is_joined});
    is_joined = true;
    at = end;
  }
  return pieces;
}

bool is_word(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() && std::equal(text.begin(), text.end(), lower.begin(),
                                                   [](char a, char b) { return to_lower(a) == b; });
}

/// 1 to 12, of a name or of its first three letters; 0: it names none.
int month_of(std::string_view word) {
  static constexpr std::array<std::string_view, 12> names = {
      "january", "february", "march",     "april",   "may",      "june",
      "july",    "august",   "september", "october", "november", "december"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (is_word(word, names[i]) || is_word(word, names[i].substr(0, 3))) {
      return static_cast<int>(i) + 1;
    }
  }
  return is_word(word, "sept") ? 9 : 0;
}

int days_of(int month) {
  return month == 2 ? 29 : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/// Finds moments from left to right, each piece used once.
class Reader {
public:
  explicit Reader(std::string_view text) : pieces_(pieces_of(text)) {}

  WrittenMoments read() {
    while (at_ < pieces_.size() && found_.days.size() < written_days_max &&
           found_.times.size() < written_days_max) {
      if (!read_iso() && !read_numeric() && !read_time() && !read_day_first() &&
          !read_month_first()) {
        ++at_;
      }
    }
    lend_years();
    pair_times();
    return std::move(found_);
  }

private:
  const Piece* piece(std::size_t at) const { return at < pieces_.size() ? &pieces_[at] : nullptr; }
  /// The number there, of so many digits; nothing where there is another thing.
  std::optional<int> number(std::size_t at, std::size_t digits_min, std::size_t digits_max) const {
    const Piece* it = piece(at);
    if (it == nullptr || it->kind != Piece::Kind::number || it->text.size() < digits_min ||
        it->text.size() > digits_max) {
      return std::nullopt;
    }
    int value = 0;
    for (const char c : it->text.substr(0, 9)) {
      value = value * 10 + (c - '0');
    }
    return value;
  }
  bool is_sign(std::size_t at, char sign) const {
    const Piece* it = piece(at);
    return it != nullptr && it->kind == Piece::Kind::sign && it->text.front() == sign;
  }
  bool names(std::size_t at, std::string_view lower) const {
    const Piece* it = piece(at);
    return it != nullptr && it->kind == Piece::Kind::word && is_word(it->text, lower);
  }
  bool is_joined(std::size_t at) const { return piece(at) != nullptr && piece(at)->is_joined; }
  int month(std::size_t at) const {
    const Piece* it = piece(at);
    return it != nullptr && it->kind == Piece::Kind::word ? month_of(it->text) : 0;
  }
  /// What a number begins or ends inside of is no day: "HAT052", "3rd2", "1.5".
  bool is_whole(std::size_t from, std::size_t end) const {
    const auto holds = [this](std::size_t at) {
      const Piece* it = piece(at);
      return it != nullptr && (it->kind != Piece::Kind::sign || it->text.front() == '_');
    };
    const bool goes_on = is_joined(end) && is_joined(end + 1) && number(end + 1, 1, SIZE_MAX) &&
                         (is_sign(end, '.') || is_sign(end, '/'));
    return !(from > 0 && is_joined(from) &&
             (holds(from - 1) || is_sign(from - 1, '.') || is_sign(from - 1, '/') ||
              is_sign(from - 1, '-'))) &&
           !(is_joined(end) && holds(end)) && !goes_on;
  }

  struct Day {
    int day = 0;
    bool is_ordinal = false;
    std::size_t end = 0;
  };
  /// "24", "24th".
  std::optional<Day> day(std::size_t at) const {
    const auto value = number(at, 1, 2);
    if (!value || *value < 1 || *value > 31) {
      return std::nullopt;
    }
    Day found{*value, false, at + 1};
    for (const char* ordinal : {"st", "nd", "rd", "th"}) {
      if (is_joined(at + 1) && names(at + 1, ordinal)) {
        found.is_ordinal = true;
        found.end = at + 2;
      }
    }
    return found;
  }
  /// ", 2024" or "2024"; moves `end` behind it. 0: none.
  int year(std::size_t& end) const {
    const std::size_t at = is_sign(end, ',') ? end + 1 : end;
    const auto value = number(at, 4, 4);
    if (!value || *value < year_min || *value > year_max || !is_whole(at, at + 1)) {
      return 0;
    }
    end = at + 1;
    return *value;
  }

  bool add(int year, int month, int day, std::size_t from, std::size_t end, bool is_iso = false) {
    if (month < 1 || month > 12 || day < 1 || day > days_of(month)) {
      return false;
    }
    WrittenDay found;
    found.year = year;
    found.month = month;
    found.day = day;
    found.at = pieces_[from].at;
    found.is_iso = is_iso;
    if (from > 0 && pieces_[from - 1].kind == Piece::Kind::word) {
      found.before = pieces_[from - 1].text;
    }
    found_.days.push_back(found);
    at_ = end;
    return true;
  }

  /// 2024-05-24
  bool read_iso() {
    const auto year = number(at_, 4, 4);
    const auto month = number(at_ + 2, 2, 2);
    const auto day = number(at_ + 4, 2, 2);
    return year && month && day && is_sign(at_ + 1, '-') && is_sign(at_ + 3, '-') &&
           is_joined(at_ + 1) && is_joined(at_ + 2) && is_joined(at_ + 3) && is_joined(at_ + 4) &&
           *year >= year_min && *year <= year_max && add(*year, *month, *day, at_, at_ + 5, true);
  }

  /// 12/24/2024 with the month first, 24/12/2024 where that can be none, 24.12.2024.
  bool read_numeric() {
    const auto first = number(at_, 1, 2);
    const auto second = number(at_ + 2, 1, 2);
    const auto year = number(at_ + 4, 4, 4);
    const bool has_dots = is_sign(at_ + 1, '.') && is_sign(at_ + 3, '.');
    const bool has_strokes = is_sign(at_ + 1, '/') && is_sign(at_ + 3, '/');
    if (!first || !second || !year || !(has_dots || has_strokes) || !is_joined(at_ + 2) ||
        !is_joined(at_ + 4) || *year < year_min || *year > year_max || !is_whole(at_, at_ + 5)) {
      return false;
    }
    const bool is_day_first = has_dots || *first > 12;
    return add(*year, is_day_first ? *second : *first, is_day_first ? *first : *second, at_,
               at_ + 5);
  }

  /// "14:30", "14:30:00", "2:30 PM", "2 p.m.".
  bool read_time() {
    const auto hour = number(at_, 1, 2);
    if (!hour || !is_whole(at_, at_)) {
      return false;
    }
    std::size_t end = at_ + 1;
    int minute = 0;
    bool has_minute = false;
    if (const auto minutes = number(end + 1, 2, 2);
        minutes && is_sign(end, ':') && is_joined(end) && is_joined(end + 1)) {
      minute = *minutes;
      has_minute = true;
      end += 2;
      if (number(end + 1, 2, 2) && is_sign(end, ':') && is_joined(end) && is_joined(end + 1)) {
        end += 2;
      }
    }
    const auto half = [&](const char* whole, const char* letter) {
      if (names(end, whole)) {
        end += 1;
        return true;
      }
      if (names(end, letter) && is_sign(end + 1, '.') && names(end + 2, "m")) {
        end += is_sign(end + 3, '.') ? 4 : 3;
        return true;
      }
      return false;
    };
    const bool is_am = half("am", "a");
    const bool is_pm = !is_am && half("pm", "p");
    const bool is_half = is_am || is_pm;
    if ((!has_minute && !is_half) || minute > 59 || *hour > (is_half ? 12 : 23) ||
        (is_half && *hour < 1)) {
      return false;
    }
    const int of_day = is_half ? *hour % 12 + (is_pm ? 12 : 0) : *hour;
    found_.times.push_back({of_day, minute, pieces_[at_].at});
    at_ = end;
    return true;
  }

  /// "24 May", "the 24th of May, 2024".
  bool read_day_first() {
    const auto found = day(at_);
    if (!found || !is_whole(at_, found->end)) {
      return false;
    }
    std::size_t end = found->end + (names(found->end, "of") ? 1 : 0);
    const int named = month(end);
    if (named == 0) {
      return false;
    }
    ++end;
    end += is_sign(end, '.') && is_joined(end) ? 1 : 0;
    const int said = year(end);
    return add(said, named, found->day, at_, end);
  }

  /// "May 24", "May 24th, 2024", "Dec. 15-30, 2024", "August 10th to 15th".
  bool read_month_first() {
    const int named = month(at_);
    if (named == 0) {
      return false;
    }
    const std::size_t from = at_;
    const std::size_t at = at_ + 1 + (is_sign(at_ + 1, '.') && is_joined(at_ + 1) ? 1U : 0U);
    const auto first = day(at);
    if (!first) {
      return false;
    }
    std::size_t end = first->end;
    const std::optional<Day> last = last_of_range(end);
    if (!last && is_joined(end) && piece(end)->kind == Piece::Kind::word) {
      return false;
    }
    end = last ? last->end : end;
    const int said = year(end);
    if (!add(said, named, first->day, from, end)) {
      return false;
    }
    if (last) {
      add(said, named, last->day, from, end);
      found_.days.back().at = pieces_[last->end - 1].at;
    }
    return true;
  }
  /// What ends a range that began with a day of the same month.
  std::optional<Day> last_of_range(std::size_t at) const {
    // A dash of another length is three bytes in UTF-8.
    const bool is_long = is_sign(at, '\xe2') && is_sign(at + 1, '\x80') &&
                         (is_sign(at + 2, '\x93') || is_sign(at + 2, '\x94'));
    const bool has_dash = is_sign(at, '-') || is_long;
    const bool has_word = names(at, "to") || names(at, "through") || names(at, "until");
    if (!has_dash && !has_word) {
      return std::nullopt;
    }
    const auto last = day(at + (is_long ? 3 : 1));
    const bool is_day = last && (has_dash || last->is_ordinal) && month(last->end) == 0 &&
                        !(names(last->end, "of") && month(last->end + 1) != 0);
    return is_day ? last : std::nullopt;
  }

  void lend_years() {
    for (std::size_t i = 0; i < found_.days.size(); ++i) {
      WrittenDay& day = found_.days[i];
      if (day.year != 0) {
        continue;
      }
      if (i + 1 < found_.days.size() && found_.days[i + 1].year != 0 &&
          found_.days[i + 1].at - day.at <= year_lent_max) {
        day.year = found_.days[i + 1].year;
      } else if (i > 0 && day.at - found_.days[i - 1].at <= year_lent_max) {
        day.year = found_.days[i - 1].year;
      }
    }
  }

  void pair_times() {
    for (WrittenDay& day : found_.days) {
      const auto away = [&day](const WrittenTime& time) {
        return time.at > day.at ? time.at - day.at : day.at - time.at;
      };
      const auto nearest = std::min_element(
          found_.times.begin(), found_.times.end(),
          [&](const WrittenTime& a, const WrittenTime& b) { return away(a) < away(b); });
      if (nearest != found_.times.end()) {
        day.time = *nearest;
      }
    }
  }

  std::vector<Piece> pieces_;
  std::size_t at_ = 0;
  WrittenMoments found_;
};

}  // namespace

WrittenMoments moments_in(std::string_view text) {
  text = text.substr(0, written_bytes_max);
  return std::any_of(text.begin(), text.end(), is_digit) ? Reader(text).read() : WrittenMoments{};
}

std::string iso_day(int year, const WrittenDay& day) {
  char text[16];
  std::snprintf(text, sizeof text, "%04d-%02d-%02d", year % 10'000, day.month % 100, day.day % 100);
  return text;
}

std::string iso_time(const WrittenTime& time) {
  char text[8];
  std::snprintf(text, sizeof text, "%02d:%02d", time.hour % 100, time.minute % 100);
  return text;
}

int year_of_iso(std::string_view text) {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-') {
    return 0;  // As nearly all arguments.
  }
  const WrittenMoments found = moments_in(text.substr(0, 10));
  const bool is_day = found.days.size() == 1 && found.days[0].is_iso && found.days[0].at == 0 &&
                      (text.size() == 10 || text[10] == 'T' || text[10] == ' ');
  return is_day ? found.days[0].year : 0;
}

void UsualYear::learn(const json::Object& input) {
  constexpr double kept = 0.98;  // Of what was counted, with each day that comes.
  std::size_t left = arguments_max;
  for (const json::Member& member : input) {
    if (left-- == 0) {
      return;
    }
    const std::string* const text = member.value.string();
    const int year = text == nullptr ? 0 : year_of_iso(*text);
    if (year == 0) {
      continue;
    }
    for (Seen& each : years_) {
      each.count *= kept;
    }
    auto at = std::find_if(years_.begin(), years_.end(),
                           [year](const Seen& each) { return each.year == year; });
    if (at == years_.end() && years_.size() < years_max) {
      at = years_.insert(at, Seen{});
    } else if (at == years_.end()) {
      at = std::min_element(years_.begin(), years_.end(),
                            [](const Seen& a, const Seen& b) { return a.count < b.count; });
      *at = {};
    }
    at->year = year;
    at->count += 1;
  }
}

int UsualYear::usual() const {
  const auto most = std::max_element(
      years_.begin(), years_.end(), [](const Seen& a, const Seen& b) { return a.count < b.count; });
  return most == years_.end() ? 0 : most->year;
}

}  // namespace forerun::prediction
