#include "coordinator/usefulness.hpp"

#include <catch2/catch.hpp>

using namespace forerun;
using namespace std::chrono_literals;

namespace {

using Arm = Usefulness::Arm;

RunId run_id(std::uint64_t counter) {
  RunId id;
  id.home.uuid.bytes[3] = 7;
  id.counter = counter;
  return id;
}

/// So many waits of each kind; the control share's spread a little around a second.
void feed(Usefulness& known, Instant now, const std::string& task, Duration ahead,
          std::size_t count, const std::string& tenant = "t") {
  for (std::size_t i = 0; i < count; ++i) {
    const Duration spread = 10ms * static_cast<int>(i % 7);
    known.waited(now, tenant, task, Arm::control, 1s + spread);
    known.waited(now, tenant, task, Arm::ahead, ahead + spread);
  }
}

Usefulness::RaceOutcome won_by(std::size_t branch) {
  return {branch, "branch" + std::to_string(branch), 10ms, branch == 0 ? 10ms : 20ms};
}

void race(Usefulness& known, Instant now, std::size_t count, std::size_t every = 0) {
  for (std::size_t i = 1; i <= count; ++i) {
    known.raced(now, "t", "race", won_by(every > 0 && i % every == 0 ? 1 : 0));
  }
}

const json::Value& told(const json::Array& report, const std::string& task) {
  for (const json::Value& each : report) {
    if (*each.find("task") == json::Value(task)) {
      return each;
    }
  }
  FAIL("no report of " << task);
  return report.front();
}

}  // namespace

TEST_CASE("the control share is a function of the run ID", "[usefulness]") {
  std::size_t chosen = 0;
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    CHECK(is_in_control_share(run_id(i), 0.05) == is_in_control_share(run_id(i), 0.05));
    // A larger share holds all of a smaller one.
    CHECK((!is_in_control_share(run_id(i), 0.05) || is_in_control_share(run_id(i), 0.06)));
    chosen += is_in_control_share(run_id(i), 0.05) ? 1 : 0;
    CHECK_FALSE(is_in_control_share(run_id(i), 0));
    CHECK(is_in_control_share(run_id(i), 1));
  }
  CHECK(chosen > 430);
  CHECK(chosen < 570);
  // printf '8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17' | sha256sum
  const RunId known = *RunId::parse("8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17");
  const double place = 2922569373 / 4294967296.0;
  CHECK_FALSE(is_in_control_share(known, place));
  CHECK(is_in_control_share(known, place + 1e-9));
}

TEST_CASE("a task is turned off where it saves too little, with confidence", "[usefulness]") {
  Usefulness known{{}};
  const Instant now{1h};
  feed(known, now, "useless", 970ms, 100);
  feed(known, now, "useful", 500ms, 100);
  feed(known, now, "harmful", 1200ms, 100);
  CHECK(known.is_off("t", "useless"));
  CHECK(known.is_off("t", "harmful"));
  CHECK_FALSE(known.is_off("t", "useful"));
  CHECK_FALSE(known.is_off("other", "useless"));
  CHECK_FALSE(known.is_off("t", "unknown"));
  const auto turns = known.take_turns();
  REQUIRE(turns.size() == 2);
  CHECK(turns[0].task == "useless");
  CHECK(turns[0].drops);
  CHECK_THAT(turns[0].text, Catch::Contains("turned off: running ahead saves 2.9 %") &&
                                Catch::Contains("expected at least 15.0 %") &&
                                Catch::Contains("looks again in 300 s"));
  CHECK(known.take_turns().empty());
  CHECK(known.turned_off() ==
        std::vector<std::pair<std::string, std::string>>{{"t", "harmful"}, {"t", "useless"}});
}

TEST_CASE("what is not known well enough stays on", "[usefulness]") {
  Usefulness known{{}};
  const Instant now{1h};
  // Too few of the control share.
  for (int i = 0; i < 500; ++i) {
    known.waited(now, "t", "a", Arm::ahead, 1s);
    known.waited(now, "t", "b", Arm::control, 1s);
    if (i < 19) {
      known.waited(now, "t", "a", Arm::control, 1s + 1ms * i);
    }
  }
  CHECK_FALSE(known.is_off("t", "a"));
  CHECK_FALSE(known.is_off("t", "b"));
  // Waits that differ so much that a tenth saved may be a third.
  for (int i = 0; i < 60; ++i) {
    known.waited(now, "t", "wild", Arm::control, i % 10 == 0 ? 10s : 100ms);
    known.waited(now, "t", "wild", Arm::ahead, i % 10 == 0 ? 9s : 90ms);
  }
  CHECK_FALSE(known.is_off("t", "wild"));
  // Nobody waits for it anyway.
  for (int i = 0; i < 60; ++i) {
    known.waited(now, "t", "instant", Arm::control, 0s);
    known.waited(now, "t", "instant", Arm::ahead, 0s);
  }
  CHECK_FALSE(known.is_off("t", "instant"));
  CHECK(known.take_turns().empty());
}

