#include <catch2/catch.hpp>

#include "coordinator/effect_queue.hpp"
#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

namespace {

const std::string hook = R"({"http":{"body":1,"method":"POST","url":"http://receiver/a"}})";
const std::string notify = R"({"input":{"key":"k"},"task":"put_again"})";

CoordinatorSettings settings_with_effects() {
  const Catalog known = ScriptedCluster::default_catalog();
  std::vector<Task> tasks;
  for (const auto& [name, task] : known.tasks()) {
    tasks.push_back(task);
  }
  auto catalog = Catalog::make(std::move(tasks), {}, {}, {{"http://receiver"}, {"put_again"}});
  REQUIRE(catalog.has_value());
  return ScriptedCluster::settings_of(std::move(*catalog));
}

/// One step with these effects, committed.
RequestId commit_with(ScriptedCluster& cluster, const RunId& run, const std::string& effects,
                      const std::string& task = "a") {
  const RequestId request = cluster.confirm(run, {call(task, R"({"key":"k"})")});
  cluster.persist();
  cluster.finish_with(cluster.take_dispatch(task), "1", "", effects);
  cluster.persist();
  return request;
}

json::Value effects(ScriptedCluster& cluster) {
  static std::uint64_t next = 5000;
  const RequestId id{next++};
  cluster.input(ClientRequest{id, "default", ShowEffects{}});
  return std::get<JsonReport>(*cluster.answer(id)).body;
}

const ResponseBody& change(ScriptedCluster& cluster, ChangeEffects body) {
  static std::uint64_t next = 7000;
  const RequestId id{next++};
  cluster.input(ClientRequest{id, "default", body});
  cluster.persist();
  const ResponseBody* answer = cluster.answer(id);
  REQUIRE(answer != nullptr);
  return *answer;
}

double number(const json::Value& value, const std::string& name) {
  return *value.find(name)->number();
}

}  // namespace

TEST_CASE("an effect is sent after its decision is durable, with its key", "[effects]") {
  ScriptedCluster cluster(settings_with_effects());
  cluster.join(1);
  const RunId run = cluster.open();
  const RequestId request = cluster.confirm(run, {call("a")});
  cluster.finish_with(cluster.take_dispatch("a"), "1", "", "[" + hook + "]");
  CHECK_FALSE(cluster.has_request());
  CHECK(cluster.answer(request) == nullptr);
  CHECK(number(effects(cluster), "waiting") == 0);  // A crash may undo its step.
  cluster.persist();
  CHECK(cluster.step(request).output == "1");
  const json::Value commit = cluster.entries().back();
  CHECK(*commit.find("effects_hash") == json::Value(to_hex(sha256("[" + hook + "]"))));
  const Dispatch sent = cluster.take_request();
  CHECK(sent.http == hook);
  CHECK(sent.task.empty());
  CHECK(sent.owner.effect);
  CHECK(sent.outside_key == *commit.find("seed_chain")->string() + "-0");
  CHECK(number(effects(cluster), "waiting") == 1);
  cluster.finish(sent, R"({"status":200})");
  cluster.persist();
  CHECK(number(effects(cluster), "waiting") == 0);
  CHECK(number(*cluster.machine->status("default").find("effects"), "delivered") == 1);
  cluster.crash_and_restart();
  cluster.join(1);
  CHECK_FALSE(cluster.has_request());
}

TEST_CASE("effects of a session are sent one after the other, in step order", "[effects]") {
  ScriptedCluster cluster(settings_with_effects());
  cluster.join(1, 8);
  const RunId run = cluster.open();
  commit_with(cluster, run, "[" + hook + "," + notify + "]");
  commit_with(cluster, run, "[" + hook + "]", "b");
  const Dispatch first = cluster.take_request();
  CHECK(first.outside_key.ends_with("-0"));
  CHECK_FALSE(cluster.has_request());
  CHECK_FALSE(cluster.has_dispatch("put_again"));
  cluster.finish(first, "null");
  const Dispatch second = cluster.take_dispatch("put_again");
  CHECK(second.outside_key.ends_with("-1"));
  CHECK(second.input == R"({"key":"k"})");
  CHECK_FALSE(cluster.has_request());
  cluster.finish(second, "null");
  CHECK(cluster.take_request().outside_key.ends_with("-0"));
}

TEST_CASE("an effect that was not known to be delivered is sent again with its key, after kill -9",
          "[effects]") {
  ScriptedCluster cluster(settings_with_effects());
  cluster.join(1);
  const RunId run = cluster.open();
  commit_with(cluster, run, "[" + hook + "]");
  const std::string key = cluster.take_request().outside_key;
  SECTION("while it is on its way") {}
  SECTION("when its session has ended") {
    cluster.input(ClientRequest{RequestId{900}, "default", EndSession{run}});
    cluster.persist();
  }
  cluster.crash_and_restart();
  cluster.join(1);
  CHECK(cluster.take_request().outside_key == key);
}

