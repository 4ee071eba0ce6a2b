#include "coordinator/written_dates.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "base/prng.hpp"
#include "coordinator/prediction_graph.hpp"
#include "coordinator/session_memory.hpp"

using namespace forerun;
using namespace forerun::prediction;

namespace {

/// The days of a text as ISO has them, each with the time that belongs to it; a year that is not
/// said is 0000.
std::vector<std::string> days(std::string_view text) {
  std::vector<std::string> told;
  for (const WrittenDay& day : moments_in(text).days) {
    told.push_back(iso_day(day.year, day) + (day.time ? " " + iso_time(*day.time) : ""));
  }
  return told;
}

std::vector<std::string> times(std::string_view text) {
  std::vector<std::string> told;
  for (const WrittenTime& time : moments_in(text).times) {
    told.push_back(iso_time(time));
  }
  return told;
}

using Texts = std::vector<std::string>;

bool holds(const SessionMemory& memory, const std::string& text) {
  return memory.in_text(hash_string(text)) != 0;
}

}  // namespace

TEST_CASE("days are read as people write them", "[written_dates]") {
  CHECK(days("from New York to Seattle on May 20th.") == Texts{"0000-05-20"});
  CHECK(days("on december 5, 2024, at noon") == Texts{"2024-12-05"});
  CHECK(days("the 1st of January, 2023 with") == Texts{"2023-01-01"});
  CHECK(days("3 Sept 2024; Sep. 4th 2024") == Texts{"2024-09-03", "2024-09-04"});
  CHECK(days("due 12/24/2024, 24/12/2024 or 24.12.2024") ==
        Texts{"2024-12-24", "2024-12-24", "2024-12-24"});
  CHECK(days("it is 2024-05-15 today") == Texts{"2024-05-15"});
  CHECK(moments_in("it is 2024-05-15 today").days.front().is_iso);
  CHECK(moments_in("fly on May 20").days.front().before == "on");
}

TEST_CASE("a range of days shares its month and its year", "[written_dates]") {
  CHECK(days("from December 15-30, 2024 to") == Texts{"2024-12-15", "2024-12-30"});
  CHECK(days("January 25\u2013February 15, 2024") == Texts{"2024-01-25", "2024-02-15"});
  CHECK(days("August 10th to 15th") == Texts{"0000-08-10", "0000-08-15"});
  CHECK(days("departs on December 1, 2024 and returns December 15") ==
        Texts{"2024-12-01", "2024-12-15"});
  // The year of a birthday far behind is not that of a journey.
  CHECK(days("travel on May 26. It is for Kevin Smith, whose date of birth is April 12, 2001") ==
        Texts{"0000-05-26", "2001-04-12"});
  CHECK(days("born April 12, 2001. I would like an aisle seat, if there is one, on May 26") ==
        Texts{"2001-04-12", "0000-05-26"});
}

TEST_CASE("what only looks like a day is none", "[written_dates]") {
  for (const char* text :
       {"you may 2x", "flight HAT052", "version 1.2.2024.1", "13/13/2024", "May 32", "February 30",
        "march on", "room 24", "May2024", "1/2/24", "Mayor 24", "A12 May", "0 May", "12:75"}) {
    INFO(text);
    CHECK(days(text).empty());
    CHECK(times(text).empty());
  }
}

TEST_CASE("times are of 24 hours, and belong to the day nearest to them", "[written_dates]") {
  CHECK(times("at 2:30 PM, 12 am, 12:05 p.m., 14:00 and 8 a.m.") ==
        Texts{"14:30", "00:00", "12:05", "14:00", "08:00"});
  CHECK(times("13 pm or 25:00").empty());
  CHECK(days("at 10:30 AM on March 25th, 2023?") == Texts{"2023-03-25 10:30"});
  CHECK(days("March 16th at 7:00 and then much later on March 18th, at 2 pm") ==
        Texts{"0000-03-16 07:00", "0000-03-18 14:00"});
}

