#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "base/prng.hpp"
#include "base/statistics.hpp"
#include "speculation/explanation.hpp"
#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

namespace {

/// Ten runs make a task's time known, and every slow call may be hedged.
CoordinatorSettings hedging() {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.run_times.samples_min = 10;
  settings.run_times.timeout_min = 30s;
  settings.hedge.share = 1;
  return settings;
}

/// Ten runs of 20 ms each.
void train(ScriptedCluster& cluster, const std::string& task, int count = 10) {
  const RunId run = cluster.open(SpeculationMode::off);
  for (int i = 0; i < count; ++i) {
    cluster.confirm(run, {call(task)});
    cluster.finish(cluster.take_dispatch(task), "1", 20ms);
    cluster.persist();
  }
}

int node_of(const Dispatch& dispatch) {
  return dispatch.worker.uuid.bytes[0];
}

void lose(ScriptedCluster& cluster, const Dispatch& dispatch) {
  for (const auto& [id, seat] : cluster.machine->membership().nodes()) {
    if (seat.workers.front() == dispatch.worker) {
      cluster.input(NodeUnreachable{seat.connection});
      return;
    }
  }
}

struct Pair {
  RequestId request;
  Dispatch first;
  Dispatch second;
};

/// A call of `a` that has become slow, with its second attempt.
Pair slow_call(ScriptedCluster& cluster) {
  train(cluster, "a");
  const RunId run = cluster.open(SpeculationMode::off);
  const RequestId request = cluster.confirm(run, {call("a")});
  Pair pair{request, cluster.take_dispatch("a"), {}};
  cluster.pass(19ms);
  REQUIRE_FALSE(cluster.has_dispatch("a"));
  cluster.pass(1ms);
  pair.second = cluster.take_dispatch("a");
  return pair;
}

std::uint64_t free_slots(ScriptedCluster& cluster) {
  cluster.free_slots();
  return cluster.machine->membership().free_slots();
}

json::Value last_entry(const ScriptedCluster& cluster) {
  return cluster.entries().back();
}

}  // namespace

TEST_CASE("a slow confirmed call runs a second time on another node, and the first answer is its",
          "[hedging]") {
  ScriptedCluster cluster(hedging());
  cluster.join(1);
  cluster.join(2);
  const Pair pair = slow_call(cluster);
  CHECK(node_of(pair.second) != node_of(pair.first));
  CHECK_FALSE(pair.second.speculative);
  CHECK(pair.second.owner == pair.first.owner);
  CHECK(pair.second.input == pair.first.input);
  CHECK(pair.second.timeout == pair.first.timeout - 20ms);
  const bool second_wins = GENERATE(true, false);
  cluster.finish(second_wins ? pair.second : pair.first, "7", 5ms);
  cluster.persist();
  CHECK(cluster.step(pair.request).output == "7");
  CHECK(cluster.cancels() == 1);
  CHECK(free_slots(cluster) == 8);
  const CoordinatorCounters& counters = cluster.machine->counters();
  CHECK(counters.hedges == 1);
  CHECK(counters.hedges_won == (second_wins ? 1 : 0));
  CHECK(counters.hedge_losers == (second_wins ? 25ms : 5ms));
  CHECK(counters.race_losers == 0ms);
  CHECK(counters.wasted == 0ms);
  const json::Value entry = last_entry(cluster);
  CHECK(*entry.find("wasted_ms") == json::Value(second_wins ? 25.0 : 5.0));
  CHECK(entry.find("workers")->array()->size() == 1);
  CHECK(*entry.find("workers")->array()->begin() ==
        json::Value(to_string((second_wins ? pair.second : pair.first).worker)));
  const json::Value told = cluster.explanation(pair.first.owner.run_id);
  const json::Value& step = told.find("steps")->array()->back();
  const json::Value* second = step.find("branches")->array()->front().find("second_attempt");
  REQUIRE(second != nullptr);
  CHECK(*second->find("worker") == json::Value(to_string(pair.second.worker)));
  CHECK(*second->find("after_ms") == json::Value(20.0));
  CHECK(*second->find("is_answer") == json::Value(second_wins));
  const auto text = explanation_text(told, std::nullopt);
  REQUIRE(text);
  CHECK(text->find(second_wins ? "what it returned counts" : "the first one's end counts") !=
        std::string::npos);
  // What arrives late of the loser changes nothing.
  cluster.end(second_wins ? pair.first : pair.second, Ending::returned);
  CHECK(free_slots(cluster) == 8);
}