TEST_CASE("an effect that fails is tried again ever later, then parked, and holds back the next",
          "[effects]") {
  CoordinatorSettings settings = settings_with_effects();
  settings.effects.retry_first = 100ms;
  settings.effects.retry_max = 1s;  // No longer than a silent node is waited for.
  ScriptedCluster cluster(settings);
  cluster.join(1);
  const RunId run = cluster.open();
  commit_with(cluster, run, "[" + hook + "]");
  commit_with(cluster, run, "[" + notify + "]", "b");
  Duration wait = 100ms;
  for (int attempt = 1; attempt < 10; ++attempt) {
    cluster.end(cluster.take_request(), attempt % 2 == 0 ? Ending::failed : Ending::timed_out,
                "503");
    cluster.pass(wait - 1ms);
    CHECK_FALSE(cluster.has_request());
    cluster.pass(1ms);
    wait = std::min<Duration>(wait * 2, 1s);
  }
  cluster.end(cluster.take_request(), Ending::failed, "status 503");
  cluster.persist();
  cluster.pass(1900ms);
  CHECK_FALSE(cluster.has_request());
  CHECK_FALSE(cluster.has_dispatch("put_again"));
  json::Value shown = effects(cluster);
  CHECK(number(shown, "parked") == 1);
  const json::Value& parked = shown.find("effects")->array()->front();
  CHECK(*parked.find("state") == json::Value("parked"));
  CHECK(*parked.find("cause") == json::Value("status 503"));
  CHECK(number(parked, "attempts") == 10);
  CHECK(cluster.log.back().find("parked") != std::string::npos);
  SECTION("it stays parked over kill -9") {
    cluster.crash_and_restart();
    cluster.join(1);
    CHECK_FALSE(cluster.has_request());
    CHECK(number(effects(cluster), "parked") == 1);
  }
  SECTION("an operator has it tried again") {
    CHECK(number(std::get<JsonReport>(change(cluster, {})).body, "redriven") == 1);
    cluster.finish(cluster.take_request(), "null");
    CHECK(cluster.has_dispatch("put_again"));
  }
  SECTION("an operator drops it, and the next one goes") {
    const EffectId id{run, StepNumber{0}, 0};
    CHECK(std::holds_alternative<JsonReport>(change(cluster, {ChangeEffects::Change::drop, id})));
    CHECK_FALSE(cluster.has_request());
    CHECK(cluster.has_dispatch("put_again"));
    CHECK(std::get<RequestFailed>(change(cluster, {ChangeEffects::Change::drop, id})).refusal ==
          Refusal::not_found);
    const EffectId next{run, StepNumber{1}, 0};
    CHECK(std::get<RequestFailed>(change(cluster, {ChangeEffects::Change::drop, next})).refusal ==
          Refusal::conflict);
  }
}

TEST_CASE("an attempt whose node is lost is not counted", "[effects]") {
  ScriptedCluster cluster(settings_with_effects());
  cluster.join(1);
  const RunId run = cluster.open();
  commit_with(cluster, run, "[" + hook + "]");
  for (int i = 0; i < 15; ++i) {
    cluster.end(cluster.take_request(), Ending::lost, "gone");
    cluster.pass(500ms);
  }
  CHECK(number(effects(cluster), "parked") == 0);
  CHECK(cluster.has_request());
}

