#include <catch2/catch.hpp>

#include "base/prng.hpp"
#include "demo/report.hpp"

namespace forerun {
namespace {

using std::chrono::milliseconds;

TraceStep step(const std::string& task, int latency_ms, int think_ms, bool beside = false) {
  return {Call::make(task, {}),
          json::Value(1),
          milliseconds(latency_ms),
          milliseconds(think_ms),
          {},
          beside};
}

Effect effect_by_name(std::string_view task) {
  if (task.starts_with("write")) {
    return Effect::write;
  }
  return task.starts_with("read") ? Effect::read : Effect::pure;
}

IdealTimes ideal_of(std::vector<TraceStep> steps) {
  TraceSession session;
  session.steps = std::move(steps);
  return ideal_times(session, effect_by_name);
}

/// Two passes of `count` sessions with one step each; on takes `on_share` of off's time.
struct Bench {
  Workload workload;
  DriveResult drive;

  Bench(std::size_t count, double on_share) {
    Prng prng(11);
    workload.is_synthetic = true;
    workload.title = "test";
    workload.effects.emplace("a", Effect::pure);
    for (std::size_t i = 0; i < count; ++i) {
      TraceSession session;
      session.steps = {step("a", 300, 100)};
      workload.sessions.push_back(session);
      const double wall_us = prng.lognormal(400'000, 0.3);
      drive.runs[0].push_back(run(i, wall_us, "miss", 0));
      drive.runs[1].push_back(run(i, wall_us * on_share, "hit", wall_us * (1 - on_share) / 1000));
    }
  }
  static SessionRun run(std::size_t i, double wall_us, const char* origin, double saved_ms) {
    SessionRun run;
    run.run_id = "home/" + std::to_string(i);
    run.wall = Duration(static_cast<Duration::rep>(wall_us));
    run.steps = {{origin, saved_ms, "hash" + std::to_string(i), false}};
    return run;
  }
  DemoReport report() const {
    ReportInput input{workload, drive, 40, 1, {}, {3, true, 9}, {3, true, 10}};
    input.busy = {2.0, 0.25, 0.5, 20, 3};
    return make_report(input);
  }
};

json::Value status(std::uint64_t size_of_second, const char* root_of_second, bool live = true) {
  const std::string text = R"({"ledger":{"size":5,"root":"aa"},"nodes":[)"
                           R"({"name":"node-1","live":true,"ledger":{"size":5,"root":"aa"}},)"
                           R"({"name":"node-2","live":)" +
                           std::string(live ? "true" : "false") + R"(,"ledger":{"size":)" +
                           std::to_string(size_of_second) + R"(,"root":")" + root_of_second +
                           R"("}}]})";
  return *json::parse(text);
}

}  // namespace

TEST_CASE("quantiles are by nearest rank", "[demo_report]") {
  CHECK(quantile({3, 1, 2}, 0.5) == 2);
  CHECK(quantile({1, 2, 3, 4}, 0.5) == 2);
  CHECK(quantile({1, 2, 3, 4}, 1) == 4);
  CHECK(quantile({7}, 0.01) == 7);
}

TEST_CASE("the bootstrap interval is seeded, holds the mean, and narrows with more pairs",
          "[demo_report]") {
  Prng prng(3);
  std::vector<double> off;
  std::vector<double> on;
  for (int i = 0; i < 400; ++i) {
    off.push_back(prng.lognormal(1, 0.4));
    on.push_back(prng.lognormal(0.5, 0.4));
  }
  const auto saved = [](double a, double b) { return 1 - b / a; };
  const Interval many = bootstrap_interval(off, on, 1, saved);
  const Interval again = bootstrap_interval(off, on, 1, saved);
  CHECK(many.low == again.low);
  CHECK(many.high == again.high);
  CHECK(many.low < 0.5);
  CHECK(many.high > 0.5);
  // The ratio of two means of 400 lognormals: its standard error is about 0.5 × √2 × 0.417 / √400 =
  // 0.0147.
  CHECK(many.high - many.low == Approx(2 * 1.96 * 0.0147).epsilon(0.2));
  const Interval few =
      bootstrap_interval({off.begin(), off.begin() + 40}, {on.begin(), on.begin() + 40}, 1, saved);
  CHECK(few.high - few.low > 2 * (many.high - many.low));
}