TEST_CASE("a second attempt that fails says nothing; the first one's failure is the branch's",
          "[hedging]") {
  ScriptedCluster cluster(hedging());
  cluster.join(1);
  cluster.join(2);
  const Pair pair = slow_call(cluster);
  const Ending ending = GENERATE(Ending::failed, Ending::timed_out, Ending::lost);
  cluster.end(pair.second, ending, "broken there");
  cluster.persist();
  CHECK(cluster.answer(pair.request) == nullptr);
  CHECK(free_slots(cluster) == 7);
  cluster.pass(1s);
  CHECK_FALSE(cluster.has_dispatch("a"));  // One second attempt a branch.
  SECTION("the first answers") {
    cluster.finish(pair.first, "7");
    cluster.persist();
    CHECK(cluster.step(pair.request).output == "7");
  }
  SECTION("the first fails") {
    cluster.end(pair.first, Ending::failed, "exit 3");
    cluster.persist();
    CHECK(cluster.step(pair.request).failed);
  }
  CHECK(free_slots(cluster) == 8);
}

TEST_CASE("the first attempt's failure ends the branch while the second one runs", "[hedging]") {
  ScriptedCluster cluster(hedging());
  cluster.join(1);
  cluster.join(2);
  const Pair pair = slow_call(cluster);
  cluster.end(pair.first, GENERATE(Ending::failed, Ending::timed_out), "its own doing");
  cluster.persist();
  CHECK(cluster.step(pair.request).failed);
  CHECK(cluster.cancels() == 1);
  CHECK(free_slots(cluster) == 8);
}

TEST_CASE("when the first attempt's node is lost the second one goes on, with the whole deadline",
          "[hedging]") {
  ScriptedCluster cluster(hedging());
  cluster.join(1);
  cluster.join(2);
  cluster.join(3);
  const Pair pair = slow_call(cluster);
  if (GENERATE(true, false)) {
    lose(cluster, pair.first);
  } else {
    cluster.end(pair.first, Ending::lost, "the worker crashed");
  }
  CHECK_FALSE(cluster.has_dispatch("a"));
  const auto* confirmed = std::get_if<ConfirmBranch>(&cluster.sent.back().message);
  REQUIRE(confirmed != nullptr);
  CHECK(confirmed->token == pair.second.token);
  CHECK(confirmed->timeout == 30s);
  SECTION("and answers") {
    cluster.finish(pair.second, "7");
    cluster.persist();
    CHECK(cluster.step(pair.request).output == "7");
  }
  SECTION("and is lost too: the branch runs again") {
    lose(cluster, pair.second);
    const Dispatch again = cluster.take_dispatch("a");
    cluster.end(again, Ending::lost, "and again");
    cluster.persist();
    CHECK(cluster.step(pair.request).failed);
    CHECK(cluster.step(pair.request).causes.front()->find("3 attempts") != std::string::npos);
  }
  cluster.free_slots();
  CHECK(cluster.machine->membership().free_slots() == cluster.machine->membership().total_slots());
}

TEST_CASE("when the second attempt's node is lost the first one goes on", "[hedging]") {
  ScriptedCluster cluster(hedging());
  cluster.join(1);
  cluster.join(2);
  const Pair pair = slow_call(cluster);
  lose(cluster, pair.second);
  CHECK_FALSE(cluster.has_dispatch("a"));
  cluster.finish(pair.first, "7");
  cluster.persist();
  CHECK(cluster.step(pair.request).output == "7");
  CHECK(free_slots(cluster) == 4);
}

TEST_CASE("two attempts that give no result are given up one after the other", "[hedging]") {
  CoordinatorSettings settings = hedging();
  settings.membership.silence_max = 1h;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  cluster.join(2);
  const Pair pair = slow_call(cluster);
  cluster.pass(31s);
  CHECK(cluster.cancels() == 0);
  cluster.pass(1s);
  CHECK(cluster.cancels() == 1);
  CHECK(free_slots(cluster) == 7);
  CHECK(cluster.answer(pair.request) == nullptr);
  cluster.pass(31s);
  CHECK(cluster.cancels() == 1);
  cluster.pass(1s);
  CHECK(cluster.cancels() == 2);
  cluster.finish(cluster.take_dispatch("a"), "7");
  cluster.persist();
  CHECK(cluster.step(pair.request).output == "7");
  CHECK(free_slots(cluster) == 8);
}