TEST_CASE("an effect that goes nowhere makes its branch invalid", "[effects]") {
  ScriptedCluster cluster(settings_with_effects());
  cluster.join(1);
  const RunId run = cluster.open();
  const RequestId request =
      commit_with(cluster, run, R"([{"http":{"method":"POST","url":"http://elsewhere/a"}}])");
  CHECK(cluster.step(request).failed);
  CHECK(cluster.step(request).causes.front()->find("not allowed") != std::string::npos);
  CHECK_FALSE(cluster.has_request());
}

TEST_CASE("the effects of a speculation are sent when it is committed, and never else",
          "[effects]") {
  ScriptedCluster cluster(settings_with_effects());
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next["a"] = {prediction(call("b"), 0.99)};
  cluster.confirm(run, {call("a")});
  cluster.finish_with(cluster.take_dispatch("b"), "2", "", "[" + hook + "]");
  cluster.predictor->next.clear();
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  CHECK_FALSE(cluster.has_request());
  SECTION("committed") {
    cluster.confirm(run, {call("b")});
    cluster.persist();
    CHECK(cluster.has_request());
  }
  SECTION("discarded") {
    cluster.input(ClientRequest{RequestId{900}, "default", EndSession{run}});
    cluster.persist();
    CHECK(cluster.count_entries("discard") == 1);
    CHECK_FALSE(cluster.has_request());
  }
}

TEST_CASE("a write's tags are dirty until its effects are delivered", "[effects]") {
  ScriptedCluster cluster(settings_with_effects());
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  commit_with(cluster, run, "[" + hook + "]", "put");
  const Call reads = call("get", R"({"key":"k"})");
  cluster.predictor->next[""] = {prediction(reads, 0.99)};
  const bool restarts = GENERATE(false, true);
  if (restarts) {
    cluster.crash_and_restart();
    cluster.join(1, 8);
    cluster.earn();
    cluster.predictor->next[""] = {prediction(reads, 0.99)};
  }
  cluster.input(ClientRequest{RequestId{901}, "default", AddText{run, "look"}});
  CHECK_FALSE(cluster.has_dispatch("get"));
  CHECK(number(*cluster.machine->status("default").find("not_started"), "dirty") >= 1);
  cluster.finish(cluster.take_request(), "null");
  cluster.persist();
  cluster.input(ClientRequest{RequestId{902}, "default", AddText{run, "again"}});
  CHECK(cluster.has_dispatch("get"));
}

TEST_CASE("what an effect's task writes makes what was read before it stale", "[effects]") {
  ScriptedCluster cluster(settings_with_effects());
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next["a"] = {prediction(call("get", R"({"key":"k"})"), 0.99)};
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("get"), "old");
  cluster.predictor->next.clear();
  cluster.finish_with(cluster.take_dispatch("a"), "1", "", "[" + notify + "]");
  cluster.persist();
  CHECK(cluster.count_entries("discard", "cause", "stale") == 1);
}

TEST_CASE("a replay records effects and delivers none", "[effects]") {
  CoordinatorSettings settings = settings_with_effects();
  settings.effects.delivers = false;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  const RunId run = cluster.open();
  commit_with(cluster, run, "[" + hook + "]");
  CHECK_FALSE(cluster.has_request());
  CHECK(*cluster.entries().back().find("effects_hash") ==
        json::Value(to_hex(sha256("[" + hook + "]"))));
}

TEST_CASE("too many effects that wait hold back new steps", "[effects]") {
  CoordinatorSettings settings = settings_with_effects();
  settings.effects.pending_max = 1;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  const RunId run = cluster.open();
  commit_with(cluster, run, "[" + hook + "]");
  const RequestId refused = cluster.confirm(run, {call("b")});
  CHECK(std::get<RequestFailed>(*cluster.answer(refused)).refusal == Refusal::overloaded);
  cluster.finish(cluster.take_request(), "null");
  const RequestId taken = cluster.confirm(run, {call("b")});
  CHECK(cluster.answer(taken) == nullptr);
}

TEST_CASE("the queue of effects keeps each session's order and every session's turn", "[effects]") {
  EffectQueue queue{EffectSettings{}};
  RunId a;
  RunId b;
  a.counter = 1;
  b.counter = 2;
  const auto row = [](const RunId& run, std::uint32_t step, std::uint32_t index) {
    EffectRow made;
    made.id = {run, StepNumber{step}, index};
    return made;
  };
  const Instant now{1000s};
  queue.add(row(a, 0, 0), {}, false);
  queue.add(row(a, 0, 1), {}, false);
  CHECK(queue.due(now).empty());
  queue.durable({a, StepNumber{0}, 1});
  CHECK(queue.due(now).empty());
  queue.durable({a, StepNumber{0}, 0});
  queue.add(row(b, 3, 0), {}, true);
  REQUIRE(queue.due(now).size() == 2);
  const EffectId first{a, StepNumber{0}, 0};
  queue.started(first, BranchToken{7}, WorkerId{}, now);
  CHECK(queue.running(BranchToken{7})->row.id == first);
  CHECK(queue.due(now) == std::vector<EffectId>{{b, StepNumber{3}, 0}});
  CHECK_FALSE(queue.failed(first, now, "no"));
  CHECK(queue.running(BranchToken{7}) == nullptr);
  CHECK(queue.due(now + 499ms).size() == 1);
  CHECK(queue.due(now + 500ms).size() == 2);
  queue.started(first, BranchToken{8}, WorkerId{}, now + 500ms);
  queue.take(first);
  CHECK(queue.due(now).front() == EffectId{a, StepNumber{0}, 1});
  CHECK(queue.size() == 2);
}
