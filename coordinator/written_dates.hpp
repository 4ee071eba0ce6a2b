#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.hpp"

/// Days and times of day that people write in texts ("May 24th", "the 1st of June, 2024",
/// "12/24/2024", "2:30 PM"), where calls take them as ISO 8601 has them. English names of months.
/// What a text means by "tomorrow" is not known: there is no clock here.
namespace forerun::prediction {

struct WrittenTime {
  int hour = 0, minute = 0;
  std::size_t at = 0;  ///< Where it stands in its text, in bytes.
};

struct WrittenDay {
  int year = 0;  ///< 0: not said, nor by a day near it.
  int month = 0, day = 0;
  std::size_t at = 0;
  std::string_view before;          ///< The word before it; may be empty.
  bool is_iso = false;              ///< It stands in its text as iso_day() writes it.
  std::optional<WrittenTime> time;  ///< The nearest one of the text.
};

/// Of one text: bytes that are read, days and times that are told.
inline constexpr std::size_t written_bytes_max = 16U << 10U;
inline constexpr std::size_t written_days_max = 32;

struct WrittenMoments {
  std::vector<WrittenDay> days;  ///< In the text's order, each where it is written.
  std::vector<WrittenTime> times;
};
/// `before` points into the text.
WrittenMoments moments_in(std::string_view text);

/// 2024-05-24. @pre year > 0
std::string iso_day(int year, const WrittenDay& day);
/// 14:30
std::string iso_time(const WrittenTime& time);
/// The year of a text that is a day, or begins with one and goes on with a time, as ISO 8601 has
/// them; 0: it is none.
int year_of_iso(std::string_view text);

/// The year that calls mean, where people do not write it: the most frequent one of late.
class UsualYear {
public:
  static constexpr std::size_t years_max = 8;
  static constexpr std::size_t arguments_max = 64;  ///< Looked at of one call.

  void learn(const json::Object& input);
  /// 0: none came yet.
  int usual() const;

private:
  struct Seen {
    int year = 0;
    double count = 0;
  };
  std::vector<Seen> years_;
};

}  // namespace forerun::prediction