TEST_CASE("no second attempt without another node, a free slot, a budget or leave", "[hedging]") {
  CoordinatorSettings settings = hedging();
  std::string task = "a";
  int nodes = 2;
  SECTION("one node") {
    nodes = 1;
  }
  SECTION("no share") {
    settings.hedge.share = 0;
  }
  SECTION("the budget is empty") {
    settings.hedge.share = 0.05;
  }
  SECTION("a write") {
    task = "put_again";
  }
  SECTION("hedge = false") {
    Task a;
    a.name = "a";
    a.effect = Effect::pure;
    a.executor = ExecutorKind::native;
    a.function = "a";
    a.hedge = false;
    settings.catalog = *Catalog::make({a}, {}, {});
  }
  SECTION("too few runs are known") {
    settings.run_times.samples_min = 12;
  }
  ScriptedCluster cluster(settings);
  for (int i = 1; i <= nodes; ++i) {
    cluster.join(i);
  }
  const RunId run = cluster.open(SpeculationMode::off);
  const auto input = [&](int key) { return R"({"key":")" + std::to_string(key) + "\"}"; };
  for (int i = 0; i < 10; ++i) {
    cluster.confirm(run, {call(task, input(i))});
    cluster.persist();
    cluster.finish(cluster.take_dispatch(task), "1", 20ms);
    cluster.persist();
  }
  cluster.confirm(run, {call(task, input(11))});
  cluster.persist();
  const Dispatch first = cluster.take_dispatch(task);
  cluster.pass(100ms);
  CHECK_FALSE(cluster.has_dispatch(task));
  CHECK(cluster.machine->counters().hedges == 0);
}

TEST_CASE("a second attempt waits for a slot that nobody else needs, and for its pool",
          "[hedging]") {
  ScriptedCluster cluster(hedging());
  cluster.join(1, 1);
  cluster.join(2, 1);
  train(cluster, "a");
  const RunId run = cluster.open(SpeculationMode::off);
  const RunId other = cluster.open(SpeculationMode::off);
  cluster.confirm(run, {call("a")});
  cluster.take_dispatch("a");
  cluster.confirm(other, {call("b")});
  const Dispatch busy = cluster.take_dispatch("b");
  cluster.pass(100ms);
  CHECK_FALSE(cluster.has_dispatch("a"));
  cluster.finish(busy, "1", 1ms);
  CHECK(node_of(cluster.take_dispatch("a")) == node_of(busy));
}

TEST_CASE("what runs ahead is not hedged before it is asked for, and then at once if it is slow",
          "[hedging]") {
  ScriptedCluster cluster(hedging());
  cluster.join(1);
  cluster.join(2);
  train(cluster, "b");
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next[""] = {prediction(call("b"), 0.95)};
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  const Dispatch ahead = cluster.take_dispatch("b");
  cluster.predictor->next.clear();
  cluster.pass(50ms);
  CHECK_FALSE(cluster.has_dispatch("b"));
  const RequestId asked = cluster.confirm(run, {call("b")});
  const Dispatch second = cluster.take_dispatch("b");
  CHECK(second.owner.step == StepNumber{1});
  CHECK_FALSE(second.speculative);
  cluster.finish(second, "9", 3ms);
  cluster.persist();
  CHECK(cluster.step(asked).origin == Origin::late_hit);
  CHECK(cluster.step(asked).output == "9");
  CHECK(free_slots(cluster) == 8);
  CHECK(ahead.token != second.token);
}

