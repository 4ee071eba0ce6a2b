#include "coordinator/reliability.hpp"

#include <catch2/catch.hpp>

using namespace forerun::prediction;

TEST_CASE("a probability is corrected by how far such ones came true", "[reliability]") {
  Reliability reliability;
  CHECK(reliability.corrected(0.7) == Approx(0.7));
  for (int i = 0; i < 100; ++i) {
    reliability.learn(0.75, i % 4 == 0);
  }
  CHECK(reliability.corrected(0.7) < 0.3);
  // Others are not touched.
  CHECK(reliability.corrected(0.35) == Approx(0.35));
}

TEST_CASE("a correction upwards closes at most half of what is missing", "[reliability]") {
  Reliability reliability;
  for (int i = 0; i < 100; ++i) {
    reliability.learn(0.4, true);
  }
  CHECK(reliability.corrected(0.4) == Approx(0.7));
}

TEST_CASE("old records fade before new ones", "[reliability]") {
  Reliability reliability;
  for (int i = 0; i < 1'000; ++i) {
    reliability.learn(0.5, false);
  }
  for (int i = 0; i < 1'000; ++i) {
    reliability.learn(0.5, true);
  }
  CHECK(reliability.corrected(0.5) == Approx(0.75));
}

TEST_CASE("every probability has a bin", "[reliability]") {
  CHECK(Reliability::bin_of(0) == 0);
  CHECK(Reliability::bin_of(0.55) == 5);
  CHECK(Reliability::bin_of(1) == Reliability::bins - 1);
}

TEST_CASE("what is nearly certain holds after some thirty in a row, not before", "[reliability]") {
  SureRecord sure;
  CHECK_FALSE(sure.holds(0.92));
  int came = 0;
  while (!sure.holds(0.92) && came < 100) {
    sure.learn(0.92, true);
    ++came;
  }
  CHECK(came >= 29);
  CHECK(came <= 31);
  CHECK_FALSE(sure.holds(0.96));
  CHECK_FALSE(sure.holds(0.99));
  for (int i = 0; i < 3; ++i) {
    sure.learn(0.92, false);
  }
  CHECK_FALSE(sure.holds(0.92));
}

TEST_CASE("only what is nearly certain is stated as its lower bound", "[reliability]") {
  CHECK(doubted(0.8, 3) == 0.8);
  CHECK(doubted(0.95, 3) < 0.85);
  CHECK(doubted(0.95, 1e6) == Approx(0.95).margin(0.001));
}

TEST_CASE("sure is stated only where it has come true", "[reliability]") {
  const Reliability reliability;
  SureRecord sure;
  const Stating doubtful = state(0.99, 1e6, 1, reliability, sure);
  CHECK(doubtful.allowed > sure_from);
  CHECK(doubtful.stated < sure_from);
  for (int i = 0; i < 80; ++i) {
    sure.learn(doubtful.allowed, true);
  }
  CHECK(state(0.99, 1e6, 1, reliability, sure).stated == doubtful.allowed);
  // Few calls allow less, whatever else is known.
  CHECK(state(0.99, 1e6, 0.6, reliability, sure).stated == 0.6);
  CHECK(state(1, 1e6, 1, reliability, sure).stated <= probability_max);
}