TEST_CASE("what is off is probed later and later, up to a limit", "[usefulness]") {
  UsefulnessSettings settings;
  settings.probe_after = 60s;
  settings.probe_after_max = 150s;
  Usefulness known(settings);
  Instant now{1h};
  feed(known, now, "a", 1s, 30);
  for (const Duration off_for : {60s, 120s, 150s, 150s}) {
    REQUIRE(known.is_off("t", "a"));
    CHECK_FALSE(known.allows(now + off_for - 1us, "t", "a"));
    CHECK(known.take_turns().back().drops);
    now += off_for;
    CHECK(known.allows(now, "t", "a"));
    CHECK_FALSE(known.is_off("t", "a"));
    const auto turns = known.take_turns();
    REQUIRE(turns.size() == 1);
    CHECK_FALSE(turns[0].drops);
    CHECK_THAT(turns[0].text, Catch::StartsWith("turned on"));
    // What was measured before the probe does not count.
    CHECK(*told(known.report(now, "t"), "a").find("ahead")->find("n") == json::Value(0));
    feed(known, now, "a", 1s, 30);
  }
  // Once it has shown to pay, its time off is short again.
  now += 150s;
  REQUIRE(known.allows(now, "t", "a"));
  feed(known, now, "a", 100ms, 200);
  CHECK_FALSE(known.is_off("t", "a"));
  feed(known, now, "a", 1s, 1000);
  REQUIRE(known.is_off("t", "a"));
  CHECK(known.allows(now + 60s, "t", "a"));
}

TEST_CASE("a call foreseen before its task was turned off counts for nothing", "[usefulness]") {
  Usefulness known{{}};
  const Instant now{1h};
  feed(known, now, "a", 1s, 100);
  REQUIRE(known.is_off("t", "a"));
  const json::Value before = *told(known.report(now, "t"), "a").find("ahead");
  known.waited(now, "t", "a", Arm::ahead, 5s);
  CHECK(*told(known.report(now, "t"), "a").find("ahead") == before);
  known.waited(now, "t", "a", Arm::control, 5s);
  CHECK_FALSE(*told(known.report(now, "t"), "a").find("control")->find("n") == json::Value(0));
}

