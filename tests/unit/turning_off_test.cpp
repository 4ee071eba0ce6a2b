#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

namespace {

/// Few samples decide; nodes are never silent.
CoordinatorSettings quick_settings(Catalog catalog = ScriptedCluster::default_catalog()) {
  CoordinatorSettings settings = ScriptedCluster::settings_of(std::move(catalog));
  settings.membership.silence_max = 24h;
  settings.usefulness.control_share = 0.5;
  settings.usefulness.ahead_min = 6;
  settings.usefulness.control_min = 4;
  settings.usefulness.races_min = 8;
  settings.usefulness.look_every = 1;
  settings.usefulness.winner_share_max = 0.6;
  settings.usefulness.probe_after = 60s;
  return settings;
}

/// The one branch-by-branch race of each rule; `fails` is valid only when it says so.
Catalog catalog_of_races() {
  const auto task = [](const std::string& name) {
    Task result;
    result.name = name;
    result.executor = ExecutorKind::native;
    result.function = name;
    result.effect = Effect::pure;
    return result;
  };
  std::vector<Race> races;
  for (const SelectRule rule :
       {SelectRule::ranked, SelectRule::ordered, SelectRule::seeded, SelectRule::first}) {
    Race race;
    race.name = "race_" + std::string(to_string(rule));
    race.branches = {"fails", "works"};
    race.select = rule;
    race.valid = {{"fails", "/sure", ValidCondition::Test::equals, json::Value(true)}};
    races.push_back(std::move(race));
  }
  auto catalog = Catalog::make({task("a"), task("earner"), task("fails"), task("works")},
                               std::move(races), {});
  REQUIRE(catalog.has_value());
  return std::move(*catalog);
}

const json::Value& task_status(const json::Value& status, const std::string& task) {
  for (const json::Value& each : *status.find("tasks")->array()) {
    if (*each.find("task") == json::Value(task)) {
      return each;
    }
  }
  FAIL("no task " << task << " in the status");
  return status;
}

bool is_off(const ScriptedCluster& cluster, const std::string& task) {
  return cluster.machine->usefulness().is_off("default", task);
}

void end_session(ScriptedCluster& cluster, const RunId& run) {
  static std::uint64_t request = 1'000'000;
  cluster.input(ClientRequest{RequestId{++request}, "default", EndSession{run}});
  cluster.free_slots();
  cluster.persist();
}

RunId open_kind(ScriptedCluster& cluster, bool control) {
  for (;;) {
    const RunId run = cluster.open();
    if (is_in_control_share(run, 0.5) == control) {
      return run;
    }
    end_session(cluster, run);
  }
}

/// b is foreseen, and asked for with another input than was guessed: nothing is saved.
void guess_wrong(ScriptedCluster& cluster, const RunId& run) {
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  const bool ran_ahead = cluster.has_dispatch("b");
  CHECK(ran_ahead == (!is_in_control_share(run, 0.5) && !is_off(cluster, "b")));
  if (ran_ahead) {
    cluster.finish(cluster.take_dispatch("b"), "2", 1ms);
  }
  cluster.confirm(run, {call("b", R"({"other":1})")});
  cluster.finish(cluster.take_dispatch("b"), "3", 20ms);
  cluster.persist();
}

void turn_b_off(ScriptedCluster& cluster) {
  for (int i = 0; i < 40 && !is_off(cluster, "b"); ++i) {
    const RunId run = cluster.open();
    guess_wrong(cluster, run);
    end_session(cluster, run);
  }
  REQUIRE(is_off(cluster, "b"));
}

/// In which order a race's branches started, and how many of them with its confirmation.
struct Start {
  std::vector<std::string> order;
  std::size_t at_once = 0;
};

/// One race, decided, by whatever the machine starts.
Start run_race(ScriptedCluster& cluster, const RunId& run, const std::string& race,
               bool is_sure = false) {
  static int number = 0;
  const RequestId request =
      cluster.confirm(run, {call(race, R"({"n":)" + std::to_string(++number) + "}")});
  Start start;
  start.at_once = cluster.dispatches.size();
  while (!cluster.dispatches.empty()) {
    const Dispatch dispatch = cluster.dispatches.front();
    start.order.push_back(dispatch.task);
    cluster.finish(cluster.take_dispatch(dispatch.task), is_sure ? R"({"sure":true})" : "{}", 10ms);
    cluster.free_slots();
  }
  cluster.persist();
  CHECK_FALSE(cluster.step(request).failed);
  return start;
}

std::size_t nulls(const json::Value& entry, const std::string& member) {
  const json::Array& list = *entry.find(member)->array();
  return static_cast<std::size_t>(
      std::count_if(list.begin(), list.end(), [](const json::Value& v) { return v.is_null(); }));
}

/// Every session is in the control share.
CoordinatorSettings all_control() {
  CoordinatorSettings settings = quick_settings();
  settings.usefulness.control_share = 1;
  return settings;
}

/// A session in which `b` is expected after its first step.
RunId foresee_b(ScriptedCluster& cluster) {
  cluster.join(1);
  cluster.earn();
  cluster.predictor->next[""] = {prediction(call("b"), 0.95)};
  const RunId run = cluster.open();
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  return run;
}

}  // namespace

