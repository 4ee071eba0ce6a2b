#include "cluster/link_trouble.hpp"

#include <catch2/catch.hpp>
#include <vector>

using namespace forerun;
using namespace std::chrono_literals;
using Kind = LinkTrouble::Kind;

namespace {

/// Reports the same trouble every second and keeps the seconds at which something was said.
std::vector<int> told(LinkTrouble& trouble, Kind kind, int seconds) {
  std::vector<int> when;
  for (int second = 0; second < seconds; ++second) {
    if (trouble.happened(kind, LinkTrouble::Time(1h) + second * 1s).line) {
      when.push_back(second);
    }
  }
  return when;
}

}  // namespace

TEST_CASE("a coordinator that cannot be reached is named once, then at growing intervals",
          "[link_trouble]") {
  LinkTrouble trouble("host:7400");
  const auto first = trouble.happened(Kind::unreachable, LinkTrouble::Time(1h));
  REQUIRE(first.line);
  CHECK_THAT(*first.line,
             Catch::Matchers::StartsWith("coordinator at host:7400: cannot be reached"));
  CHECK_FALSE(first.is_final);
  trouble.connected();
  CHECK(told(trouble, Kind::unreachable, 3000) ==
        std::vector<int>{0, 10, 30, 70, 150, 310, 630, 1230, 1830, 2430});
}

TEST_CASE("one broken handshake is no trouble, several are", "[link_trouble]") {
  LinkTrouble trouble("host:7400");
  CHECK(told(trouble, Kind::broken, 2).empty());
  trouble.connected();
  CHECK(told(trouble, Kind::broken, 20) == std::vector<int>{2, 12});
}

TEST_CASE("a key that stays refused ends the node, one that was just added does not",
          "[link_trouble]") {
  LinkTrouble trouble("host:7400");
  const LinkTrouble::Time start(1h);
  for (int second = 0; second < 5; ++second) {
    const auto verdict = trouble.happened(Kind::refused, start + second * 1s);
    CHECK(verdict.line.has_value() == (second == 2));
    CHECK_FALSE(verdict.is_final);
  }
  const auto last = trouble.happened(Kind::refused, start + 5s);
  CHECK(last.is_final);
  REQUIRE(last.line);
  CHECK_THAT(*last.line, Catch::Matchers::Contains("keys list"));
  CHECK_FALSE(trouble.happened(Kind::refused, start + 6s).line);

  LinkTrouble twice("host:7400");
  CHECK_FALSE(twice.happened(Kind::refused, start).is_final);
  CHECK_FALSE(twice.happened(Kind::refused, start + 60s).is_final);
  twice.connected();
  CHECK_FALSE(twice.happened(Kind::refused, start + 61s).is_final);
}
