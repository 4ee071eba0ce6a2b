#include <catch2/catch.hpp>

#include "speculation/explanation.hpp"
#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

namespace {

/// Tasks that get parts of the state; the tasks of the default catalog get all of it.
Catalog catalog_with_parts() {
  const Catalog known = ScriptedCluster::default_catalog();
  std::vector<Task> tasks;
  for (const auto& [name, task] : known.tasks()) {
    tasks.push_back(task);
  }
  const auto with_state = [&tasks](const std::string& name, std::vector<std::string> paths) {
    Task task;
    task.name = name;
    task.executor = ExecutorKind::native;
    task.effect = Effect::pure;
    task.state = std::move(paths);
    tasks.push_back(std::move(task));
  };
  with_state("price", {"/cart"});
  with_state("blind", {});
  std::vector<Race> races;
  for (const auto& [name, race] : known.races()) {
    races.push_back(race);
  }
  auto catalog = Catalog::make(std::move(tasks), std::move(races), {});
  REQUIRE(catalog.has_value());
  return std::move(*catalog);
}

ScriptedCluster cluster_with_parts() {
  return ScriptedCluster(ScriptedCluster::settings_of(catalog_with_parts()));
}

RunId open_with(ScriptedCluster& cluster, const std::string& state) {
  OpenSession body;
  body.state = *SessionState::parse(state);
  return cluster.open(body);
}

const json::Value& last_commit(const std::vector<json::Value>& entries) {
  return *std::find_if(entries.rbegin(), entries.rend(), [](const json::Value& entry) {
    return *entry.find("kind") == json::Value("commit");
  });
}

}  // namespace

TEST_CASE("a step's write-set becomes the session's state with its decision", "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  cluster.confirm(run, {call("a")});
  const Dispatch first = cluster.take_dispatch("a");
  CHECK(first.state == "{}");
  cluster.finish_with(first, "1", R"({"cart":{"apple":2}})");
  CHECK(cluster.state(run) == "{}");  // Not durable yet.
  cluster.persist();
  CHECK(cluster.state(run) == R"({"cart":{"apple":2}})");
  CHECK(*last_commit(cluster.entries()).find("writes_hash") ==
        json::Value(to_hex(sha256(R"({"cart":{"apple":2}})"))));
  cluster.confirm(run, {call("b")});
  const Dispatch second = cluster.take_dispatch("b");
  CHECK(second.state == R"({"cart":{"apple":2}})");
  cluster.finish_with(second, "2", R"({"cart":{"apple":null,"pear":1},"done":true})");
  cluster.persist();
  CHECK(cluster.state(run) == R"({"cart":{"pear":1},"done":true})");
}

TEST_CASE("a step without writes leaves no hash and no trace", "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = open_with(cluster, R"({"a":1})");
  CHECK(cluster.state(run) == R"({"a":1})");
  cluster.confirm(run, {call("a")});
  cluster.finish_with(cluster.take_dispatch("a"), "1", "{}");
  cluster.persist();
  CHECK(last_commit(cluster.entries()).find("writes_hash")->is_null());
  CHECK(cluster.state(run) == R"({"a":1})");
}

TEST_CASE("a write-set that is none makes its branch invalid", "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  const RequestId request = cluster.confirm(run, {call("a")});
  cluster.finish_with(cluster.take_dispatch("a"), "1", GENERATE("[1]", "null", "{\"a\":"));
  cluster.persist();
  CHECK(cluster.step(request).failed);
  CHECK(cluster.step(request).causes.front()->starts_with("writes: "));
  CHECK(cluster.state(run) == "{}");
}

TEST_CASE("a task gets the part of the state that it declares", "[session_state]") {
  ScriptedCluster cluster = cluster_with_parts();
  cluster.join(1);
  const RunId run = open_with(cluster, R"({"cart":{"apple":1},"secret":7})");
  cluster.confirm(run, {call("price"), call("blind"), call("a")});
  CHECK(cluster.take_dispatch("price").state == R"({"cart":{"apple":1}})");
  CHECK(cluster.take_dispatch("blind").state == "{}");
  CHECK(cluster.take_dispatch("a").state == R"({"cart":{"apple":1},"secret":7})");
}

TEST_CASE("calls of one list share the state before them, and write in its order",
          "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = open_with(cluster, R"({"n":0})");
  // The second put waits for the first: they write the same thing outside.
  cluster.confirm(run,
                  {call("put", R"({"key":"k"})"), call("put_again", R"({"key":"k"})"), call("a")});
  const Dispatch last = cluster.take_dispatch("a");
  CHECK(last.state == R"({"n":0})");
  cluster.finish_with(last, "3", R"({"n":3})");
  cluster.persist();
  const Dispatch first = cluster.take_dispatch("put");
  cluster.finish_with(first, "1", R"({"n":1,"first":true})");
  cluster.persist();
  const Dispatch second = cluster.take_dispatch("put_again");
  CHECK(second.state == R"({"n":0})");
  cluster.finish_with(second, "2", R"({"n":2,"second":true})");
  cluster.persist();
  CHECK(cluster.state(run) == R"({"first":true,"n":3,"second":true})");
}