TEST_CASE("a hedged race decides as it would without", "[hedging]") {
  std::vector<Digest> decisions;
  for (const double share : {0.0, 1.0}) {
    CoordinatorSettings settings = hedging();
    settings.hedge.share = share;
    ScriptedCluster cluster(settings);
    cluster.join(1);
    cluster.join(2);
    train(cluster, "fast");
    train(cluster, "slow");
    const RunId run = cluster.open(SpeculationMode::off);
    const RequestId request = cluster.confirm(run, {call("answer")});
    const Dispatch fast = cluster.take_dispatch("fast");
    const Dispatch slow = cluster.take_dispatch("slow");
    cluster.pass(30ms);
    CHECK(cluster.has_dispatch("slow") == (share > 0));
    if (share > 0) {
      cluster.finish(cluster.take_dispatch("slow"), R"({"x":1})", 5ms);
      cluster.finish(cluster.take_dispatch("fast"), R"({"sure":false})", 5ms);
    } else {
      cluster.finish(fast, R"({"sure":false})", 500ms);
      cluster.finish(slow, R"({"x":1})", 500ms);
    }
    cluster.persist();
    CHECK(cluster.step(request).output == R"({"x":1})");
    decisions.push_back(cluster.step(request).decision_hash);
    CHECK(free_slots(cluster) == 8);
  }
  CHECK(decisions[0] == decisions[1]);
}

TEST_CASE("a learned deadline goes out with the dispatch and is forgotten with the term",
          "[hedging]") {
  CoordinatorSettings settings = hedging();
  settings.run_times.timeout_min = 50ms;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  const RunId run = cluster.open(SpeculationMode::off);
  for (int i = 0; i < 11; ++i) {
    cluster.confirm(run, {call("a")});
    const Dispatch dispatch = cluster.take_dispatch("a");
    CHECK(dispatch.timeout == (i < 10 ? Duration(30s) : Duration(60ms)));
    cluster.finish(dispatch, "1", 20ms);
    cluster.persist();
  }
  cluster.crash_and_restart();
  cluster.join(1);
  cluster.confirm(run, {call("a")});
  CHECK(cluster.take_dispatch("a").timeout == 30s);
}

namespace {

/// Eight clients that ask again at once, on four nodes of four slots, one of which takes `slowdown`
/// times as long. Returns what the last two thirds waited, in milliseconds.
std::vector<double> waits_with_a_slow_node(double share, double slowdown) {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.hedge.share = share;
  settings.membership.silence_max = 1h;
  ScriptedCluster cluster(settings);
  for (int node = 1; node <= 4; ++node) {
    cluster.join(node);
  }
  Prng prng(7);
  std::map<RequestId, std::pair<std::size_t, Instant>> asked;
  std::vector<RunId> runs;
  std::multimap<Instant, Dispatch> running;
  std::vector<double> waits;
  const auto ask = [&](std::size_t client) {
    asked[cluster.confirm(runs[client], {call("a")})] = {client, cluster.now};
  };
  for (std::size_t client = 0; client < 8; ++client) {
    runs.push_back(cluster.open(SpeculationMode::off));
    ask(client);
  }
  while (waits.size() < 3000) {
    for (const Dispatch& dispatch : std::exchange(cluster.dispatches, {})) {
      const double factor = node_of(dispatch) == 4 ? slowdown : 1.0;
      const Duration takes(static_cast<Duration::rep>(prng.lognormal(20e3, 0.2) * factor));
      running.emplace(cluster.now + takes, dispatch);
    }
    const Instant tick = cluster.now + 1ms;
    if (running.empty() || running.begin()->first > tick) {
      cluster.pass(1ms);
    } else {
      const auto [at, dispatch] = *running.begin();
      running.erase(running.begin());
      cluster.now = std::max(cluster.now, at);
      cluster.finish(dispatch, "1", 0ms);
    }
    cluster.free_slots();
    cluster.persist();
    for (auto& [request, from] : std::map(asked)) {
      if (cluster.answer(request) != nullptr) {
        waits.push_back(milliseconds_of(cluster.now - from.second));
        asked.erase(request);
        ask(from.first);
      }
    }
  }
  CHECK(static_cast<double>(cluster.machine->counters().hedges) <= share * 3008);
  return {waits.begin() + 1000, waits.end()};
}

}  // namespace

TEST_CASE("with one slow node among four the p99 falls by a factor", "[hedging]") {
  const double without = quantile(waits_with_a_slow_node(0, 20), 0.99);
  const double with = quantile(waits_with_a_slow_node(0.05, 20), 0.99);
  INFO("p99 " << without << " ms without, " << with << " ms with second attempts");
  CHECK(with * 4 < without);
}