TEST_CASE("pairs that all save the same share leave no doubt about it", "[demo_report]") {
  const DemoReport report = Bench(50, 0.6).report();
  CHECK(report.saved_ratio == Approx(0.4).margin(1e-5));
  CHECK(report.saved_ci95.low == Approx(0.4).margin(1e-5));
  CHECK(report.saved_ci95.high == Approx(0.4).margin(1e-5));
  CHECK(report.never_slower);
  CHECK(report.measured_saved_s == Approx(report.claimed_saved_s).margin(1e-3));
  CHECK(report.waste_ratio == Approx(0.125));
  CHECK(report.hits == 50);
  CHECK(report.misses == 0);
  CHECK(report.steps == 50);
}

TEST_CASE("speculation that costs time in every session is called slower", "[demo_report]") {
  const DemoReport report = Bench(50, 1.05).report();
  CHECK(report.saved_ratio == Approx(-0.05).margin(1e-5));
  CHECK_FALSE(report.never_slower);
}

TEST_CASE("a difference within noise is not called slower", "[demo_report]") {
  Bench bench(50, 1);
  for (std::size_t i = 0; i < 50; ++i) {
    bench.drive.runs[1][i].wall += i % 2 == 0 ? milliseconds(20) : milliseconds(-19);
  }
  CHECK(bench.report().never_slower);
}

TEST_CASE("p99 is told only from 200 sessions on", "[demo_report]") {
  CHECK_FALSE(Bench(199, 1).report().off.p99_s.has_value());
  CHECK(Bench(200, 1).report().off.p99_s.has_value());
  CHECK(to_json(Bench(10, 1).report()).find("on")->find("p99_s")->is_null());
}

TEST_CASE("outputs are identical only when every decision hash is there and equal",
          "[demo_report]") {
  Bench bench(4, 0.5);
  CHECK(bench.report().identical_outputs);
  CHECK(exit_code(bench.report()) == 0);

  Bench other = bench;
  other.drive.runs[1][2].steps[0].decision_hash = "another";
  CHECK_FALSE(other.report().identical_outputs);
  CHECK(other.report().different_steps == 1);
  CHECK(exit_code(other.report()) == 5);

  Bench missing = bench;
  missing.drive.runs[0][1].steps.clear();
  missing.drive.runs[1][1].steps.clear();
  CHECK_FALSE(missing.report().identical_outputs);

  Bench empty = bench;
  empty.drive.runs[0][1].steps[0].decision_hash.clear();
  empty.drive.runs[1][1].steps[0].decision_hash.clear();
  CHECK_FALSE(empty.report().identical_outputs);

  Bench renamed = bench;
  renamed.drive.runs[1][1].run_id = "elsewhere/1";
  CHECK_FALSE(renamed.report().equal_run_ids);
}

TEST_CASE("wrong answers and disagreeing ledgers fail the verification, failed sessions the run",
          "[demo_report]") {
  Bench bench(4, 0.5);
  bench.drive.runs[1][0].steps[0].is_wrong = true;
  CHECK(bench.report().wrong_steps == 1);
  CHECK(exit_code(bench.report()) == 5);

  DemoReport report = Bench(4, 0.5).report();
  report.ledger.agree = false;
  CHECK(exit_code(report) == 5);
  report = Bench(4, 0.5).report();
  report.off_ledgers_agree = false;
  CHECK(exit_code(report) == 5);

  Bench failed(4, 0.5);
  failed.drive.runs[0][3].error = "cut";
  CHECK(failed.report().failed_sessions == 1);
  CHECK(failed.report().errors == std::vector<std::string>{"off: cut"});
  CHECK(exit_code(failed.report()) == 1);
}

TEST_CASE("ideal: pure calls all start with the session", "[demo_report]") {
  const IdealTimes times = ideal_of({step("a", 100, 10), step("b", 300, 10), step("c", 50, 10)});
  CHECK(times.without_speculation == milliseconds(480));
  // a: there at 100; b: asked at 110, there at 300; c: asked at 310 and there since 50.
  CHECK(times.with_all_known == milliseconds(310));
}

TEST_CASE("ideal: thinking alone cannot be saved", "[demo_report]") {
  const IdealTimes times = ideal_of({step("a", 10, 1000), step("b", 10, 1000)});
  CHECK(times.without_speculation == milliseconds(2020));
  CHECK(times.with_all_known == milliseconds(2000));
}

TEST_CASE("ideal: a write starts when it is asked for, and a read after it when it has ended",
          "[demo_report]") {
  const IdealTimes times = ideal_of(
      {step("read", 100, 10), step("write", 200, 10), step("read", 100, 30), step("a", 100, 5)});
  CHECK(times.without_speculation == milliseconds(555));
  // read at 100; write from 110 to 310; the second read runs from 310 to 410, asked at 340; a asked
  // at 415, there since 100.
  CHECK(times.with_all_known == milliseconds(415));
}