TEST_CASE("the state before a list outlives a crash in the middle of it", "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = open_with(cluster, R"({"n":0})");
  const std::vector<Call> list = {call("put_again", R"({"key":"k"})"), call("a")};
  cluster.confirm(run, list, "key");
  cluster.persist();
  cluster.finish_with(cluster.take_dispatch("put_again"), "1", R"({"n":1})");
  cluster.persist();
  CHECK(cluster.state(run) == R"({"n":1})");
  cluster.crash_and_restart();
  CHECK(cluster.state(run) == R"({"n":1})");
  cluster.join(1);
  SECTION("its retry goes on where it ended") {
    cluster.confirm(run, list, "key");
    CHECK(cluster.take_dispatch("a").state == R"({"n":0})");
  }
  SECTION("another request begins with the state as it is, also after another crash") {
    cluster.confirm(run, {call("put_again", R"({"key":"other"})")});
    cluster.persist();
    CHECK(cluster.take_dispatch("put_again").state == R"({"n":1})");
    cluster.crash_and_restart();
    cluster.join(1);
    CHECK(cluster.take_dispatch("put_again").state == R"({"n":1})");
  }
}

TEST_CASE("the state is what it was after kill -9", "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = open_with(cluster, R"({"a":1})");
  cluster.confirm(run, {call("a")});
  cluster.finish_with(cluster.take_dispatch("a"), "1", R"({"b":2})");
  cluster.persist();
  cluster.confirm(run, {call("b")});
  cluster.finish_with(cluster.take_dispatch("b"), "1", R"({"c":3})");
  cluster.crash_and_restart();  // The second step was never durable.
  CHECK(cluster.state(run) == R"({"a":1,"b":2})");
  cluster.join(1);
  cluster.confirm(run, {call("c")});
  CHECK(cluster.take_dispatch("c").state == R"({"a":1,"b":2})");
}

TEST_CASE("a speculation that was given another state ends as a conflict, with what hangs under it",
          "[session_state]") {
  ScriptedCluster cluster = cluster_with_parts();
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next["a"] = {prediction(call("price"), 0.99), prediction(call("blind"), 0.99)};
  cluster.predictor->next["price"] = {prediction(call("c"), 0.99)};
  cluster.confirm(run, {call("a")});
  const Dispatch running = cluster.take_dispatch("a");
  // Both begin while the step runs; nobody knows yet that it writes.
  cluster.finish(cluster.take_dispatch("price"), "10");
  CHECK(cluster.has_dispatch("c"));
  cluster.finish(cluster.take_dispatch("blind"), "20");
  cluster.predictor->next.clear();
  cluster.finish_with(running, "1", R"({"cart":{"apple":1}})");
  cluster.persist();
  CHECK(cluster.count_entries("discard", "cause", "conflict") == 2);
  const RequestId price = cluster.confirm(run, {call("price")});
  CHECK(cluster.take_dispatch("price").state == R"({"cart":{"apple":1}})");
  CHECK(cluster.answer(price) == nullptr);
}

TEST_CASE("a speculation whose part of the state did not change is used", "[session_state]") {
  ScriptedCluster cluster = cluster_with_parts();
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next["a"] = {prediction(call("price"), 0.99)};
  cluster.confirm(run, {call("a")});
  const Dispatch running = cluster.take_dispatch("a");
  cluster.finish(cluster.take_dispatch("price"), "10");
  cluster.predictor->next.clear();
  cluster.finish_with(running, "1", R"({"other":1})");
  cluster.persist();
  const RequestId price = cluster.confirm(run, {call("price")});
  cluster.persist();
  CHECK(cluster.step(price).origin == Origin::hit);
  CHECK(cluster.count_entries("discard") == 0);
}