TEST_CASE("nothing runs ahead in the control share, and what it waits is the baseline",
          "[turning_off]") {
  ScriptedCluster cluster(all_control());
  const RunId run = foresee_b(cluster);
  CHECK_FALSE(cluster.has_dispatch("b"));
  const RequestId request = cluster.confirm(run, {call("b")});
  CHECK_FALSE(cluster.take_dispatch("b").speculative);
  cluster.confirm(cluster.open(SpeculationMode::off), {call("b")});
  cluster.finish(cluster.take_dispatch("b"), "2", 30ms);
  cluster.persist();
  CHECK(cluster.answer(request) == nullptr);
  const json::Value status = cluster.machine->status("default");
  CHECK(*status.find("control_share") == json::Value(1));
  CHECK(status.find("tasks")->array()->empty());  // Whoever asked for `off` is no control.
  CHECK(cluster.machine->counters().speculations == 0);
}

TEST_CASE("a foreseen call of the control share is measured, others are not", "[turning_off]") {
  ScriptedCluster cluster(all_control());
  const RunId run = foresee_b(cluster);
  cluster.confirm(run, {call("b")});
  cluster.finish(cluster.take_dispatch("b"), "2", 30ms);
  cluster.persist();
  const json::Value status = cluster.machine->status("default");
  REQUIRE(status.find("tasks")->array()->size() == 1);
  const json::Value& b = task_status(status, "b");
  CHECK(*b.find("control")->find("n") == json::Value(1));
  CHECK(*b.find("control")->find("mean_ms") == json::Value(30));
  CHECK(*b.find("ahead")->find("n") == json::Value(0));
}

TEST_CASE("a task that saves nothing is turned off, with what runs ahead for it", "[turning_off]") {
  ScriptedCluster cluster(quick_settings());
  cluster.join(1, 8);
  cluster.earn();
  cluster.predictor->next[""] = {prediction(call("b"), 0.95)};
  // Two sessions with a guess each, one running and one kept, while b is turned off.
  const RunId bystander = open_kind(cluster, false);
  const RunId other = open_kind(cluster, false);
  const Dispatch running = cluster.take_dispatch("b");
  cluster.finish(cluster.take_dispatch("b"), "2");
  REQUIRE(running.owner.run_id == bystander);
  turn_b_off(cluster);
  CHECK(cluster.count_entries("discard", "cause", "turned off") >= 2);
  const auto told = std::find_if(cluster.log.begin(), cluster.log.end(), [](const auto& line) {
    return line.starts_with("task b of tenant default: turned off: running ahead saves");
  });
  CHECK(told != cluster.log.end());

  // Nothing more is started for it; the calls are answered as ever.
  const auto started = cluster.machine->counters().speculations;
  const RequestId request = cluster.confirm(other, {call("b")});
  cluster.finish(cluster.take_dispatch("b"), "2");
  cluster.persist();
  CHECK(cluster.step(request).origin == Origin::miss);
  CHECK(cluster.machine->counters().speculations == started);
  json::Value status = cluster.machine->status("default");
  CHECK(*task_status(status, "b").find("speculation") == json::Value("off"));
  CHECK(task_status(status, "b").find("probes_in_ms")->number() != nullptr);
  CHECK(*status.find("not_started")->find("turned off")->number() >= 1);

  // Later it is tried again; and when it pays now, it stays.
  cluster.pass(60s);
  for (int i = 0; i < 30; ++i) {
    const RunId run = open_kind(cluster, false);
    REQUIRE(cluster.has_dispatch("b"));
    cluster.finish(cluster.take_dispatch("b"), "2", 20ms);
    cluster.confirm(run, {call("b")});
    cluster.persist();
    end_session(cluster, run);
  }
  CHECK_FALSE(is_off(cluster, "b"));
  status = cluster.machine->status("default");
  CHECK(*task_status(status, "b").find("speculation") == json::Value("on"));
  CHECK(*task_status(status, "b").find("improvement")->number() > 0.9);
}