TEST_CASE("ideal: calls made together run side by side, but conflicting ones in their order",
          "[demo_report]") {
  const IdealTimes together = ideal_of({step("a", 100, 10), step("b", 200, 0, true)});
  CHECK(together.without_speculation == milliseconds(210));
  CHECK(together.with_all_known == milliseconds(200));
  const IdealTimes conflicting = ideal_of(
      {step("write 1", 100, 10), step("write 2", 200, 0, true), step("read", 50, 0, true)});
  CHECK(conflicting.without_speculation == milliseconds(360));
  CHECK(conflicting.with_all_known == milliseconds(360));
}

TEST_CASE(
    "the heading says where sessions come from, the speed-up and the ratio of tool to think time",
    "[demo_report]") {
  Bench bench(2, 1);
  CHECK(bench.report().heading ==
        "synthetic sessions: test; speed-up 40; tool to think time 3.00 : 1");
  bench.workload.is_synthetic = false;
  bench.workload.has_modelled_times = true;
  bench.workload.is_upper_bound = true;
  bench.workload.sessions.front().non_numbers = 3;
  CHECK(bench.report().heading ==
        "recorded sessions: test; speed-up 40; tool to think time 3.00 : 1; modelled times; "
        "3 times NaN or Infinity, which JSON lacks, read as text; upper bound: every task taken as "
        "one that only reads");
}

TEST_CASE("the JSON report has the members that scripts read", "[demo_report]") {
  const json::Value report = to_json(Bench(4, 0.5).report());
  for (const char* name : {"sessions",
                           "steps",
                           "off",
                           "on",
                           "saved_ratio",
                           "saved_ci95",
                           "ideal_saved_ratio",
                           "claimed_saved_s",
                           "measured_saved_s",
                           "waste_ratio",
                           "busy_s",
                           "calls",
                           "hits",
                           "late_hits",
                           "misses",
                           "identical_outputs",
                           "ledger",
                           "never_slower",
                           "wrong_steps",
                           "heading"}) {
    INFO(name);
    CHECK(report.find(name) != nullptr);
  }
  CHECK(json::canonical(*report.find("ledger")) == R"({"agree":true,"entries":10,"nodes":3})");
  CHECK(json::canonical(*report.find("busy_s")) ==
        R"({"race_losers":0.5,"useful":2,"wasted":0.25})");
  CHECK(json::canonical(*report.find("calls")) == R"({"useful":20,"wasted":3})");
  CHECK(json::canonical(*report.find("saved_ci95")).starts_with("[0."));
  CHECK(to_table(Bench(4, 0.5).report()).find("saved                   50.0 %") !=
        std::string::npos);
}

TEST_CASE("ledgers agree when all expected nodes are live with the coordinator's size and root",
          "[demo_report]") {
  CHECK(compare_ledgers(status(5, "aa"), 2)->agree);
  CHECK(compare_ledgers(status(5, "aa"), 2)->entries == 5);
  CHECK(compare_ledgers(status(5, "aa"), 2)->nodes == 2);
  CHECK_FALSE(compare_ledgers(status(5, "aa"), 3)->agree);
  CHECK_FALSE(compare_ledgers(status(4, "bb"), 2)->agree);
  CHECK_FALSE(compare_ledgers(status(5, "bb"), 2)->agree);
  CHECK_FALSE(compare_ledgers(status(5, "aa", false), 2)->agree);
  CHECK_FALSE(compare_ledgers(json::Value(json::Object()), 1).has_value());
}

TEST_CASE("worker time is read from the status, and a missing figure is an error",
          "[demo_report]") {
  const auto time = read_worker_time(*json::parse(
      R"({"speculation":{"useful_ms":1500,"wasted_ms":250,"race_losers_ms":10,"useful_calls":7,"wasted_calls":2}})"));
  REQUIRE(time);
  CHECK(time->useful_s == Approx(1.5));
  CHECK(time->wasted_s == Approx(0.25));
  CHECK(time->race_losers_s == Approx(0.01));
  CHECK(time->useful_calls == 7);
  CHECK(time->wasted_calls == 2);
  CHECK_FALSE(read_worker_time(*json::parse(R"({"speculation":{"useful_ms":1}})")).has_value());
}

}  // namespace forerun