TEST_CASE("what hangs under a speculation that writes sees the state that it imagines",
          "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = open_with(cluster, R"({"n":0})");
  cluster.predictor->next["a"] = {prediction(call("b"), 0.99)};
  cluster.predictor->next["b"] = {};
  const RequestId first = cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  CHECK(cluster.step(first).output == "1");
  cluster.predictor->next["b"] = {prediction(call("c"), 0.99)};
  cluster.predictor->next[""] = {prediction(call("b"), 0.99)};
  cluster.finish_with(cluster.take_dispatch("b"), "2", R"({"n":1})");
  const Dispatch child = cluster.take_dispatch("c");
  CHECK(child.state == R"({"n":1})");
  cluster.predictor->next.clear();
  cluster.finish_with(child, "3", R"({"n":2})");
  CHECK(cluster.count_entries("discard") == 0);
  CHECK(cluster.state(run) == R"({"n":0})");  // Nothing of a speculation is visible.
  const RequestId second = cluster.confirm(run, {call("b")});
  cluster.persist();
  CHECK(cluster.step(second).origin == Origin::hit);
  const RequestId third = cluster.confirm(run, {call("c")});
  cluster.persist();
  CHECK(cluster.step(third).origin == Origin::hit);
  CHECK(cluster.state(run) == R"({"n":2})");
  CHECK(cluster.count_entries("discard", "cause", "conflict") == 0);
}

TEST_CASE("once a task was seen to write, what it may change is not run ahead beside it",
          "[session_state]") {
  ScriptedCluster cluster = cluster_with_parts();
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.confirm(run, {call("a")});
  cluster.finish_with(cluster.take_dispatch("a"), "1", R"({"cart":{"apple":1}})");
  cluster.persist();
  cluster.predictor->next["a"] = {prediction(call("price"), 0.99), prediction(call("blind"), 0.99)};
  cluster.confirm(run, {call("a", R"({"again":1})")});
  CHECK(cluster.has_dispatch("blind"));
  CHECK_FALSE(cluster.has_dispatch("price"));
  CHECK(*cluster.machine->status("default").find("not_started")->find("state open") == json::Value(1));
}

TEST_CASE("a discarded speculation's writes are never seen", "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next["a"] = {prediction(call("b"), 0.99)};
  cluster.confirm(run, {call("a")});
  cluster.finish_with(cluster.take_dispatch("b"), "2", R"({"ghost":true})");
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  cluster.input(ClientRequest{RequestId{900}, "default", EndSession{run}});
  cluster.persist();
  CHECK(cluster.count_entries("discard", "cause", "session ended") == 1);
  CHECK(cluster.state(run) == "{}");
}

TEST_CASE("a winner whose writes the state cannot take is none; the next one answers",
          "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const std::string nearly(state_bytes_max - 100, 'x');
  const RunId run = open_with(cluster, R"({"big":")" + nearly + R"("})");
  const std::string more = R"({"more":")" + std::string(200, 'y') + R"("})";
  SECTION("a plain task fails, and says why") {
    const RequestId request = cluster.confirm(run, {call("a")});
    cluster.finish_with(cluster.take_dispatch("a"), "1", more);
    cluster.persist();
    CHECK(cluster.step(request).failed);
    CHECK(cluster.step(request).causes.front()->find("expected at most") != std::string::npos);
  }
  SECTION("a race goes on without it") {
    const RequestId request = cluster.confirm(run, {call("answer")});
    const Dispatch fast = cluster.take_dispatch("fast");
    cluster.take_dispatch("slow");
    cluster.finish_with(fast, R"({"sure":true})", more);
    CHECK(cluster.answer(request) == nullptr);
    cluster.finish_with(cluster.take_dispatch("slow"), R"({"sure":false})", R"({"ok":1})");
    cluster.persist();
    CHECK(cluster.step(request).winner == "slow");
    CHECK(cluster.state(run).find(R"("ok":1)") != std::string::npos);
  }
}

TEST_CASE("an idempotency key of an opening stands for its state too", "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1);
  OpenSession body;
  body.idempotency_key = "k";
  body.state = *SessionState::parse(R"({"a":1})");
  const RunId run = cluster.open(body);
  CHECK(cluster.open(body) == run);
  body.state = *SessionState::parse(R"({"a":2})");
  cluster.input(ClientRequest{RequestId{900}, "default", body});
  CHECK(std::get<RequestFailed>(*cluster.answer(RequestId{900})).refusal == Refusal::key_reused);
}

TEST_CASE("the story of a step tells the state that it was given", "[session_state]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = open_with(cluster, R"({"a":1})");
  cluster.confirm(run, {call("a")});
  cluster.finish_with(cluster.take_dispatch("a"), "1", R"({"b":2})");
  cluster.persist();
  const json::Value explained = cluster.explanation(run);
  const json::Value& step = explained.find("steps")->array()->front();
  CHECK(*step.find("state_hash") == json::Value(to_hex(sha256(R"({"a":1})"))));
  CHECK(json::canonical(*step.find("writes")) == R"({"b":2})");
  CHECK(given_state(R"({"state_hash":")" + to_hex(sha256("x")) + R"("})") == sha256("x"));
  CHECK(given_state("{}") == std::nullopt);
}