TEST_CASE("one tenant's evidence turns nothing off for another", "[turning_off]") {
  ScriptedCluster cluster(quick_settings());
  cluster.join(1, 8);
  cluster.earn();
  cluster.predictor->next[""] = {prediction(call("b"), 0.95)};
  turn_b_off(cluster);
  CHECK_FALSE(cluster.machine->usefulness().is_off("other", "b"));
  const auto started = cluster.machine->counters().speculations;
  for (std::uint64_t id = 900; id < 910; ++id) {
    cluster.input(ClientRequest{RequestId{id}, "other", OpenSession{}});
    cluster.persist();
  }
  CHECK(cluster.machine->counters().speculations > started);
}

TEST_CASE("shadow predicts and records, and runs nothing", "[turning_off]") {
  ScriptedCluster cluster(quick_settings());
  cluster.join(1);
  cluster.earn();
  cluster.predictor->next[""] = {prediction(call("b"), 0.95), prediction(call("c"), 0.92)};
  const RunId run = cluster.open(SpeculationMode::shadow);
  const RequestId a = cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  CHECK(cluster.dispatches.empty());
  CHECK(cluster.machine->counters().shadow_calls == 2);
  CHECK(cluster.machine->counters().shadow_hits == 0);
  const RequestId b = cluster.confirm(run, {call("b")});
  CHECK_FALSE(cluster.take_dispatch("b").speculative);
  end_session(cluster, run);
  CHECK(cluster.machine->counters().shadow_hits == 1);
  CHECK(cluster.machine->counters().speculations == 0);
  CHECK(cluster.count_entries("discard") == 0);
  const json::Value status = cluster.machine->status("default");
  CHECK(*status.find("speculation")->find("shadow_calls") == json::Value(2));
  CHECK(*status.find("speculation")->find("shadow_hits") == json::Value(1));
  CHECK(cluster.step(a).origin == Origin::miss);
  CHECK(cluster.answer(b) == nullptr);
}

TEST_CASE("a shadow session foresees no more than would be started", "[turning_off]") {
  ScriptedCluster cluster(quick_settings());
  cluster.join(1);
  cluster.predictor->next[""] = {prediction(call("b"), 0.95)};
  cluster.open(SpeculationMode::shadow);  // The budget is empty.
  CHECK(cluster.machine->counters().shadow_calls == 0);
  cluster.earn();
  cluster.predictor->next[""] = {prediction(call("b"), 0.5), prediction(call("put"), 0.99)};
  cluster.open(SpeculationMode::shadow);  // Too unlikely; a write.
  CHECK(cluster.machine->counters().shadow_calls == 0);
}

TEST_CASE("a race that one branch nearly always wins starts its branches one by one",
          "[turning_off]") {
  const std::string race = GENERATE("race_ranked", "race_ordered");
  ScriptedCluster cluster(quick_settings(catalog_of_races()));
  cluster.join(1);
  const RunId run = open_kind(cluster, false);
  for (int i = 0; i < 8; ++i) {
    CHECK(run_race(cluster, run, race).at_once == 2);
  }
  REQUIRE(cluster.machine->usefulness().favourite("default", race) == 1);
  bool began_with_winner = false;
  for (int i = 0; i < 20; ++i) {
    const auto [started, at_once] = run_race(cluster, run, race);
    CHECK(at_once == 1);
    const json::Value entry = cluster.entries().back();
    if (started.front() == "works") {
      began_with_winner = true;
      CHECK(started.size() == 1);
      CHECK(*entry.find("branch_validities") == json::Value(json::Array{nullptr, true}));
      CHECK(nulls(entry, "workers") == 1);
      CHECK(nulls(entry, "branch_latencies_ms") == 1);
    } else {
      // The next only when the one before has settled invalid.
      CHECK(started == std::vector<std::string>{"fails", "works"});
      CHECK(*entry.find("branch_validities") == json::Value(json::Array{false, true}));
    }
  }
  CHECK(began_with_winner == (race == "race_ranked"));
  // Where the first is valid, the second never runs.
  if (race == "race_ordered") {
    CHECK(run_race(cluster, run, race, true).order == std::vector<std::string>{"fails"});
    CHECK(*cluster.entries().back().find("branch_validities") ==
          json::Value(json::Array{true, nullptr}));
  }
  // Sessions without speculation, and the control share, race as ever.
  CHECK(run_race(cluster, cluster.open(SpeculationMode::off), race).at_once == 2);
  CHECK(run_race(cluster, open_kind(cluster, true), race).at_once == 2);
  const json::Value status = cluster.machine->status("default");
  CHECK(*task_status(status, race).find("race")->find("branches") == json::Value("one by one"));
  CHECK(*task_status(status, race).find("speculation") == json::Value("on"));
}

