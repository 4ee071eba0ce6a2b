#include <catch2/catch.hpp>

#include "backtest/run_backtest.hpp"
#include "tests/support/adversarial_sessions.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

namespace {

BacktestPass ran(const std::vector<TraceSession>& sessions, BacktestSettings settings) {
  settings.runs_oracle = false;
  auto report = run_backtest(sessions, settings);
  INFO((report ? "" : report.error().message));
  REQUIRE(report.has_value());
  return std::move(report->measured);
}

/// The same cluster, where nothing may run ahead.
BacktestPass without_speculation(const std::vector<TraceSession>& sessions,
                                 BacktestSettings settings) {
  settings.admission.per_session_max = 0;
  BacktestPass off = ran(sessions, settings);
  REQUIRE(off.launched == 0);
  return off;
}

double allowed_waste(const BacktestPass& pass, double budget) {
  return budget * static_cast<double>(pass.useful.count());
}

}  // namespace

TEST_CASE("sessions made to mislead are no slower, and waste no more than the budget",
          "[adversarial]") {
  const Trick trick =
      GENERATE(Trick::earn_and_break, Trick::barely_earn, Trick::every_guess_wrong,
               Trick::alternate, Trick::swap_in_blocks, Trick::wrong_inputs, Trick::random_calls);
  const auto sessions = adversarial_sessions({.trick = trick});
  for (const double control_share : {0.0, 0.1}) {
    for (const std::uint32_t slots : {16U, 2U}) {
      BacktestSettings settings;
      settings.slots = slots;
      settings.usefulness.control_share = control_share;
      settings.costs = {200us, 100us, 2ms};
      settings.admission.hit_cost = settings.costs.hit;
      settings.admission.kill_cost = settings.costs.kill;
      const BacktestPass on = ran(sessions, settings);
      const BacktestPass off = without_speculation(sessions, settings);
      INFO(to_string(trick) << ", control share " << control_share << ", " << slots
                            << " slots: " << on.launched << " started, " << on.hits + on.late_hits
                            << " asked for, saved "
                            << 1 - (static_cast<double>(on.actual.count()) /
                                    static_cast<double>(off.actual.count()))
                            << ", waste " << on.waste_ratio());
      CHECK(on.actual <= off.actual);
      // Each discard may hold its slot until it is killed.
      CHECK(static_cast<double>(on.wasted.count()) <=
            allowed_waste(on, settings.admission.waste_ratio_max));
      CHECK(on.wrong_answers == 0);
    }
  }
}

TEST_CASE("the tricks work: what listens is hardly ever guessed where it is sure",
          "[adversarial]") {
  // Else the sessions above would show nothing.
  for (const Trick trick : {Trick::earn_and_break, Trick::every_guess_wrong}) {
    const BacktestPass on = ran(adversarial_sessions({.trick = trick}), {});
    for (const Accuracy::Bin& bin : on.accuracy.reliability) {
      if (bin.count > 0 && bin.stated / static_cast<double>(bin.count) > 0.85) {
        CHECK(2 * bin.came <= bin.count);
      }
    }
  }
  // And what is steady is taken up.
  CHECK(ran(adversarial_sessions({.trick = Trick::swap_in_blocks}), {}).hits > 200);
}

TEST_CASE("where calls are random at most 2 % is wasted", "[adversarial]") {
  for (const std::uint64_t seed : {1, 2, 3}) {
    for (const Trick trick : {Trick::random_calls, Trick::wrong_inputs}) {
      const BacktestPass on =
          ran(adversarial_sessions({.trick = trick, .sessions = 400, .seed = seed}), {});
      INFO(to_string(trick) << ", seed " << seed);
      CHECK(on.waste_ratio() <= 0.02);
      CHECK(on.actual <= on.serial);
    }
  }
}

TEST_CASE("a poisoned history is no slower, and costs no more than the budget", "[adversarial]") {
  // Taught: the usual call at every place, 300 times. Then nobody does as usual any more.
  const Trick trick =
      GENERATE(Trick::every_guess_wrong, Trick::wrong_inputs, Trick::earn_and_break);
  const auto usual = adversarial_sessions({.trick = Trick::swap_in_blocks, .sessions = 20});
  std::vector<TraceSession> history;
  for (std::size_t i = 0; i < 300; ++i) {
    history.push_back(usual[i % usual.size()]);
  }
  for (const bool learns : {true, false}) {
    const auto sessions = adversarial_sessions({.trick = trick, .history = history});
    BacktestSettings settings;
    settings.costs = {200us, 100us, 2ms};
    settings.admission.hit_cost = settings.costs.hit;
    settings.admission.kill_cost = settings.costs.kill;
    settings.history = history;
    if (!learns) {
      settings.train_share = 0;  // Nothing of it is ever unlearned.
    }
    const BacktestPass on = ran(sessions, settings);
    const BacktestPass off = without_speculation(sessions, settings);
    INFO(to_string(trick) << ", learns " << learns << ": " << on.launched << " started, waste "
                          << on.waste_ratio());
    if (trick != Trick::wrong_inputs || !learns) {
      CHECK(on.launched > 10);  // So it is poison.
    }
    CHECK(on.actual <= off.actual);
    CHECK(static_cast<double>(on.wasted.count()) <=
          allowed_waste(on, settings.admission.waste_ratio_max));
  }
}

