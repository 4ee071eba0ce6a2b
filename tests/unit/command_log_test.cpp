#include "node/executors/command_log.hpp"

#include <catch2/catch.hpp>

using namespace forerun;
using namespace std::chrono_literals;

namespace {

using Lines = std::vector<std::string>;

const CommandLog::Time start{1h};

}  // namespace

TEST_CASE("what a command writes becomes lines with its name, however it is cut", "[command_log]") {
  CommandLog log;
  CHECK(log.take(start, 1, "task a", "one\ntw") == Lines{"task a: one"});
  CHECK(log.take(start, 2, "task b", "other\n\n") == Lines{"task b: other"});
  CHECK(log.take(start, 1, "task a", "o\nthree") == Lines{"task a: two"});
  CHECK(log.closed(start, 1, "task a") == Lines{"task a: three"});
  CHECK(log.closed(start, 1, "task a").empty());
}

TEST_CASE("a logged line is one short line of valid text", "[command_log]") {
  CommandLog log;
  const auto lines = log.take(start, 1, "task a", "\x1b[31mred\xff\r\n");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find('\x1b') == std::string::npos);
  CHECK(lines[0].find('\r') == std::string::npos);
  CHECK(lines[0].find("\xff") == std::string::npos);
  for (int i = 0; i < 1000; ++i) {
    CHECK(log.take(start, 2, "task b", std::string(1000, 'x')).empty());
  }
  const auto endless = log.closed(start, 2, "task b");
  REQUIRE(endless.size() == 1);
  CHECK(endless[0].size() <= 600);
}

TEST_CASE("commands that write too much are counted, and heard again later", "[command_log]") {
  CommandLog log({.lines_per_s = 2, .lines_burst = 3});
  std::string flood;
  for (int i = 0; i < 10; ++i) {
    flood += "x\n";
  }
  CHECK(log.take(start, 1, "a", flood).size() == 3);
  CHECK(log.take(start + 400ms, 2, "b", "y\n").empty());  // All commands share the limit.
  CHECK(log.take(start + 600ms, 2, "b", "z\n") ==
        Lines{"commands: 8 lines that they wrote are not here: too many at once", "b: z"});
  CHECK(log.take(start + 1h, 1, "a", flood).size() == 3);
}