TEST_CASE("the next branch starts when the one before has settled, not earlier", "[turning_off]") {
  ScriptedCluster cluster(quick_settings(catalog_of_races()));
  cluster.join(1);
  const RunId run = open_kind(cluster, false);
  for (int i = 0; i < 8; ++i) {
    run_race(cluster, run, "race_ordered");
  }
  const RequestId request = cluster.confirm(run, {call("race_ordered")});
  REQUIRE(cluster.dispatches.size() == 1);
  const Dispatch first = cluster.take_dispatch("fails");
  cluster.pass(100ms);
  CHECK(cluster.dispatches.empty());
  cluster.end(first, Ending::lost, "its node is gone");  // Says nothing about its validity.
  REQUIRE(cluster.dispatches.size() == 1);
  cluster.end(cluster.take_dispatch("fails"), Ending::failed, "no");
  REQUIRE(cluster.dispatches.size() == 1);
  cluster.finish(cluster.take_dispatch("works"), "{}");
  cluster.persist();
  CHECK(cluster.step(request).winner == "works");
}

TEST_CASE("seeded and first run all branches whoever wins", "[turning_off]") {
  const std::string race = GENERATE("race_seeded", "race_first");
  ScriptedCluster cluster(quick_settings(catalog_of_races()));
  cluster.join(1);
  const RunId run = open_kind(cluster, false);
  for (int i = 0; i < 30; ++i) {
    CHECK(run_race(cluster, run, race).at_once == 2);
  }
  CHECK_FALSE(cluster.machine->usefulness().favourite("default", race).has_value());
}

TEST_CASE("of a race that is turned off only its favourite runs ahead", "[turning_off]") {
  const std::string race = GENERATE("race_ranked", "race_ordered");
  ScriptedCluster cluster(quick_settings(catalog_of_races()));
  cluster.join(1);
  cluster.earn();
  const RunId run = open_kind(cluster, false);
  for (int i = 0; i < 8; ++i) {
    run_race(cluster, run, race);
  }
  for (int i = 0; i < 10; ++i) {
    const Call next = call(race, R"({"ahead":)" + std::to_string(i) + "}");
    cluster.predictor->next[""] = {prediction(next, 0.95)};
    cluster.confirm(run, {call("a")});
    cluster.finish(cluster.take_dispatch("a"), "1");
    REQUIRE(cluster.dispatches.size() == 1);
    const Dispatch ahead = cluster.take_dispatch("works");
    CHECK(ahead.speculative);
    cluster.finish(ahead, "{}");
    cluster.predictor->next.clear();
    cluster.persist();
    const RequestId request = cluster.confirm(run, {next});
    const bool needs_other = !cluster.dispatches.empty();
    if (needs_other) {  // Ranked ahead of the favourite.
      cluster.finish(cluster.take_dispatch("fails"), "{}");
    }
    cluster.persist();
    CHECK(cluster.dispatches.empty());
    CHECK(cluster.step(request).winner == "works");
    CHECK(cluster.step(request).origin == (needs_other ? Origin::late_hit : Origin::hit));
  }
}

TEST_CASE("turning off changes no decision", "[turning_off]") {
  std::vector<std::vector<json::Value>> decisions;
  for (const double winner_share_max : {1.0, 0.6}) {
    CoordinatorSettings settings = quick_settings(catalog_of_races());
    settings.usefulness.winner_share_max = winner_share_max;
    ScriptedCluster cluster(settings);
    cluster.join(1);
    const RunId run = open_kind(cluster, false);
    std::size_t at_once = 0;
    for (int i = 0; i < 40; ++i) {
      for (const char* race : {"race_ranked", "race_ordered", "race_seeded"}) {
        const RequestId request =
            cluster.confirm(run, {call(race, R"({"n":)" + std::to_string(i) + "}")});
        at_once += cluster.dispatches.size();
        while (!cluster.dispatches.empty()) {
          const Dispatch next = cluster.take_dispatch(cluster.dispatches.front().task);
          cluster.finish(next, i % 7 == 6 ? R"({"sure":true})" : "{}");
          cluster.free_slots();
        }
        cluster.persist();
        CHECK(cluster.answer(request) != nullptr);
      }
    }
    CHECK((at_once == 240) == (winner_share_max == 1.0));
    std::vector<json::Value> hashes;
    for (const json::Value& entry : cluster.entries()) {
      if (*entry.find("kind") == json::Value("commit")) {
        hashes.push_back(*entry.find("decision_hash"));
      }
    }
    CHECK(hashes.size() == 120);
    decisions.push_back(std::move(hashes));
  }
  CHECK(decisions[0] == decisions[1]);
}
