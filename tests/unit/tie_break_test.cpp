#include "speculation/tie_break.hpp"

#include <catch2/catch.hpp>

using namespace forerun;
using State = Selection::State;

namespace {
const std::vector<std::string> names{"a", "b", "c"};
const ChainValue chain = sha256(std::string_view("any"));
using Validities = std::vector<std::optional<bool>>;
}  // namespace

TEST_CASE("ordered waits for an unsettled branch declared ahead of a valid one", "[tie_break]") {
  REQUIRE(select(SelectRule::ordered, chain, names, Validities{{}, true, true}, {}).state ==
          State::undecided);
  const auto decided = select(SelectRule::ordered, chain, names, Validities{false, true, {}}, {});
  REQUIRE(decided.state == State::winner);
  REQUIRE(decided.index == 1);
}

TEST_CASE("ranked decides as soon as its first ranked branch is valid", "[tie_break]") {
  const auto order = rank(SelectRule::ranked, chain, names);
  Validities validities(3);
  validities[order[0]] = true;
  const auto decided = select(SelectRule::ranked, chain, names, validities, {});
  REQUIRE(decided.state == State::winner);
  REQUIRE(decided.index == order[0]);
}

TEST_CASE("seeded waits for every branch", "[tie_break]") {
  REQUIRE(select(SelectRule::seeded, chain, names, Validities{true, true, {}}, {}).state ==
          State::undecided);
  const auto decided = select(SelectRule::seeded, chain, names, Validities{false, true, false}, {});
  REQUIRE(decided.index == 1);
}

TEST_CASE("first takes the earliest valid arrival", "[tie_break]") {
  const std::vector<std::size_t> arrival{2, 1, 0};
  REQUIRE(select(SelectRule::first, chain, names, Validities{true, true, false}, arrival).index ==
          1);
}

TEST_CASE("no valid branch means no winner, under every rule", "[tie_break]") {
  const SelectRule rule =
      GENERATE(SelectRule::seeded, SelectRule::ranked, SelectRule::ordered, SelectRule::first);
  REQUIRE(select(rule, chain, names, Validities{false, false, false}, {}).state == State::none);
}

TEST_CASE("what settled behind the winner leaves no trace in the record", "[tie_break]") {
  const Validities all{true, false, true};
  const std::vector<std::size_t> arrival{1, 2, 0};
  const auto record = [&](SelectRule rule, std::size_t winner) {
    return recorded_validities(rule, chain, names, all, arrival, winner);
  };
  REQUIRE(record(SelectRule::ordered, 0) == Validities{true, {}, {}});
  REQUIRE(record(SelectRule::seeded, 0) == all);
  REQUIRE(record(SelectRule::first, 2) == Validities{{}, false, true});
  REQUIRE(recorded_arrival(arrival, 2) == std::vector<std::size_t>{1, 2});
  const auto order = rank(SelectRule::ranked, chain, names);
  Validities ranked(3);
  for (const std::size_t i : order) {
    ranked[i] = all[i];
    if (*all[i]) {
      REQUIRE(record(SelectRule::ranked, i) == ranked);
      break;
    }
  }
}

TEST_CASE("a failed race records every branch", "[tie_break]") {
  const Validities none{false, false, false};
  REQUIRE(recorded_validities(SelectRule::ranked, chain, names, none, {}, {}) == none);
}

TEST_CASE("a replay counts arrivals in the recorded order, whatever arrives first", "[tie_break]") {
  using Order = std::vector<std::size_t>;
  const Order recorded{2, 0};
  REQUIRE(replayed_arrival(recorded, Order{0, 1}) == Order{});
  REQUIRE(replayed_arrival(recorded, Order{0, 1, 2}) == Order{2, 0, 1});
  REQUIRE(replayed_arrival(recorded, Order{1, 2}) == Order{2});
}
