#include "coordinator/admission.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include "base/prng.hpp"

using namespace forerun;
using std::chrono::microseconds;
using std::chrono::seconds;

namespace {

WasteBudget filled(const AdmissionSettings& settings) {
  WasteBudget budget(settings);
  budget.committed(seconds(100));
  return budget;
}

Candidate good_candidate() {
  Candidate candidate;
  candidate.confidence = 0.95;
  candidate.has_idle_slot = true;
  return candidate;
}

}  // namespace

TEST_CASE("a term starts with an empty budget and committed work opens it", "[admission]") {
  WasteBudget budget{AdmissionSettings{}};
  REQUIRE_FALSE(budget.is_open());
  budget.committed(seconds(10));
  REQUIRE(budget.is_open());
  REQUIRE(budget.level() == microseconds(1'500'000));
}

TEST_CASE("a debt is paid before the budget opens again", "[admission]") {
  WasteBudget budget{AdmissionSettings{}};
  budget.committed(seconds(10));
  budget.spent(seconds(3));
  REQUIRE_FALSE(budget.is_open());
  REQUIRE(budget.level() == microseconds(-1'500'000));
  budget.committed(seconds(10));
  REQUIRE_FALSE(budget.is_open());
  budget.committed(microseconds(1));
  REQUIRE(budget.is_open());
  REQUIRE(budget.level() == microseconds(0));
}

TEST_CASE("a hit gives back what its speculation spent", "[admission]") {
  WasteBudget budget{AdmissionSettings{}};
  budget.committed(seconds(10));
  budget.spent(seconds(1));
  budget.refunded(seconds(1));
  REQUIRE(budget.level() == microseconds(1'500'000));
}

TEST_CASE("the bucket's size bounds what can be saved up", "[admission]") {
  AdmissionSettings settings;
  settings.bucket_max = seconds(2);
  WasteBudget budget(settings);
  budget.committed(seconds(1'000));
  REQUIRE(budget.level() == seconds(2));
}

TEST_CASE("no sequence wastes more than the ratio of committed time and one last step",
          "[admission]") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Prng prng(seed);
    AdmissionSettings settings;
    settings.waste_ratio_max = static_cast<double>(prng.below(400)) / 1000.0;
    settings.bucket_max = seconds(1 + static_cast<int>(prng.below(100)));
    const auto ratio_ppm = static_cast<std::int64_t>(settings.waste_ratio_max * 1e6);
    WasteBudget budget(settings);
    std::int64_t committed_us = 0;
    std::int64_t spent_us = 0;
    std::int64_t refunded_us = 0;
    std::int64_t last_step_us = 0;
    const std::uint64_t step_us_max = prng.chance(0.5) ? 10 : 5'000'000;
    for (int turn = 0; turn < 2'000; ++turn) {
      const auto us = static_cast<std::int64_t>(prng.below(step_us_max));
      const std::uint64_t move = prng.below(3);
      if (move == 0) {
        budget.committed(microseconds(us));
        committed_us += us;
      } else if (move == 1 && budget.is_open()) {
        budget.spent(microseconds(us));
        spent_us += us;
        last_step_us = std::max(last_step_us, us);
      } else if (move == 2) {
        const std::int64_t back = std::min(us, spent_us - refunded_us);
        budget.refunded(microseconds(back));
        refunded_us += back;
      }
      const std::int64_t wasted = (spent_us - refunded_us) * 1'000'000;
      REQUIRE(wasted <= committed_us * ratio_ppm + last_step_us * 1'000'000);
    }
  }
}

TEST_CASE("the bands decide by confidence and by what is free", "[admission]") {
  AdmissionSettings settings;
  settings.policy = AdmissionPolicy::bands;
  const WasteBudget budget = filled(settings);
  Candidate candidate = good_candidate();
  REQUIRE(admit(settings, budget, candidate) == Verdict::start);
  candidate.confidence = 0.90;
  REQUIRE(admit(settings, budget, candidate) == Verdict::start);
  candidate.confidence = 0.70;
  REQUIRE(admit(settings, budget, candidate) == Verdict::too_unlikely);
  candidate.has_idle_slot = false;
  candidate.has_free_slot = true;
  candidate.confidence = 0.85;
  REQUIRE(admit(settings, budget, candidate) == Verdict::no_idle_slot);
  candidate.confidence = 0.91;
  REQUIRE(admit(settings, budget, candidate) == Verdict::start);
  candidate.has_free_slot = false;
  REQUIRE(admit(settings, budget, candidate) == Verdict::no_idle_slot);
}

TEST_CASE(
    "value weighs the time hidden against the waste, at a price that rises as the budget empties",
    "[admission]") {
  AdmissionSettings settings;
  WasteBudget budget = filled(settings);
  Candidate candidate = good_candidate();
  candidate.expected = candidate.hidden = candidate.at_stake = std::chrono::milliseconds(500);
  const double ample = confidence_min(settings, budget, candidate.expected, Duration::zero());
  CHECK(ample == Approx(settings.price_min / (1 + settings.price_min)));
  candidate.confidence = ample + 0.01;
  CHECK(admit(settings, budget, candidate) == Verdict::start);
  candidate.confidence = ample - 0.01;
  CHECK(admit(settings, budget, candidate) == Verdict::too_unlikely);

  SECTION("less is hidden than wasted") {
    candidate.confidence = 0.5;
    candidate.hidden = std::chrono::milliseconds(50);
    CHECK(admit(settings, budget, candidate) == Verdict::too_unlikely);
  }
  SECTION("nothing is hidden") {
    candidate.confidence = 0.99;
    candidate.hidden = Duration::zero();
    CHECK(admit(settings, budget, candidate) == Verdict::too_unlikely);
  }
  SECTION("killing costs a second") {
    candidate.confidence = 0.3;
    CHECK(admit(settings, budget, candidate) == Verdict::start);
    settings.kill_cost = std::chrono::seconds(5);
    CHECK(admit(settings, budget, candidate) == Verdict::too_unlikely);
  }
  SECTION("an almost empty budget") {
    while (budget.level() > candidate.expected * 3 / 2) {
      budget.spent(std::chrono::milliseconds(100));
    }
    candidate.confidence = 0.5;
    CHECK(admit(settings, budget, candidate) == Verdict::too_unlikely);
    candidate.confidence = 0.95;
    CHECK(admit(settings, budget, candidate) == Verdict::start);
  }
  SECTION("no idle slot") {
    candidate.confidence = 0.99;
    candidate.has_idle_slot = false;
    CHECK(admit(settings, budget, candidate) == Verdict::no_idle_slot);
  }
  SECTION("a confidence that is no number") {
    candidate.confidence = std::numeric_limits<double>::quiet_NaN();
    CHECK(admit(settings, budget, candidate) == Verdict::too_unlikely);
  }
}

TEST_CASE("limits and an empty budget stop even the surest candidate", "[admission]") {
  const AdmissionSettings settings;
  const WasteBudget budget = filled(settings);
  Candidate candidate = good_candidate();
  candidate.depth = settings.depth_max + 1;
  REQUIRE(admit(settings, budget, candidate) == Verdict::too_deep);
  candidate = good_candidate();
  candidate.running_in_session = settings.per_session_max;
  REQUIRE(admit(settings, budget, candidate) == Verdict::session_full);
  candidate = good_candidate();
  candidate.running_in_cluster = settings.in_cluster_max;
  REQUIRE(admit(settings, budget, candidate) == Verdict::cluster_full);
  REQUIRE(admit(settings, WasteBudget(settings), good_candidate()) == Verdict::budget_empty);
}