TEST_CASE("a race that one branch nearly always wins starts one by one", "[usefulness]") {
  Usefulness known{{}};
  Instant now{1h};
  SECTION("and one that it wins less often does not") {
    race(known, now, 300, 6);  // 83 %
    CHECK_FALSE(known.favourite("t", "race").has_value());
    CHECK(known.take_turns().empty());
  }
  SECTION("until it no longer does, looked at after its time off") {
    race(known, now, 29);
    CHECK_FALSE(known.favourite("t", "race").has_value());
    race(known, now, 1);
    CHECK(known.favourite("t", "race") == 0);
    CHECK_FALSE(known.favourite("other", "race").has_value());
    CHECK_FALSE(known.is_off("t", "race"));
    auto turns = known.take_turns();
    REQUIRE(turns.size() == 1);
    CHECK_THAT(turns[0].text, Catch::Contains("branch branch0 wins 100.0 % (88.6 % to 100.0 %)"));
    race(known, now, 100, 2);
    CHECK(known.favourite("t", "race") == 0);  // Not before its time.
    now += 5min;
    race(known, now, 10, 2);
    CHECK_FALSE(known.favourite("t", "race").has_value());
    turns = known.take_turns();
    REQUIRE(turns.size() == 1);
    CHECK_THAT(turns[0].text, Catch::StartsWith("turned on"));
  }
  SECTION("and stays so, without a word, while it does") {
    race(known, now, 30);
    now += 5min;
    race(known, now, 60);
    CHECK(known.favourite("t", "race") == 0);
    CHECK(known.take_turns().size() == 1);
    const json::Value report = told(known.report(now, "t"), "race");
    CHECK(*report.find("race")->find("branches") == json::Value("one by one"));
    CHECK(*report.find("race")->find("looks_in_ms") == json::Value(600'000));
  }
}

TEST_CASE("the report holds the evidence", "[usefulness]") {
  Usefulness known{{}};
  const Instant now{1h};
  feed(known, now, "on", 200ms, 150);
  feed(known, now, "off", 1s, 150);
  known.waited(now, "t", "new", Arm::ahead, 1s);
  const json::Array report = known.report(now + 1min, "t");
  REQUIRE(report.size() == 3);
  CHECK(*report.front().find("task") == json::Value("off"));
  const json::Value& off = told(report, "off");
  CHECK(*off.find("speculation") == json::Value("off"));
  CHECK(*off.find("probes_in_ms") == json::Value(240'000));
  CHECK_THAT(*off.find("why")->string(), Catch::StartsWith("running ahead saves 0.0 %"));
  const json::Value& on = told(report, "on");
  CHECK(*on.find("speculation") == json::Value("on"));
  CHECK(on.find("probes_in_ms")->is_null());
  CHECK(*on.find("control")->find("n") == json::Value(150));
  CHECK(*on.find("control")->find("p50_ms") == json::Value(1030));
  CHECK(*on.find("control")->find("p99_ms") == json::Value(1060));
  CHECK(*on.find("ahead")->find("p50_ms") == json::Value(230));
  CHECK(on.find("ahead")->find("p50_ci95_ms")->array() != nullptr);
  CHECK(on.find("ahead")->find("p99_ci95_ms")->is_null());  // Beyond 150 samples.
  CHECK(*on.find("improvement")->number() == Approx(0.777).margin(0.001));
  const json::Array& interval = *on.find("improvement_ci95")->array();
  CHECK(*interval[0].number() < 0.777);
  CHECK(*interval[1].number() > 0.777);
  CHECK(*interval[1].number() - *interval[0].number() < 0.02);
  const json::Value& fresh = told(report, "new");
  CHECK_THAT(*fresh.find("why")->string(),
             Catch::Contains("not judged yet: 1 waits of 30, 0 of 20"));
  CHECK(fresh.find("improvement")->is_null());
  CHECK(fresh.find("race") == nullptr);
}

TEST_CASE("the table is bounded, and the longest unused task goes first", "[usefulness]") {
  UsefulnessSettings settings;
  settings.tasks_max = 3;
  settings.told_max = 2;
  Usefulness known(settings);
  const Instant now{1h};
  feed(known, now, "a", 1s, 100, "x");
  feed(known, now, "b", 1s, 100, "y");
  known.waited(now, "y", "c", Arm::ahead, 1s);
  CHECK(known.is_off("x", "a"));
  known.waited(now, "x", "a", Arm::control, 1s);
  known.waited(now, "z", "d", Arm::ahead, 1s);
  CHECK(known.size() == 3);
  CHECK(known.is_off("x", "a"));
  CHECK_FALSE(known.is_off("y", "b"));
  CHECK(known.report(now, "x").size() == 1);
  known.waited(now, "x", "e", Arm::control, 1s);
  CHECK(known.report(now, "x").size() == 2);
  known.waited(now, "x", "f", Arm::control, 1s);
  known.waited(now, "x", "g", Arm::control, 1s);
  REQUIRE(known.size() == 3);
  CHECK(known.report(now, "x").size() == 2);  // Of three that are known.
  for (int i = 0; i < 5000; ++i) {
    known.waited(now, "x", "a", Arm::control, 1s);
    known.waited(now, "t" + std::to_string(i), "a", Arm::ahead, 1s);
  }
  CHECK(known.size() == 3);
}

TEST_CASE("an interval holds the true improvement nineteen times in twenty", "[usefulness]") {
  // Waits of 0 to 2 s, a half of them hidden: the truth is 0.5.
  std::uint64_t state = 88172645463325252ULL;
  const auto draw = [&state] {  // xorshift64 (Marsaglia 2003)
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    return state >> 11U;
  };
  std::size_t held = 0;
  constexpr std::size_t trials = 1000;
  for (std::size_t trial = 0; trial < trials; ++trial) {
    WaitSamples ahead(200);
    WaitSamples control(200);
    for (int i = 0; i < 120; ++i) {
      const auto wait = Duration(static_cast<std::int64_t>(draw() % 2'000'000));
      ahead.add(draw() % 2 == 0 ? 0s : wait);
    }
    for (int i = 0; i < 20; ++i) {
      control.add(Duration(static_cast<std::int64_t>(draw() % 2'000'000)));
    }
    const auto found = improvement(ahead, control);
    REQUIRE(found.has_value());
    held += found->interval.low <= 0.5 && 0.5 <= found->interval.high ? 1 : 0;
  }
  CHECK(held >= 930);
  CHECK(held <= 975);
}

TEST_CASE("a window keeps the latest", "[usefulness]") {
  WaitSamples samples(3);
  for (const Duration wait : {9s, 9s, 1s, 2s, 3s}) {
    samples.add(wait);
  }
  CHECK(samples.size() == 3);
  CHECK(samples.mean() == 2e6);
  CHECK(samples.quantile(0.5)->value == 2e6);
  CHECK_FALSE(samples.quantile(0.99).has_value());
  samples.clear();
  CHECK(samples.mean() == 0);
  CHECK_FALSE(samples.quantile(0.5).has_value());
}
