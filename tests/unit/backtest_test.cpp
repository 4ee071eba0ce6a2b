#include "backtest/run_backtest.hpp"
#include "backtest/sessions.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/prng.hpp"

using namespace forerun;

namespace {

constexpr Duration second = std::chrono::seconds(1);

Call call(const std::string& task, const std::string& key) {
  json::Object input;
  input.set("key", key);
  return Call::make(task, std::move(input));
}

TraceStep step(const std::string& task, const std::string& key, json::Value output,
               Duration latency = second, Duration think = second) {
  return {call(task, key), std::move(output), latency, think, {}, false};
}

/// The same five calls each time, the key of each taken from the output before.
std::vector<TraceSession> steady(std::size_t count, Duration latency = second) {
  std::vector<TraceSession> sessions;
  for (std::size_t i = 0; i < count; ++i) {
    TraceSession session;
    session.name = "steady-" + std::to_string(i);
    session.group = session.name;
    std::string key = "start" + std::to_string(i);
    session.context = "please look at " + key;
    for (int k = 0; k < 5; ++k) {
      const std::string next = "k" + std::to_string(k) + "-" + std::to_string(i * 7919);
      json::Object output;
      output.set("next", next);
      session.steps.push_back(step("task" + std::to_string(k), key, std::move(output), latency));
      key = next;
    }
    sessions.push_back(std::move(session));
  }
  return sessions;
}

/// After each call one of `ways` follows, by chance; keys are the task's own.
std::vector<TraceSession> forked(std::size_t count, std::uint64_t ways, std::uint64_t seed) {
  Prng prng(seed);
  std::vector<TraceSession> sessions;
  for (std::size_t i = 0; i < count; ++i) {
    TraceSession session;
    session.name = "forked-" + std::to_string(i);
    session.group = session.name;
    for (int k = 0; k < 6; ++k) {
      const std::string way = std::to_string(prng.below(ways));
      session.steps.push_back(step("place" + std::to_string(k), way, way,
                                   Duration(200'000 + prng.below(1'600'000)),
                                   Duration(200'000 + prng.below(1'600'000))));
    }
    sessions.push_back(std::move(session));
  }
  return sessions;
}

/// Neither the task nor its key can be known before.
std::vector<TraceSession> unpredictable(std::size_t count) {
  Prng prng(9);
  std::vector<TraceSession> sessions;
  for (std::size_t i = 0; i < count; ++i) {
    TraceSession session;
    session.name = "noise-" + std::to_string(i);
    session.group = session.name;
    for (int k = 0; k < 6; ++k) {
      session.steps.push_back(step("task" + std::to_string(prng.below(40)),
                                   std::to_string(prng.next()), std::to_string(prng.next())));
    }
    sessions.push_back(std::move(session));
  }
  return sessions;
}

BacktestReport ran(const std::vector<TraceSession>& sessions,
                   const BacktestSettings& settings = {}) {
  auto report = run_backtest(sessions, settings);
  INFO((report ? "" : report.error().message));
  REQUIRE(report.has_value());
  return std::move(*report);
}

std::string refused(std::vector<TraceSession> sessions, const BacktestSettings& settings = {}) {
  const auto report = run_backtest(std::move(sessions), settings);
  REQUIRE_FALSE(report.has_value());
  CHECK(report.error().code == Errc::invalid);
  return report.error().message;
}

/// All that was predicted, as text, by session and step.
std::map<std::pair<std::string, std::size_t>, std::string> predictions(
    const std::vector<TraceSession>& sessions, BacktestSettings settings) {
  std::map<std::pair<std::string, std::size_t>, std::string> all;
  settings.runs_oracle = false;
  settings.watch = [&all](const TraceSession& session, std::size_t at,
                          const std::vector<Prediction>& made) {
    std::string& text = all[{session.name, at}];
    for (const Prediction& prediction : made) {
      text += prediction.call.canonical();
      json::append_number(text, prediction.probability);
      text += '\n';
    }
  };
  ran(sessions, settings);
  return all;
}

}  // namespace

TEST_CASE("equal sessions and settings give an equal report", "[backtest]") {
  for (const bool model_steps : {false, true}) {
    BacktestSettings settings;
    settings.model_steps = model_steps;
    const auto sessions = forked(40, 3, 1);
    CHECK(json::canonical(ran(sessions, settings).to_json()) ==
          json::canonical(ran(sessions, settings).to_json()));
  }
}

TEST_CASE("a session's future changes no prediction before it", "[backtest]") {
  for (const bool model_steps : {false, true}) {
    BacktestSettings settings;
    settings.model_steps = model_steps;
    std::vector<TraceSession> sessions = steady(30);
    const auto before = predictions(sessions, settings);
    TraceSession& last = sessions.back();
    std::reverse(last.steps.begin() + 2, last.steps.end());
    last.steps.back().texts = {"something else"};
    const auto after = predictions(sessions, settings);
    const std::size_t same = model_steps ? 5 : 2;  // The first that differs is predicted alike.
    std::size_t compared = 0;
    std::size_t different = 0;
    for (const auto& [place, text] : before) {
      if (place.first != last.name || place.second <= same) {
        CHECK(after.at(place) == text);
        compared += place.first == last.name ? 1 : 0;
      } else {
        different += after.at(place) == text ? 0 : 1;
      }
    }
    CHECK(compared == 3);
    CHECK(different > 0);  // So the comparison can tell.
  }
}

TEST_CASE("steady sessions are saved time, and perfect prediction saves no less", "[backtest]") {
  for (const bool model_steps : {false, true}) {
    BacktestSettings settings;
    settings.model_steps = model_steps;
    const BacktestReport report = ran(steady(60), settings);
    CHECK(report.measured.sessions == 60);
    CHECK(report.measured.steps == 300);
    CHECK(report.measured.saved_ratio() > 0.2);
    REQUIRE(report.oracle.has_value());
    CHECK(report.oracle->saved_ratio() >= report.measured.saved_ratio());
    CHECK(report.oracle->wasted == Duration(0));
    CHECK(report.measured.accuracy.call_top1 > 200);
  }
  const BacktestReport report = ran(forked(60, 2, 3));
  CHECK(report.oracle->saved_ratio() >= report.measured.saved_ratio());
}

TEST_CASE("perfect prediction saves no less where the budget is small, and wastes nothing",
          "[backtest]") {
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    std::vector<TraceSession> sessions = forked(25, 1, seed);
    for (TraceSession& session : sessions) {
      for (TraceStep& each : session.steps) {
        each.latency.reset();  // Drawn: some take three times as long as usual.
      }
    }
    for (const double ratio : {0.125, 0.25, 1.0}) {
      BacktestSettings settings;
      settings.tool_to_think = ratio;
      settings.seed = seed;
      const BacktestReport report = ran(sessions, settings);
      INFO("seed " << seed << ", ratio " << ratio);
      CHECK(report.measured.saved_ratio() <= report.oracle->saved_ratio());
      CHECK(report.oracle->wasted == Duration(0));
      CHECK(report.oracle->hits + report.oracle->late_hits == report.oracle->launched);
    }
  }
}

TEST_CASE("perfect prediction saves no less where a text comes before each call", "[backtest]") {
  for (const bool model_steps : {false, true}) {
    for (const bool repeats : {false, true}) {
      std::vector<TraceSession> sessions = steady(60);
      for (TraceSession& session : sessions) {
        for (TraceStep& each : session.steps) {
          each.think = second / 10;
          each.texts = {repeats ? "next please: " + each.call.task() : "go on"};
        }
      }
      BacktestSettings settings;
      settings.model_steps = model_steps;
      const BacktestReport report = ran(sessions, settings);
      CHECK(report.measured.saved_ratio() <= report.oracle->saved_ratio());
      CHECK(report.oracle->wasted == Duration(0));
    }
  }
}

TEST_CASE("a call is run ahead of the text before it where its values are known", "[backtest]") {
  // All thinking is done before the text comes, so only what needs no text can be hidden.
  std::vector<TraceSession> sessions = forked(20, 3, 4);
  std::size_t session_number = 0;
  for (TraceSession& session : sessions) {
    session.context = "the key is " + std::to_string(7000 + ++session_number);
    for (TraceStep& each : session.steps) {
      each.call = call(each.call.task(), std::to_string(7000 + session_number));
      each.think = Duration(0);
      each.texts = {"thank you"};
    }
  }
  const BacktestReport known = ran(sessions);
  CHECK(known.oracle->hits + known.oracle->late_hits >= 20 * 5 - 5);
  CHECK(known.oracle->saved_ratio() > 0.3);

  // Each call's key stands in the text before it and nowhere else.
  std::size_t number = 0;
  for (TraceSession& session : sessions) {
    for (TraceStep& each : session.steps) {
      const std::string key = "W" + std::to_string(100'000 + 7919 * ++number);
      each.call = call(each.call.task(), key);
      each.texts = {"please look at " + key + ", soon"};
    }
  }
  CHECK(ran(sessions).oracle->launched == 0);

  // A call that was learned from had it: it may be guessed.
  BacktestSettings settings;
  settings.history = sessions;
  for (TraceSession& session : settings.history) {
    session.name += "-before";
    for (TraceStep& each : session.steps) {
      each.texts.clear();
    }
  }
  CHECK(ran(sessions, settings).oracle->saved_ratio() > 0.3);
  settings.history.clear();

  // Nothing but the text's own word: "W10" is no part of "W100".
  for (TraceSession& session : sessions) {
    for (TraceStep& each : session.steps) {
      each.texts = {"please look at x" + *each.call.input().find("key")->string()};
    }
  }
  CHECK(ran(sessions).oracle->saved_ratio() > 0.3);
}

TEST_CASE("perfect prediction counts on, as the predictor does", "[backtest]") {
  std::vector<TraceSession> sessions = steady(60);
  std::size_t count = 995;
  for (TraceSession& session : sessions) {
    count += 3;
    for (TraceStep& each : session.steps) {
      each.call = call(each.call.task(), "page-" + std::to_string(count));
      each.output = "page-" + std::to_string(++count);
      each.think = second / 10;
    }
  }
  const BacktestReport report = ran(sessions);
  CHECK(report.measured.saved_ratio() > 0.3);
  CHECK(report.measured.saved_ratio() <= report.oracle->saved_ratio());
}

TEST_CASE("a call waits for an output that alone holds its value", "[backtest]") {
  std::vector<TraceSession> sessions = steady(20);
  for (TraceSession& session : sessions) {
    for (TraceStep& each : session.steps) {
      each.think = Duration(0);
    }
  }
  CHECK(ran(sessions).oracle->launched == 0);
  for (TraceSession& session : sessions) {
    for (const TraceStep& each : session.steps) {
      session.context += " " + *each.call.input().find("key")->string();
    }
  }
  CHECK(ran(sessions).oracle->saved_ratio() > 0.5);
}

TEST_CASE("a killed call wastes its slot until it is free", "[backtest]") {
  const auto sessions = forked(120, 2, 5);
  BacktestSettings settings;
  settings.runs_oracle = false;
  const BacktestPass at_once = ran(sessions, settings).measured;
  settings.costs.kill = second;
  const BacktestPass slowly = ran(sessions, settings).measured;
  CHECK(slowly.wasted <= Duration(slowly.useful.count() * 15 / 100));
  // The budget pays for it: as much is wasted, with fewer guesses.
  CHECK(slowly.launched < at_once.launched);
  CHECK(slowly.actual <= slowly.serial);
}

TEST_CASE("waste stays under every budget", "[backtest]") {
  for (const double budget : {0.0, 0.02, 0.05, 0.15, 0.4}) {
    for (const AdmissionPolicy policy : {AdmissionPolicy::value, AdmissionPolicy::bands}) {
      BacktestSettings settings;
      settings.runs_oracle = false;
      settings.admission.policy = policy;
      settings.admission.waste_ratio_max = budget;
      settings.admission.start_above = 0.4;
      settings.admission.idle_above = 0.2;
      const BacktestPass measured = ran(forked(120, 2, 5), settings).measured;
      CHECK(static_cast<double>(measured.wasted.count()) <=
            budget * static_cast<double>(measured.useful.count()));
    }
  }
}

TEST_CASE("where a cancellation costs a second, quick tasks are no longer guessed", "[backtest]") {
  BacktestSettings settings;
  settings.runs_oracle = false;
  std::vector<TraceSession> sessions = forked(120, 2, 5);
  for (TraceSession& session : sessions) {
    for (TraceStep& each : session.steps) {
      *each.latency /= 20;
      *each.think /= 20;
    }
  }
  const std::uint64_t free_of_cost = ran(sessions, settings).measured.launched;
  REQUIRE(free_of_cost > 50);
  settings.costs.kill = second;
  settings.admission.kill_cost = second;
  const BacktestPass measured = ran(sessions, settings).measured;
  CHECK(measured.launched < free_of_cost / 10);
  CHECK(measured.actual <= measured.serial);
}

TEST_CASE("where nothing can be predicted next to nothing is wasted", "[backtest]") {
  const BacktestPass measured = ran(unpredictable(150)).measured;
  CHECK(measured.waste_ratio() <= 0.02);
  CHECK(measured.actual <= measured.serial);
}

TEST_CASE("a task counts as named where its argument was not known", "[backtest]") {
  Prng prng(3);
  std::vector<TraceSession> sessions = forked(60, 1, 1);
  for (TraceSession& session : sessions) {
    for (TraceStep& each : session.steps) {
      each.call = call(each.call.task(), std::to_string(prng.next()));
    }
  }
  BacktestSettings settings;
  settings.runs_oracle = false;
  const Accuracy accuracy = ran(sessions, settings).measured.accuracy;
  CHECK(accuracy.call_top1 == 0);
  CHECK(accuracy.task_top1 > accuracy.steps * 9 / 10);
  CHECK(accuracy.task_top3 >= accuracy.task_top1);
}

TEST_CASE("what a dispatch costs is in both times, with speculation and without", "[backtest]") {
  BacktestSettings settings;
  settings.costs.dispatch = std::chrono::milliseconds(100);
  settings.admission.waste_ratio_max = 0;
  const BacktestReport report = ran(steady(4), settings);
  CHECK(report.measured.serial == 4 * 5 * (2 * second + settings.costs.dispatch));
  CHECK(report.measured.actual == report.measured.serial);
  REQUIRE(report.oracle);
  CHECK(report.oracle->serial == report.measured.serial);
}

TEST_CASE("calls side by side wait for slots without speculation too", "[backtest]") {
  std::vector<TraceSession> sessions = steady(6);
  for (TraceSession& session : sessions) {
    for (std::size_t i = 1; i < 4; ++i) {
      session.steps[i].beside_previous = true;
    }
  }
  BacktestSettings settings;
  settings.admission.waste_ratio_max = 0;
  settings.runs_oracle = false;
  settings.slots = 2;
  // Four at once on two slots, then one; each after its thinking.
  const BacktestReport tight = ran(sessions, settings);
  CHECK(tight.measured.serial == 6 * (2 * second + second + 2 * second));
  CHECK(tight.measured.actual == tight.measured.serial);
  settings.slots = 16;
  CHECK(ran(sessions, settings).measured.serial == 6 * (second + second + 2 * second));
}

TEST_CASE("the training share learns first and is not measured", "[backtest]") {
  BacktestSettings settings;
  settings.train_share = 0.7;
  settings.runs_oracle = false;
  const auto sessions = steady(60);
  const auto teach = static_cast<std::size_t>(
      std::count_if(sessions.begin(), sessions.end(),
                    [](const TraceSession& session) { return group_share(session.group) < 0.7; }));
  const BacktestPass measured = ran(sessions, settings).measured;
  CHECK(measured.sessions == 60 - teach);
  // Known from the first measured session on.
  CHECK(measured.accuracy.call_top1 >= measured.accuracy.steps * 9 / 10);
  settings.train_share = 1.0;
  CHECK_THAT(refused(sessions, settings), Catch::Contains("nothing to measure: 0 sessions"));
}

TEST_CASE("sessions that warm up are not counted", "[backtest]") {
  BacktestSettings settings;
  settings.warm_up = 50;
  settings.runs_oracle = false;
  const BacktestPass measured = ran(steady(60), settings).measured;
  CHECK(measured.sessions == 10);
  CHECK(measured.accuracy.steps == 50);
  settings.warm_up = 60;
  CHECK_THAT(refused(steady(60), settings), Catch::Contains("the first 60 only teach"));
}

TEST_CASE("sessions side by side share the slots, with speculation and without", "[backtest]") {
  std::vector<TraceSession> sessions;
  for (const char* name : {"a", "b", "c"}) {
    TraceSession session;
    session.name = session.group = name;
    session.steps.push_back(step("only", name, "done", second, Duration::zero()));
    sessions.push_back(std::move(session));
  }
  BacktestSettings settings;
  settings.slots = 1;
  // One after another; the second waits for the first, and the third begins as the first ends.
  for (const auto& [concurrency, of_all] : {std::pair(1U, 3), std::pair(2U, 5), std::pair(3U, 6)}) {
    settings.concurrency = concurrency;
    const BacktestReport report = ran(sessions, settings);
    CHECK(report.measured.serial == of_all * second);
    CHECK(report.measured.actual == of_all * second);
    CHECK(report.measured.sessions == 3);
  }
  settings.slots = 3;
  CHECK(ran(sessions, settings).measured.actual == 3 * second);
}

TEST_CASE("running ahead takes no slot from sessions side by side", "[backtest]") {
  const auto sessions = steady(100);
  for (const std::uint32_t concurrency : {1U, 4U, 16U, 150U}) {
    BacktestSettings settings;
    settings.slots = 4;
    settings.concurrency = concurrency;
    const BacktestPass measured = ran(sessions, settings).measured;
    INFO(concurrency << " side by side: saved " << measured.saved_ratio());
    CHECK(measured.saved_ratio() >= (concurrency == 1 ? 0.1 : 0.0));
    CHECK(measured.wrong_answers == 0);
  }
}

TEST_CASE("where killing takes long nothing runs ahead in the last slots", "[backtest]") {
  const auto sessions = forked(120, 3, 8);
  for (const auto& [slots, concurrency] : {std::pair(2U, 3U), std::pair(4U, 5U)}) {
    BacktestSettings settings;
    settings.slots = slots;
    settings.concurrency = concurrency;
    settings.costs.kill = second;
    settings.admission.kill_cost = second;
    settings.runs_oracle = false;
    const BacktestPass measured = ran(sessions, settings).measured;
    INFO(slots << " slots: saved " << measured.saved_ratio());
    CHECK(measured.saved_ratio() >= -0.002);
  }
  BacktestSettings settings;
  settings.costs.kill = second;
  settings.admission.kill_cost = second;
  settings.runs_oracle = false;
  CHECK(ran(steady(100), settings).measured.saved_ratio() > 0.1);
}

TEST_CASE("more slots than one worker may have are several workers'", "[backtest]") {
  BacktestSettings settings;
  settings.runs_oracle = false;
  const BacktestPass few = ran(steady(20), settings).measured;
  settings.slots = 4'096;
  CHECK(ran(steady(20), settings).measured.actual == few.actual);
}

TEST_CASE("a call that is sent away comes back until it is answered", "[backtest]") {
  // More than may wait without a question of how long.
  const std::size_t count = CoordinatorSettings().confirmed_waiting_free + 100;
  std::vector<TraceSession> sessions;
  for (std::size_t i = 0; i < count; ++i) {
    TraceSession session;
    session.name = session.group = "crowd-" + std::to_string(i);
    session.steps.push_back(step("first", "k", "done", second, Duration::zero()));
    session.steps.push_back(step("second", "k", "done", second, Duration::zero()));
    sessions.push_back(std::move(session));
  }
  BacktestSettings settings;
  settings.slots = 1;
  settings.concurrency = static_cast<std::uint32_t>(count);
  settings.runs_oracle = false;
  const BacktestPass measured = ran(sessions, settings).measured;
  CHECK(measured.sent_away > 0);
  CHECK(measured.sessions == count);
  CHECK(measured.actual <= measured.serial);
}

TEST_CASE("sessions that warm up have all taught before others begin", "[backtest]") {
  BacktestSettings settings;
  settings.warm_up = 20;
  settings.concurrency = 64;
  settings.slots = 64;
  const BacktestPass measured = ran(steady(40), settings).measured;
  CHECK(measured.sessions == 20);
  // All twenty are side by side and ask at once: what they know is of those that warmed up.
  CHECK(measured.accuracy.call_top1 > measured.accuracy.steps * 9 / 10);
}

TEST_CASE("a history is learned from before the first session", "[backtest]") {
  for (const bool model_steps : {false, true}) {
    BacktestSettings settings;
    settings.model_steps = model_steps;
    settings.runs_oracle = false;
    std::vector<TraceSession> all = steady(60);
    settings.history = {all.begin(), all.begin() + 50};
    const BacktestPass measured = ran({all.begin() + 50, all.end()}, settings).measured;
    CHECK(measured.accuracy.call_top1 >= measured.accuracy.steps * 9 / 10);
  }
}

TEST_CASE("a history and a training share are learned from in one drawn order", "[backtest]") {
  // A file by kind: what follows "place0" changes half-way.
  std::vector<TraceSession> teaching = forked(60, 2, 1);
  for (std::size_t i = 0; i < teaching.size(); ++i) {
    teaching[i].group = "multi_turn_base_0";  // Its share is below 0.5.
    for (TraceStep& each : teaching[i].steps) {
      each.call = call(each.call.task(), i < 30 ? "old" : "new");
    }
  }
  REQUIRE(group_share("multi_turn_base_0") < 0.5);
  std::vector<TraceSession> measured = forked(5, 2, 2);
  for (TraceSession& session : measured) {
    session.group = "airline/0";
    session.name += "-measured";
  }
  BacktestSettings settings;
  settings.train_share = 0.5;
  std::vector<TraceSession> all = teaching;
  all.insert(all.end(), measured.begin(), measured.end());
  const auto as_share = predictions(all, settings);
  settings.history = teaching;
  const auto as_file = predictions(measured, settings);
  CHECK(as_file == as_share);
  // So the order matters: as they stand in the file they teach something else.
  settings.train_share.reset();
  CHECK(predictions({measured.front()}, settings) != predictions({measured.front()}, [&] {
          BacktestSettings drawn = settings;
          drawn.history = split_by_group({}, 1, 1, teaching).history;
          return drawn;
        }()));
}

TEST_CASE("thinking is scaled to the ratio asked for", "[backtest]") {
  BacktestSettings settings;
  settings.runs_oracle = false;
  settings.tool_to_think = 4;
  const BacktestPass measured = ran(steady(10), settings).measured;
  CHECK(measured.serial == 50 * second + 50 * second / 4);
  std::vector<TraceSession> sessions = steady(1);
  for (TraceStep& each : sessions[0].steps) {
    each.think = Duration(0);
  }
  CHECK_THAT(refused(sessions, settings), Catch::Contains("no think time"));
}

TEST_CASE("thinking runs ahead between writes, and takes no longer for it", "[backtest]") {
  BacktestSettings settings;
  settings.model_steps = true;
  settings.read_only = *ReadOnlyTasks::parse("task0,task2,task4", "none");
  const BacktestReport report = ran(steady(60), settings);
  CHECK(report.oracle->saved_ratio() > 0.2);
  CHECK(report.measured.saved_ratio() > 0.1);
  CHECK(report.oracle->wrong_answers == 0);
  CHECK(report.measured.wrong_answers == 0);
  for (const BacktestPass* pass : {&report.measured, &*report.oracle}) {
    for (std::size_t i = 0; i < pass->serial_s.size(); ++i) {
      CHECK(pass->actual_s[i] <= pass->serial_s[i]);
    }
  }
}

TEST_CASE("tasks that write never run ahead", "[backtest]") {
  BacktestSettings settings;
  settings.read_only = ReadOnlyTasks();
  const BacktestReport report = ran(steady(60), settings);
  CHECK(report.measured.launched == 0);
  CHECK(report.measured.serial == report.measured.actual);
  CHECK(report.oracle->launched == 0);
}

TEST_CASE("what the brain would refuse is refused before the run", "[backtest]") {
  std::vector<TraceSession> sessions = steady(1, std::chrono::hours(13));
  CHECK_THAT(refused(sessions), Catch::Contains("session \"steady-0\": step 0: 46800000 ms"));
  sessions = steady(1);
  sessions[0].steps.resize(9'999, sessions[0].steps[0]);
  BacktestSettings settings;
  settings.model_steps = true;
  CHECK_THAT(refused(sessions, settings), Catch::Contains("19998 steps, expected at most 10000"));
  CHECK_THAT(refused({}), Catch::Contains("nothing to measure"));
}

TEST_CASE("a group's share is the start of its SHA-1", "[backtest]") {
  CHECK(group_share("abc") == static_cast<double>(0xa9993e36) / 0xffffffff);
  CHECK(group_share("") == static_cast<double>(0xda39a3ee) / 0xffffffff);
  CHECK(group_share("airline/0") == Approx(0.8505929717446196).epsilon(1e-15));
  CHECK(group_share("multi_turn_base_0") == Approx(0.22551215631549995).epsilon(1e-15));
}