TEST_CASE("what a warm-up has saved up is not spent on what is measured", "[adversarial]") {
  const auto usual = adversarial_sessions({.trick = Trick::swap_in_blocks, .sessions = 20});
  std::vector<TraceSession> sessions;
  for (std::size_t i = 0; i < 300; ++i) {
    sessions.push_back(usual[i % usual.size()]);
  }
  BacktestSettings settings;
  settings.warm_up = sessions.size();
  for (TraceSession& session : adversarial_sessions(
           {.trick = Trick::every_guess_wrong, .sessions = 40, .history = sessions})) {
    sessions.push_back(std::move(session));
  }
  const BacktestPass on = ran(sessions, settings);
  CHECK(on.sessions == 40);
  CHECK(on.launched > 10);
  CHECK(static_cast<double>(on.wasted.count()) <=
        settings.admission.waste_ratio_max * static_cast<double>(on.useful.count()));
}

TEST_CASE("where killing costs a second, quick calls are left alone and nothing is slower",
          "[adversarial]") {
  for (const Trick trick :
       {Trick::swap_in_blocks, Trick::barely_earn, Trick::every_guess_wrong, Trick::random_calls}) {
    std::vector<TraceSession> sessions = adversarial_sessions({.trick = trick, .sessions = 400});
    for (TraceSession& session : sessions) {
      for (TraceStep& step : session.steps) {
        *step.latency /= 20;
        *step.think /= 20;
      }
    }
    BacktestSettings settings;
    const std::uint64_t free_of_cost = ran(sessions, settings).launched;
    settings.costs = {200us, 100us, 1s};
    settings.admission.hit_cost = settings.costs.hit;
    settings.admission.kill_cost = settings.costs.kill;
    const BacktestPass on = ran(sessions, settings);
    const BacktestPass off = without_speculation(sessions, settings);
    INFO(to_string(trick) << ": " << free_of_cost << " for nothing, " << on.launched << " then, "
                          << on.hits << " hits, saved " << on.saved_ratio() << ", waste "
                          << on.waste_ratio());
    // But for what is all but sure: then there is next to nothing to kill.
    CHECK((on.launched <= free_of_cost / 5 || 20 * on.hits >= 19 * on.launched));
    CHECK(on.actual <= off.actual);
    // What is killed when the budget is empty takes its slot until it is dead.
    const double dying =
        static_cast<double>(settings.slots) * static_cast<double>(Duration(1s).count());
    CHECK(static_cast<double>(on.wasted.count()) <=
          allowed_waste(on, settings.admission.waste_ratio_max) + dying);
  }
}

TEST_CASE("tasks that save less than is asked are turned off in a replay too", "[adversarial]") {
  const auto sessions = adversarial_sessions({.trick = Trick::swap_in_blocks, .sessions = 600});
  BacktestSettings settings;
  settings.usefulness.improvement_min = 0.995;
  settings.usefulness.probe_after = 24h;
  const BacktestPass always = ran(sessions, settings);
  CHECK(always.turned_off.empty());  // Nothing to compare with.
  settings.usefulness.control_share = 0.2;
  const BacktestPass measured = ran(sessions, settings);
  CHECK(measured.turned_off.size() >= 5);
  CHECK(measured.launched < always.launched / 2);
}

TEST_CASE("what pays is left on, and the control share costs no more than its share",
          "[adversarial]") {
  const auto sessions = adversarial_sessions({.trick = Trick::swap_in_blocks, .sessions = 600});
  BacktestSettings settings;
  const BacktestPass whole = ran(sessions, settings);
  settings.usefulness.control_share = 0.2;
  const BacktestPass shared = ran(sessions, settings);
  CHECK(shared.turned_off.empty());
  CHECK(whole.saved_ratio() > 0.2);
  CHECK(shared.saved_ratio() > 0.75 * whole.saved_ratio());
  CHECK(shared.saved_ratio() < whole.saved_ratio());
}