TEST_CASE("any bytes are read, and no more moments than the limit", "[written_dates]") {
  Prng prng(3);
  const std::string pieces[] = {"May", " ", "24",   "th",       "/",  "2024", "-", ":", "pm",
                                ".",   ",", "\xe2", "\x80\x93", "of", "Dec",  "1", "\n"};
  for (int i = 0; i < 2'000; ++i) {
    std::string text;
    for (std::uint64_t n = prng.below(30); n > 0; --n) {
      text += pieces[prng.below(std::size(pieces))];
    }
    for (const WrittenDay& day : moments_in(text).days) {
      REQUIRE((day.month >= 1 && day.month <= 12 && day.day >= 1 && day.day <= 31));
      REQUIRE(day.at < text.size());
    }
  }
  std::string many;
  for (int i = 0; i < 1'000; ++i) {
    many += "May 3 ";
  }
  CHECK(moments_in(many).days.size() == written_days_max);
  CHECK(moments_in(std::string(written_bytes_max, ' ') + "May 3").days.empty());
}

TEST_CASE("the usual year is the most frequent one of late", "[written_dates]") {
  UsualYear years;
  CHECK(years.usual() == 0);
  const auto learn = [&](const std::string& day) {
    json::Object input;
    input.set("day", day);
    years.learn(input);
  };
  learn("a day");
  learn("2024");
  CHECK(years.usual() == 0);
  learn("2024-05-24");
  learn("2024-05-25T10:00:00Z");
  learn("1990-01-01");
  CHECK(years.usual() == 2024);
  for (int i = 0; i < 200; ++i) {
    learn("2025-01-01 10:00:00");
  }
  CHECK(years.usual() == 2025);
  for (int year = 2030; year < 2060; ++year) {
    learn(std::to_string(year) + "-01-01");
  }
  CHECK(years.usual() == 2025);
}

TEST_CASE("a session knows the days and times of its texts as calls have them", "[written_dates]") {
  SessionMemory memory{MemoryLimits{}};
  memory.add_text("a table on May 24th at 7:30 pm");
  CHECK_FALSE(holds(memory, "2024-05-24"));  // Of no year yet.
  CHECK(holds(memory, "19:30"));
  memory.add_text("a table on May 25th at 7:30 pm", 2024);
  for (const char* text :
       {"2024-05-25", "2024-05-25 19:30:00", "2024-05-25T19:30:00", "2024-05-25T19:30:00Z"}) {
    INFO(text);
    CHECK(holds(memory, text));
  }
  const SeenValue& day = memory.value(memory.in_text(hash_string("2024-05-25")));
  CHECK(memory.is_mentioned(day));
  CHECK(day.is_moment);
  MemoryLimits without;
  without.days = false;
  SessionMemory other{without};
  other.add_text("on May 25th, 2024");
  CHECK_FALSE(holds(other, "2024-05-25"));
}

TEST_CASE("a day in words is an argument, in the year that calls mean", "[written_dates]") {
  PredictionGraph graph;
  RunId id;
  const auto session = [&](const std::string& words, const std::string& day) {
    ++id.counter;
    graph.text(id, "t", "please book a room for " + words);
    json::Object input;
    input.set("day", day);
    const Call call = Call::make("book", std::move(input));
    const std::vector<Prediction> made = graph.predict(id, {});
    const bool is_first = !made.empty() && made.front().call == call;
    graph.observe(id, "t", call, Output::make(json::Value(true)));
    graph.end(id);
    return is_first;
  };
  static const char* const months[] = {"March", "April", "June", "July"};
  int right = 0;
  for (int i = 0; i < 60; ++i) {
    const int month = i % 4;
    const int day = 1 + i * 7 % 28;
    static const int numbers[] = {3, 4, 6, 7};
    char iso[16];
    std::snprintf(iso, sizeof iso, "2024-%02d-%02d", numbers[month], day);
    right +=
        session(std::string(months[month]) + " " + std::to_string(day), iso) && i >= 20 ? 1 : 0;
  }
  CHECK(right >= 38);
}
