#include <catch2/catch.hpp>

#include "coordinator/race_log.hpp"
#include "speculation/explanation.hpp"
#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

TEST_CASE("no reply leaves before its entry is durable", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  const RequestId request = cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), R"({"x":1})");
  CHECK(cluster.answer(request) == nullptr);
  CHECK(cluster.published.back().records.empty() == false);
  const std::size_t published = cluster.published.size();
  cluster.persist();
  CHECK(cluster.step(request).output == R"({"x":1})");
  CHECK(cluster.step(request).origin == Origin::miss);
  CHECK(cluster.published.size() > published);
}

TEST_CASE("a session with a key is opened though its client left, for the retry to find",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  OpenSession opening;
  std::uint64_t id = 1000;
  std::uint64_t opened = 0;
  do {  // Until one has to wait for more run IDs.
    opened = cluster.machine->counters().sessions_opened;
    REQUIRE(opened < 10'000);
    opening.idempotency_key = "k" + std::to_string(++id);
    cluster.input(ClientRequest{RequestId{id}, "default", opening});
  } while (cluster.machine->counters().sessions_opened > opened);
  cluster.input(ClientLeft{RequestId{id}});
  cluster.persist();
  for (const ToNode& message : std::vector(cluster.sent)) {
    if (const auto* reserve = std::get_if<ReserveRunIds>(&message.message)) {
      cluster.input(
          NodeSaid{message.connection, NodeId{"n1"}, MarkStored{reserve->worker, reserve->mark}});
    }
  }
  cluster.persist();
  cluster.input(ClientRequest{RequestId{id + 1}, "default", opening});
  cluster.persist();
  REQUIRE(cluster.answer(RequestId{id + 1}) != nullptr);
  CHECK(std::holds_alternative<SessionOpened>(*cluster.answer(RequestId{id + 1})));
}

TEST_CASE("a given run ID is taken only by a store that is to be thrown away",
          "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.accept_given_run_ids = GENERATE(false, true);
  ScriptedCluster cluster(settings);
  cluster.join(1);
  OpenSession opening;
  opening.run_id = *RunId::parse("8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17");
  const RequestId request{900};
  cluster.input(ClientRequest{request, "default", opening});
  cluster.persist();
  REQUIRE(cluster.answer(request) != nullptr);
  if (settings.accept_given_run_ids) {
    CHECK(std::get<SessionOpened>(*cluster.answer(request)).run_id == opening.run_id);
  } else {
    CHECK(std::get<RequestFailed>(*cluster.answer(request)).refusal == Refusal::conflict);
  }
}

TEST_CASE("a call that was run ahead answers at once and its time is saved",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  cluster.predictor->next[""] = {prediction(call("b"), 0.95)};
  const RequestId first = cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1", 100ms);
  cluster.persist();
  const Dispatch ahead = cluster.take_dispatch("b");
  CHECK(ahead.speculative);
  CHECK(ahead.tenant == "default");
  cluster.finish(ahead, "2", 50ms);
  const RequestId second = cluster.confirm(run, {call("b")});
  cluster.persist();
  CHECK(cluster.step(first).origin == Origin::miss);
  CHECK(cluster.step(second).origin == Origin::hit);
  CHECK(cluster.step(second).saved == 50ms);
  CHECK(cluster.step(second).output == "2");
  CHECK_FALSE(cluster.has_dispatch("a"));
}

TEST_CASE("a call that runs ahead is joined and never started twice", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  cluster.predictor->next[""] = {prediction(call("b"), 0.95)};
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1", 100ms);
  const Dispatch ahead = cluster.take_dispatch("b");
  cluster.pass(30ms);
  cluster.predictor->next.clear();
  cluster.persist();
  const RequestId second = cluster.confirm(run, {call("b")});
  CHECK_FALSE(cluster.has_dispatch("b"));
  CHECK(std::holds_alternative<ConfirmBranch>(cluster.sent.back().message));
  cluster.finish(ahead, "2", 20ms);
  cluster.persist();
  CHECK(cluster.step(second).origin == Origin::late_hit);
  CHECK(cluster.step(second).saved == 0ms);  // It waited as long as the branch says it took.
  CHECK(cluster.count_entries("commit", "origin", "late_hit") == 1);
}

TEST_CASE("the same call twice in a chain runs ahead twice, and answers in its order",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next["a"] = {prediction(call("b"), 0.99)};
  cluster.predictor->next["b"] = {prediction(call("a"), 0.99)};
  cluster.confirm(run, {call("a")});
  const Dispatch step = cluster.take_dispatch("a");
  cluster.finish(cluster.take_dispatch("b"), "1");
  cluster.finish(cluster.take_dispatch("a"), "2");
  cluster.finish(cluster.take_dispatch("b"), "3");
  cluster.finish(step, "0");
  cluster.persist();
  for (const auto& [task, answer] : {std::pair("b", "1"), {"a", "2"}, {"b", "3"}}) {
    const RequestId request = cluster.confirm(run, {call(task)});
    cluster.persist();
    CHECK(cluster.step(request).origin == Origin::hit);
    CHECK(cluster.step(request).output == answer);
  }
}

TEST_CASE("what nobody asked for ends with the session, in one entry each",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next[""] = {prediction(call("b"), 0.95), prediction(call("c"), 0.92)};
  const RequestId first = cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.finish(cluster.take_dispatch("b"), "2");
  cluster.persist();
  CHECK(cluster.step(first).step == 0);
  cluster.input(ClientRequest{RequestId{900}, "default", EndSession{run}});
  cluster.input(ClientRequest{RequestId{901}, "default", ShowSession{run}});
  CHECK(cluster.answer(RequestId{900}) == nullptr);
  CHECK(cluster.answer(RequestId{901}) == nullptr);  // A crash may undo its end.
  cluster.persist();
  CHECK(std::get<SessionView>(*cluster.answer(RequestId{901})).ended);
  CHECK(std::get<SessionEnded>(*cluster.answer(RequestId{900})).steps == 1);
  CHECK(cluster.count_entries("discard", "cause", "session ended") == 2);
  CHECK(cluster.cancels() == 1);
  CHECK(cluster.predictor->ended == 1);
}

TEST_CASE("a write drops what read the same thing, finished or not", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next[""] = {prediction(call("get", R"({"key":"k"})"), 0.95),
                                 prediction(call("get", R"({"key":"other"})"), 0.95)};
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.finish(cluster.take_dispatch("get"), "old");
  cluster.persist();
  const RequestId put = cluster.confirm(run, {call("put", R"({"key":"k"})")});
  CHECK(cluster.count_entries("discard", "cause", "stale") == 1);
  CHECK_FALSE(cluster.has_dispatch("put"));  // Its intent is not durable.
  cluster.persist();
  const Dispatch write = cluster.take_dispatch("put");
  CHECK(write.outside_key.size() == 64);
  CHECK_FALSE(write.speculative);
  // While it runs nothing that reads it starts.
  std::erase_if(cluster.dispatches, [](const Dispatch& d) { return d.input != R"({"key":"k"})"; });
  CHECK_FALSE(cluster.has_dispatch("get"));
  cluster.finish(write, "null");
  cluster.persist();
  CHECK(cluster.step(put).failed == false);
  CHECK(cluster.take_dispatch("get").input == R"({"key":"k"})");
}

TEST_CASE("a wrong premise takes all that hangs under it along", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  Prediction follows = prediction(call("b"), 1.0);
  follows.premise = output(R"({"label":"x"})");
  follows.premise_probability = 0.95;
  cluster.predictor->next["a"] = {follows};
  cluster.predictor->next["b"] = {prediction(call("c"), 0.99)};
  cluster.confirm(run, {call("a")});
  const Dispatch step = cluster.take_dispatch("a");
  CHECK(cluster.has_dispatch("b"));
  CHECK(cluster.has_dispatch("c"));
  cluster.predictor->next.clear();
  cluster.finish(step, R"({"label":"y"})");
  CHECK(cluster.count_entries("discard", "cause", "wrong") == 2);
  CHECK(cluster.cancels() == 2);
}

TEST_CASE("a right premise lives on", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  Prediction follows = prediction(call("b"), 1.0);
  follows.premise = output(R"({"label":"x"})");
  follows.premise_probability = 0.95;
  cluster.predictor->next["a"] = {follows};
  cluster.confirm(run, {call("a")});
  const Dispatch step = cluster.take_dispatch("a");
  const Dispatch ahead = cluster.take_dispatch("b");
  cluster.predictor->next = {{"", {prediction(call("b"), 0.99)}}};
  cluster.finish(ahead, "2");
  cluster.finish(step, R"({"label":"x"})");
  cluster.persist();
  const RequestId second = cluster.confirm(run, {call("b")});
  cluster.persist();
  CHECK(cluster.step(second).origin == Origin::hit);
}

TEST_CASE("what is expected whatever the output outlives a wrong premise",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1, 8);
  cluster.earn();
  const RunId run = cluster.open();
  const auto under = [](const std::string& text, double probability) {
    Prediction follows = prediction(call("b"), 0.96);
    follows.premise = output(text);
    follows.premise_probability = probability;
    return follows;
  };
  // In each order, and as it starts as well as when it is looked at again.
  const std::vector<Prediction> follows =
      GENERATE_REF(std::vector{prediction(call("b"), 0.95), under(R"({"label":"x"})", 0.5)},
                   std::vector{under(R"({"label":"x"})", 0.97), prediction(call("b"), 0.9)},
                   std::vector{under(R"({"label":"x"})", 0.97), under(R"({"label":"z"})", 0.4)});
  const bool is_looked_at_again = GENERATE(false, true);
  cluster.predictor->next["a"] = follows;
  cluster.confirm(run, {call("a")});
  const Dispatch step = cluster.take_dispatch("a");
  const Dispatch ahead = cluster.take_dispatch("b");
  if (is_looked_at_again) {
    cluster.input(ClientRequest{RequestId{8'000'000}, "default", AddText{run, "more"}});
  }
  cluster.predictor->next = {{"", {prediction(call("b"), 0.99)}}};
  cluster.finish(step, R"({"label":"y"})");
  CHECK(cluster.count_entries("discard") == 0);
  cluster.finish(ahead, "2");
  cluster.persist();
  const RequestId second = cluster.confirm(run, {call("b")});
  cluster.persist();
  CHECK(cluster.step(second).origin == Origin::hit);
}

TEST_CASE("free slots go to who has waited longest, in whatever pool", "[coordinator_machine]") {
  std::vector<Task> tasks(2);
  tasks[0].name = "a";
  tasks[0].pool = "z";
  tasks[1].name = "b";
  for (Task& task : tasks) {
    task.executor = ExecutorKind::native;
    task.function = task.name;
    task.effect = Effect::pure;
  }
  Pool pool;
  pool.name = "z";
  pool.in_flight_max = 4;
  auto catalog = Catalog::make(tasks, {}, {pool});
  REQUIRE(catalog.has_value());
  ScriptedCluster cluster(ScriptedCluster::settings_of(*catalog));
  cluster.join(1, 1);
  for (const char* task : {"b", "a", "b", "a", "b"}) {
    cluster.confirm(cluster.open(SpeculationMode::off), {call(task)});
  }
  for (const char* task : {"b", "a", "b", "a", "b"}) {
    REQUIRE(cluster.dispatches.size() == 1);
    cluster.finish(cluster.take_dispatch(task), "1");
    cluster.persist();
  }
}

TEST_CASE("confirmed work never waits behind speculation", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1, 1);
  const RunId run = cluster.open();
  const RunId other = cluster.open(SpeculationMode::off);
  cluster.predictor->next[""] = {prediction(call("b"), 0.95)};
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  const Dispatch ahead = cluster.take_dispatch("b");
  cluster.predictor->next.clear();
  cluster.persist();
  cluster.confirm(other, {call("c")});
  CHECK(cluster.cancels() == 1);
  CHECK(cluster.count_entries("discard", "cause", "pre-empted") == 1);
  CHECK_FALSE(cluster.has_dispatch("c"));
  cluster.end(ahead, Ending::cancelled);
  CHECK(cluster.has_dispatch("c"));
}

TEST_CASE("a lost node's confirmed branch runs elsewhere", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  cluster.join(2);
  const RunId run = cluster.open();
  const RequestId request = cluster.confirm(run, {call("a")});
  const Dispatch first = cluster.take_dispatch("a");
  cluster.input(NodeUnreachable{ConnectionId{first.worker.uuid.bytes[0]}});
  const Dispatch second = cluster.take_dispatch("a");
  CHECK(second.worker != first.worker);
  cluster.finish(second, "1");
  cluster.persist();
  CHECK(cluster.step(request).output == "1");
}

TEST_CASE("a write whose node is lost is not run again unless it says that it may",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  cluster.join(2);
  const RunId run = cluster.open();
  const RequestId once = cluster.confirm(run, {call("put", R"({"key":"k"})")});
  cluster.persist();
  const Dispatch first = cluster.take_dispatch("put");
  cluster.input(NodeUnreachable{ConnectionId{first.worker.uuid.bytes[0]}});
  cluster.persist();
  CHECK_FALSE(cluster.has_dispatch("put"));
  CHECK(cluster.step(once).failed);
  CHECK(cluster.step(once).causes.front()->starts_with("unknown"));
  cluster.join(3);
  const RequestId again = cluster.confirm(run, {call("put_again", R"({"key":"k"})")});
  cluster.persist();
  const Dispatch attempt = cluster.take_dispatch("put_again");
  cluster.end(attempt, Ending::lost, "crashed");
  const Dispatch retry = cluster.take_dispatch("put_again");
  CHECK(retry.outside_key == attempt.outside_key);
  cluster.finish(retry, "null");
  cluster.persist();
  CHECK_FALSE(cluster.step(again).failed);
}

TEST_CASE("a silent node is lost within three seconds", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  cluster.pass(1900ms);
  CHECK(cluster.machine->membership().nodes().size() == 1);
  cluster.pass(1100ms);
  CHECK(cluster.machine->membership().nodes().empty());
}

TEST_CASE("an ordered race falls back and records what it did not need as null",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  const RequestId sure = cluster.confirm(run, {call("answer")});
  const Dispatch slow = cluster.take_dispatch("slow");
  cluster.finish(slow, R"({"by":"slow"})");
  CHECK(cluster.count_entries("commit") == 0);  // The preferred branch has not settled.
  cluster.finish(cluster.take_dispatch("fast"), R"({"sure":true})");
  cluster.persist();
  CHECK(cluster.step(sure).winner == "fast");
  const RequestId unsure = cluster.confirm(run, {call("answer", R"({"n":2})")});
  cluster.finish(cluster.take_dispatch("fast"), R"({"sure":false})");
  cluster.finish(cluster.take_dispatch("slow"), R"({"by":"slow"})");
  cluster.persist();
  CHECK(cluster.step(unsure).winner == "slow");
  const auto entries = cluster.entries();
  CHECK(*entries[entries.size() - 2].find("branch_validities") ==
        json::Value(json::Array{true, nullptr}));
  CHECK(*entries.back().find("branch_validities") == json::Value(json::Array{false, true}));
}

TEST_CASE("a list shares its place and runs side by side, in order where it conflicts",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1, 8);
  const RunId run = cluster.open();
  const RequestId list =
      cluster.confirm(run, {call("a"), call("put", R"({"key":"k"})"), call("get", R"({"key":"k"})"),
                            call("get", R"({"key":"z"})")});
  cluster.persist();
  CHECK(cluster.has_dispatch("a"));
  CHECK(cluster.take_dispatch("get").input == R"({"key":"z"})");
  CHECK_FALSE(cluster.has_dispatch("get"));
  cluster.finish(cluster.take_dispatch("put"), "null");
  CHECK_FALSE(cluster.has_dispatch("get"));  // Commits are in step order, and step 0 still runs.
  cluster.finish(cluster.take_dispatch("a"), "1");
  CHECK(cluster.has_dispatch("get"));
  CHECK(cluster.answer(list) == nullptr);
}

TEST_CASE("a retry with the same key joins what runs and returns what was",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  const RequestId first = cluster.confirm(run, {call("a")}, "key-1");
  const RequestId joined = cluster.confirm(run, {call("a")}, "key-1");
  const RequestId other = cluster.confirm(run, {call("b")}, "key-1");
  CHECK(std::get<RequestFailed>(*cluster.answer(other)).refusal == Refusal::key_reused);
  cluster.finish(cluster.take_dispatch("a"), "1");
  CHECK_FALSE(cluster.has_dispatch("a"));
  cluster.persist();
  const RequestId later = cluster.confirm(run, {call("a")}, "key-1");
  for (const RequestId request : {first, joined, later}) {
    CHECK(cluster.step(request).step == 0);
    CHECK(cluster.step(request).output == "1");
  }
  CHECK(cluster.count_entries("commit") == 1);
}

TEST_CASE("of an open session the latest answers are in memory, older ones in the store",
          "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.answers_per_session_max = 2;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  const RunId run = cluster.open();
  const auto confirm = [&](std::vector<Call> calls, const std::string& key) {
    const std::size_t count = calls.size();
    const RequestId request = cluster.confirm(run, std::move(calls), key);
    for (std::size_t i = 0; i < count; ++i) {
      cluster.finish(cluster.take_dispatch("a"), "1");
    }
    cluster.persist();
    return request;
  };
  const auto show = [&] {
    const RequestId request{7'000'000};
    cluster.input(ClientRequest{request, "default", ShowSession{run}});
    return cluster.answer(request);
  };
  confirm({call("a")}, "key-0");
  confirm({call("a")}, "key-1");
  REQUIRE(show() != nullptr);
  CHECK(std::get<SessionView>(*show()).steps.size() == 2);
  // A list is answered whole, however long it is.
  const RequestId list = confirm({call("a"), call("a"), call("a"), call("a")}, "list");
  CHECK(std::get<StepAnswers>(*cluster.answer(list)).steps.size() == 4);
  confirm({call("a")}, "key-6");
  const auto retried = [&](std::vector<Call> calls, const std::string& key) {
    cluster.asked_of_store.clear();
    const RequestId request = cluster.confirm(run, std::move(calls), key);
    return std::pair(cluster.answer(request), cluster.asked_of_store);
  };
  const auto [latest, nothing] = retried({call("a")}, "key-6");
  REQUIRE(latest != nullptr);
  CHECK(std::get<StepAnswers>(*latest).steps.at(0).step == 6);
  CHECK(nothing.empty());
  const auto range = [](const std::vector<ServeSession>& asked) {
    REQUIRE(asked.size() == 1);
    const auto steps = std::get<ServeSession::Steps>(asked.front().what);
    return std::pair(steps.first, steps.count);
  };
  const auto [early, first] = retried({call("a")}, "key-0");
  CHECK(early == nullptr);
  CHECK(range(first) == std::pair(0U, 1U));
  const auto [whole, all] = retried({call("a"), call("a"), call("a"), call("a")}, "list");
  CHECK(whole == nullptr);
  CHECK(range(all) == std::pair(2U, 4U));
  CHECK(cluster.count_entries("commit") == 7);
  // After a restart as well, and the next step follows.
  cluster.crash_and_restart();
  cluster.join(1);
  CHECK(range(retried({call("a")}, "key-0").second) == std::pair(0U, 1U));
  CHECK(cluster.step(confirm({call("a")}, "key-7")).step == 7);
}

TEST_CASE("a cut list whose first answers were not kept over the crash is answered from the store",
          "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.answers_per_session_max = 1;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  const RunId run = cluster.open();
  const std::vector<Call> list(4, call("a"));
  cluster.confirm(run, list, "list");
  for (int i = 0; i < 3; ++i) {
    cluster.finish(cluster.take_dispatch("a"), "1");
  }
  cluster.persist();
  cluster.crash_and_restart();
  cluster.join(1);
  const RequestId again = cluster.confirm(run, list, "list");
  CHECK(cluster.asked_of_store.empty());
  cluster.finish(cluster.take_dispatch("a"), "2");
  CHECK(cluster.asked_of_store.empty());
  cluster.persist();
  CHECK(cluster.answer(again) == nullptr);
  REQUIRE(cluster.asked_of_store.size() == 1);
  CHECK(cluster.asked_of_store.front().request == again);
  const auto steps = std::get<ServeSession::Steps>(cluster.asked_of_store.front().what);
  CHECK(std::tuple(steps.first, steps.count, steps.is_list) == std::tuple(0U, 4U, true));
  CHECK(cluster.count_entries("commit") == 4);
}

TEST_CASE("a list that a crash cut does not go on with a task that is gone, until it is back",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  const std::vector<Call> list = {call("a"), call("b")};
  cluster.confirm(run, list, "list");
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  Task a;
  a.name = "a";
  a.executor = ExecutorKind::native;
  a.function = "a";
  a.effect = Effect::pure;
  const auto without = Catalog::make({a}, {}, {});
  REQUIRE(without);
  cluster.crash_and_restart(*without);
  cluster.join(1);
  const auto* refused =
      std::get_if<RequestFailed>(cluster.answer(cluster.confirm(run, list, "list")));
  REQUIRE(refused != nullptr);
  CHECK(refused->refusal == Refusal::not_found);
  CHECK_THAT(refused->message, Catch::Contains("b"));
  cluster.crash_and_restart(ScriptedCluster::default_catalog());
  cluster.join(1);
  const RequestId again = cluster.confirm(run, list, "list");
  cluster.finish(cluster.take_dispatch("b"), "2");
  cluster.persist();
  CHECK(std::get<StepAnswers>(*cluster.answer(again)).steps.size() == 2);
}

TEST_CASE("a start is refused while the catalog lacks a write that was under way",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  CoordinatorRecovery recovery;
  const auto check = [&](const std::string& task, bool is_write) {
    recovery.intents = {
        {{WorkerId{}, 1}, StepNumber{3}, call(task).canonical(), is_write, "", {}, 3, 1}};
    const auto checked = cluster.machine->check_intents(recovery);
    return checked ? std::string() : checked.error().message;
  };
  CHECK(check("gone", false).empty());
  CHECK_THAT(check("gone", true), Catch::Contains("step 3") && Catch::Contains("`gone`") &&
                                      Catch::Contains("put it back"));
  CHECK_THAT(check("a", true), Catch::Contains("only reads"));
}

TEST_CASE("of a session that is not in memory a key and a second end are asked of the store",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  const RequestId first = cluster.confirm(run, {call("a")}, "key");
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  REQUIRE(cluster.answer(first) != nullptr);
  // Another tenant's is none: it must not be told from one that never was.
  ConfirmCalls theirs;
  theirs.run_id = run;
  theirs.calls = {call("a")};
  theirs.idempotency_key = "key";
  cluster.input(ClientRequest{RequestId{898}, "other", theirs});
  cluster.input(ClientRequest{RequestId{899}, "other", EndSession{run}});
  CHECK(cluster.asked_of_store.size() == 2);
  CHECK(cluster.answer(RequestId{898}) == nullptr);
  cluster.asked_of_store.clear();
  cluster.input(ClientRequest{RequestId{900}, "default", EndSession{run}});
  cluster.persist();
  cluster.crash_and_restart();
  cluster.join(1);
  const RequestId again = cluster.confirm(run, {call("a")}, "key");
  cluster.input(ClientRequest{RequestId{901}, "default", EndSession{run}});
  REQUIRE(cluster.asked_of_store.size() == 2);
  CHECK(cluster.asked_of_store[0].request == again);
  CHECK(std::get<ServeSession::Keyed>(cluster.asked_of_store[0].what).key == "key");
  CHECK(std::holds_alternative<ServeSession::Ended>(cluster.asked_of_store[1].what));
  // Without a key nothing can be known of it.
  const auto* unknown =
      std::get_if<RequestFailed>(cluster.answer(cluster.confirm(run, {call("a")})));
  REQUIRE(unknown != nullptr);
  CHECK(unknown->refusal == Refusal::not_found);
}

TEST_CASE("a list that a crash cut goes on, ends where another request begins, or with its session",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  const std::vector<Call> list = {call("a"), call("b"), call("c")};
  cluster.confirm(run, list, "list");
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  cluster.crash_and_restart();
  cluster.join(1);
  const auto steps_of = [&cluster](RequestId request) {
    REQUIRE(cluster.answer(request) != nullptr);
    return std::get<StepAnswers>(*cluster.answer(request)).steps.size();
  };
  SECTION("who waits for the rest is answered, whatever is asked before it is durable") {
    const RequestId again = cluster.confirm(run, list, "list");
    cluster.finish(cluster.take_dispatch("b"), "2");
    cluster.finish(cluster.take_dispatch("c"), "3");
    const RequestId next = cluster.confirm(run, {call("a")}, "next");
    cluster.finish(cluster.take_dispatch("a"), "4");
    cluster.persist();
    CHECK(steps_of(again) == 3);
    CHECK(cluster.step(next).step == 3);
  }
  SECTION("another request ends it, for good") {
    for (const char* key : {"next", "next but one"}) {
      cluster.confirm(run, {call("a")}, key);
      cluster.finish(cluster.take_dispatch("a"), "5");
    }
    cluster.persist();
    CHECK(steps_of(cluster.confirm(run, list, "list")) == 1);
    cluster.crash_and_restart();
    cluster.join(1);
    CHECK(steps_of(cluster.confirm(run, list, "list")) == 1);
  }
  SECTION("nothing of it runs in a session that has ended") {
    cluster.input(ClientRequest{RequestId{7'000'000}, "default", EndSession{run}});
    const RequestId again = cluster.confirm(run, list, "list");
    CHECK_FALSE(cluster.has_dispatch("b"));
    REQUIRE(cluster.answer(again) != nullptr);
    CHECK(std::get<RequestFailed>(*cluster.answer(again)).refusal == Refusal::conflict);
  }
}

TEST_CASE("of an open session the answers in memory are bounded in bytes",
          "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.answer_bytes_per_session_max = 1000;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  const RunId run = cluster.open();
  const auto confirm = [&](const std::string& key, std::size_t bytes) {
    const RequestId request = cluster.confirm(run, {call("a")}, key);
    cluster.finish(cluster.take_dispatch("a"), '"' + std::string(bytes, 'x') + '"');
    cluster.persist();
    return cluster.step(request).output.size();
  };
  const auto is_in_memory = [&](const std::string& key, std::size_t count = 1) {
    cluster.asked_of_store.clear();
    const RequestId request = cluster.confirm(run, std::vector<Call>(count, call("a")), key);
    CHECK((cluster.answer(request) != nullptr) == cluster.asked_of_store.empty());
    return cluster.asked_of_store.empty();
  };
  confirm("key-0", 400);
  confirm("key-1", 400);
  CHECK(is_in_memory("key-0"));
  confirm("key-2", 400);
  CHECK_FALSE(is_in_memory("key-0"));
  CHECK(is_in_memory("key-1"));
  CHECK(is_in_memory("key-2"));
  // One alone may be too large to be kept; who waits for it gets it.
  CHECK(confirm("key-3", 2000) == 2002);
  CHECK_FALSE(is_in_memory("key-2"));
  CHECK_FALSE(is_in_memory("key-3"));
  confirm("key-4", 10);
  CHECK(is_in_memory("key-4"));
  // A list is answered whole, though its first steps are durable before its last.
  const RequestId list = cluster.confirm(run, {call("a"), call("a"), call("a")}, "list");
  for (int i = 0; i < 3; ++i) {
    cluster.finish(cluster.take_dispatch("a"), '"' + std::string(2000, 'x') + '"');
    cluster.persist();
  }
  REQUIRE(cluster.answer(list) != nullptr);
  CHECK(std::get<StepAnswers>(*cluster.answer(list)).steps.size() == 3);
  CHECK_FALSE(is_in_memory("list", 3));
  CHECK(cluster.count_entries("commit") == 8);
}

TEST_CASE("a retry expects the step that the first request expected", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  ConfirmCalls body;
  body.run_id = run;
  body.calls = {call("a")};
  body.idempotency_key = "key-1";
  body.expect_step = 0;
  cluster.input(ClientRequest{RequestId{900}, "default", body});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  cluster.input(ClientRequest{RequestId{901}, "default", body});
  CHECK(cluster.step(RequestId{901}).step == 0);  // Also now, when the next step is another one.
  for (const std::optional<std::uint32_t> other : {std::optional<std::uint32_t>(1), {}}) {
    body.expect_step = other;
    cluster.input(ClientRequest{RequestId{902 + other.value_or(0)}, "default", body});
    CHECK(std::get<RequestFailed>(*cluster.answer(RequestId{902 + other.value_or(0)})).refusal ==
          Refusal::key_reused);
  }
}

TEST_CASE("only the next step is confirmed", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  ConfirmCalls body;
  body.run_id = run;
  body.calls = {call("a")};
  body.expect_step = 1;
  cluster.input(ClientRequest{RequestId{900}, "default", body});
  CHECK(std::get<RequestFailed>(*cluster.answer(RequestId{900})).refusal == Refusal::conflict);
  cluster.confirm(run, {call("a")});
  const RequestId second = cluster.confirm(run, {call("b")});
  CHECK(std::get<RequestFailed>(*cluster.answer(second)).refusal == Refusal::conflict);
  body.expect_step.reset();
  cluster.input(ClientRequest{RequestId{901}, "someone else", body});
  CHECK(std::get<RequestFailed>(*cluster.answer(RequestId{901})).refusal == Refusal::not_found);
  const RequestId unknown = cluster.confirm(run, {call("aa")});
  CHECK(std::get<RequestFailed>(*cluster.answer(unknown)).refusal == Refusal::not_found);
}

TEST_CASE("results of an older term or of a settled branch change nothing",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  cluster.confirm(run, {call("a")});
  Dispatch dispatch = cluster.take_dispatch("a");
  Dispatch old = dispatch;
  old.epoch = Epoch{0};
  cluster.finish(old, "99");
  CHECK(cluster.count_entries("commit") == 0);
  cluster.finish(dispatch, "1");
  cluster.finish(dispatch, "2");
  CHECK(cluster.count_entries("commit") == 1);
  CHECK(cluster.machine->membership().free_slots() == 4);
}

TEST_CASE("after a crash acknowledged steps stand, the term rises and run IDs go on",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  const RequestId first = cluster.confirm(run, {call("a")}, "key-1");
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  const Digest decided = cluster.step(first).decision_hash;
  cluster.confirm(run, {call("b")}, "key-2");
  cluster.finish(cluster.take_dispatch("b"),
                 "2");  // Decided, not durable: it must be as if it never was.
  cluster.crash_and_restart();
  CHECK(cluster.count_entries("epoch") == 2);
  cluster.join(1);
  const RequestId retried = cluster.confirm(run, {call("a")}, "key-1");
  CHECK(cluster.step(retried).decision_hash == decided);
  const RequestId second = cluster.confirm(run, {call("b")}, "key-2");
  cluster.finish(cluster.take_dispatch("b"), "2");
  cluster.persist();
  CHECK(cluster.step(second).step == 1);
  CHECK(cluster.open().counter >
        run.counter + 1);  // A new block: what lay below the mark may have been used.
}

TEST_CASE("a write in flight at a crash ends as unknown, or runs again with its key",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId once = cluster.open();
  const RunId again = cluster.open();
  cluster.confirm(once, {call("a"), call("put", R"({"key":"k"})")}, "key-1");
  cluster.confirm(again, {call("put_again", R"({"key":"z"})")}, "key-2");
  cluster.persist();
  const std::string outside_key = cluster.take_dispatch("put_again").outside_key;
  cluster.crash_and_restart();
  cluster.join(1);
  cluster.persist();
  const Dispatch retried = cluster.take_dispatch("put_again");
  CHECK(retried.outside_key == outside_key);
  CHECK_FALSE(cluster.has_dispatch("put"));
  cluster.finish(cluster.take_dispatch("a"),
                 "1");  // Confirmed before the write, so it is decided before it.
  cluster.finish(retried, "null");
  cluster.persist();
  const RequestId answered =
      cluster.confirm(once, {call("a"), call("put", R"({"key":"k"})")}, "key-1");
  const auto& steps = std::get<StepAnswers>(*cluster.answer(answered)).steps;
  REQUIRE(steps.size() == 2);
  CHECK_FALSE(steps[0].failed);
  CHECK(steps[1].failed);
  CHECK(steps[1].causes.front()->starts_with("unknown"));
}

TEST_CASE("a restarted node whose old connection is closed is let in at once",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  Join next;
  next.name = "next start";
  next.instance = 77;
  next.workers = {{run.home, 4, 0}};
  cluster.input(NodeSaid{ConnectionId{51}, {"n1"}, next});
  // The old connection is asked, by a message that means nothing.
  const ToNode asked = cluster.sent.back();
  CHECK(asked.connection == ConnectionId{1});
  CHECK(asked.message == CoordinatorMessage(Entries{Seq{0}, {}, std::nullopt}));
  cluster.input(NodeUnreachable{ConnectionId{1}});
  CHECK(cluster.sent.back().connection == ConnectionId{51});
  CHECK(std::holds_alternative<Welcome>(cluster.sent.back().message));
}

TEST_CASE("a node of another protocol is refused, and told both versions",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  Join join;
  join.protocol = protocol_version + 1;
  join.name = "newer";
  join.workers = {{WorkerId{Uuid{{5}}}, 4, 0}};
  cluster.input(NodeSaid{ConnectionId{50}, {"other"}, join});
  cluster.pass(100ms);
  const auto* refused = std::get_if<JoinRefused>(&cluster.sent.back().message);
  REQUIRE(refused != nullptr);
  CHECK(refused->why ==
        "join: node newer: protocol 2, expected 1: run the same version on coordinator and nodes");
}

TEST_CASE("a live worker's copy is refused, a restarted one is let in", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  const RunId run = cluster.open();
  Join copy;
  copy.name = "copy";
  copy.instance = 77;
  copy.workers = {{run.home, 4, 0}};
  cluster.input(NodeSaid{ConnectionId{50}, {"n1"}, copy});
  cluster.pass(100ms);
  cluster.input(NodeSaid{ConnectionId{1}, {"n1"}, Heartbeat{cluster.machine->epoch(), {}, {}, {}}});
  cluster.pass(100ms);
  const auto* refused = std::get_if<JoinRefused>(&cluster.sent.back().message);
  REQUIRE(refused != nullptr);
  CHECK(refused->why.find("already served") != std::string::npos);
  // The first one falls silent: its next start takes its place.
  copy.instance = 78;
  cluster.input(NodeSaid{ConnectionId{51}, {"n1"}, copy});
  cluster.pass(900ms);
  CHECK(std::holds_alternative<Welcome>(cluster.sent.back().message));
}

TEST_CASE("an allowed node cannot take another one's worker, also not while that one is away",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  const auto allow = [&](std::map<NodeId, std::string> names) {
    cluster.input(NodesAllowed{std::move(names)});
  };
  std::uint64_t connection = 50;
  const auto joins = [&](const NodeId& node, const RunId& run) {
    Join join;
    join.name = "claims to be node-1";
    join.instance = ++connection;
    join.workers = {{run.home, 4, 0}};
    cluster.input(NodeSaid{ConnectionId{connection}, node, join});
    cluster.pass(900ms);
    cluster.persist();
    const auto* refused = std::get_if<JoinRefused>(&cluster.sent.back().message);
    return refused == nullptr ? std::string() : refused->why;
  };
  allow({{{"n1"}, "node-1"}, {{"n2"}, "node-2"}});
  cluster.join(1);
  const RunId run = cluster.open();
  CHECK_THAT(joins({"n2"}, run), Catch::Contains("belongs to the key n1 (node-1), found n2"));
  CHECK_THAT(cluster.log.back(), Catch::Contains("belongs to the key n1"));
  cluster.input(NodeUnreachable{ConnectionId{1}});
  const std::size_t logged = cluster.log.size();
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(joins({"n2"}, run).empty());
  }
  CHECK(cluster.log.size() == logged);  // Once is enough.
  // Neither a restart nor the end of the key changes that for another name.
  cluster.crash_and_restart();
  allow({{{"n1"}, "node-1"}, {{"n2"}, "node-2"}});
  CHECK_FALSE(joins({"n2"}, run).empty());
  allow({{{"n2"}, "node-2"}});
  CHECK_FALSE(joins({"n2"}, run).empty());
  // Its own node comes back under another key of its name.
  allow({{{"n2"}, "node-2"}, {{"n3"}, "node-1"}});
  CHECK(joins({"n3"}, run).empty());
  CHECK(cluster.machine->membership().worker(run.home)->node == NodeId{"n3"});
  cluster.crash_and_restart();
  allow({{{"n1"}, "node-3"}, {{"n3"}, "node-1"}});
  CHECK_FALSE(joins({"n1"}, run).empty());
  CHECK(joins({"n3"}, run).empty());
}

TEST_CASE("calls that wait are bounded in bytes, and what was decided makes room again",
          "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.waiting_bytes_max = 1000;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  const Call large = call("a", R"({"text":")" + std::string(380, 'x') + "\"}");
  const auto ask = [&](const Call& asked) {
    return cluster.confirm(cluster.open(SpeculationMode::off), {asked});
  };
  const RequestId first = ask(large);
  ask(large);
  const auto& refused = std::get<RequestFailed>(*cluster.answer(ask(large)));
  CHECK(refused.refusal == Refusal::overloaded);
  CHECK(refused.retry_after > Duration::zero());
  CHECK_THAT(refused.message, Catch::Contains("expected at most 1000 bytes that wait"));
  const auto& never = std::get<RequestFailed>(
      *cluster.answer(ask(call("a", R"({"text":")" + std::string(1000, 'x') + "\"}"))));
  CHECK(never.refusal == Refusal::too_large);
  // A client that leaves frees nothing: its step goes on.
  cluster.input(ClientLeft{first});
  CHECK(cluster.answer(ask(large)) != nullptr);
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  CHECK(cluster.answer(ask(large)) == nullptr);
}

TEST_CASE("contexts and states of open sessions are bounded in bytes, and an ended one makes room",
          "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.open_bytes_max = 1000;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  std::uint64_t asked = 900;
  const auto open = [&](const std::string& context, const char* state) {
    OpenSession body;
    body.context = context;
    body.state = SessionState::parse(state).value();
    cluster.input(ClientRequest{RequestId{++asked}, "default", body});
    cluster.persist();
    return *cluster.answer(RequestId{asked});
  };
  const ResponseBody first = open(std::string(600, 'c'), "{}");
  REQUIRE(std::holds_alternative<SessionOpened>(first));
  const std::string state = R"({"note":")" + std::string(400, 's') + "\"}";
  REQUIRE(std::holds_alternative<SessionOpened>(open("", state.c_str())));
  const auto is_refused = [&] {
    const ResponseBody answer = open("", "{}");
    const auto* refused = std::get_if<RequestFailed>(&answer);
    if (refused != nullptr) {
      CHECK(refused->refusal == Refusal::overloaded);
      CHECK(refused->retry_after > Duration::zero());
      CHECK_THAT(refused->message, Catch::Contains("hold less than 1000 bytes"));
    }
    return refused != nullptr;
  };
  CHECK(is_refused());
  cluster.crash_and_restart();
  cluster.join(1);
  CHECK(is_refused());
  cluster.input(ClientRequest{RequestId{++asked}, "default",
                              EndSession{std::get<SessionOpened>(first).run_id}});
  cluster.persist();
  CHECK_FALSE(is_refused());
}

TEST_CASE("sessions that wait to be opened are bounded in bytes", "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.waiting_bytes_max = 1000;
  ScriptedCluster cluster(settings);
  Join join;
  join.name = "node-1";
  join.instance = 1;
  join.workers = {{WorkerId{Uuid{{1}}}, 4, 0}};
  cluster.input(NodeSaid{ConnectionId{40}, {"n1"}, join});  // Its run IDs are not durable yet.
  const auto open = [&](std::uint64_t id, std::string key) {
    OpenSession body;
    body.context = std::string(600, 'c');
    body.idempotency_key = std::move(key);
    cluster.input(ClientRequest{RequestId{id}, "default", body});
    return cluster.answer(RequestId{id});
  };
  CHECK(open(901, "") == nullptr);
  const ResponseBody* refused = open(902, "");
  REQUIRE(refused != nullptr);
  CHECK(std::get<RequestFailed>(*refused).refusal == Refusal::overloaded);
  cluster.input(ClientLeft{RequestId{901}});
  CHECK(open(903, "k") == nullptr);
  CHECK(open(904, "") != nullptr);
}

TEST_CASE("one tenant's opening keys never push out another's", "[coordinator_machine]") {
  OpeningKeys keys(10);
  const auto put = [&](const std::string& tenant, const std::string& key) {
    keys.put(tenant, key, {Digest{}, std::nullopt});
  };
  for (int i = 0; i < 3; ++i) {
    put("acme", "k" + std::to_string(i));
  }
  for (int i = 0; i < 1000; ++i) {
    put("globex", "k" + std::to_string(i));
  }
  CHECK(keys.size() == 10);
  for (int i = 0; i < 3; ++i) {
    CHECK(keys.find("acme", "k" + std::to_string(i)) != nullptr);
  }
  CHECK(keys.find("globex", "k992") == nullptr);
  CHECK(keys.find("globex", "k993") != nullptr);
  // A tenant that grows gets its share, and of its own keys the oldest goes.
  for (int i = 3; i < 100; ++i) {
    put("acme", "k" + std::to_string(i));
  }
  CHECK(keys.size() == 10);
  CHECK(keys.find("globex", "k999") != nullptr);
  CHECK(keys.find("acme", "k99") != nullptr);
  CHECK(keys.find("acme", "k0") == nullptr);
  // The same key again is no other one.
  keys.put("acme", "k99", {Digest{}, RunId{{}, 7}});
  CHECK(keys.size() == 10);
  CHECK(keys.find("acme", "k99")->run_id == RunId{{}, 7});
  CHECK(keys.find("nobody", "k99") == nullptr);
}

TEST_CASE("a refusal tells no tenant how much the others do", "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.sessions_open_max = 37;
  settings.confirmed_waiting_max = 41;
  ScriptedCluster cluster(settings);
  cluster.join(1, 1);
  std::vector<RunId> runs;
  for (int i = 0; i < 37; ++i) {
    runs.push_back(cluster.open(SpeculationMode::off));
  }
  cluster.input(ClientRequest{RequestId{900}, "globex", OpenSession{}});
  CHECK(std::get<RequestFailed>(*cluster.answer(RequestId{900})).message ==
        "sessions: there is no room for one more, expected at most 37 that are open");
  for (int i = 0; i < 30; ++i) {
    cluster.confirm(runs[static_cast<std::size_t>(i)], {call("a")});
  }
  const std::vector<Call> many(20, call("a"));
  CHECK(std::get<RequestFailed>(*cluster.answer(cluster.confirm(runs[31], many))).message ==
        "calls: there is no room for one more, expected at most 41 that wait for a slot");
}

TEST_CASE("an exhausted budget ends what runs ahead", "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.admission.waste_ratio_max = 0.15;
  settings.admission.aim = 1.0;
  ScriptedCluster cluster(settings);
  cluster.join(1);
  const RunId run = cluster.open();
  cluster.predictor->next[""] = {prediction(call("b"), 0.95)};
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1", 1000ms);  // Earns 150 ms.
  CHECK(cluster.has_dispatch("b"));
  cluster.predictor->next.clear();
  cluster.pass(149ms);
  CHECK(cluster.has_dispatch("b"));
  cluster.pass(2ms);
  CHECK_FALSE(cluster.has_dispatch("b"));
  CHECK(cluster.count_entries("discard") == 1);
  CHECK(cluster.machine->counters().wasted == 151ms);
}

TEST_CASE("an answer never waits for learning or looking ahead", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  cluster.earn();
  const RunId run = cluster.open();
  cluster.predictor->next["a"] = {prediction(call("b"), 0.95)};
  ConfirmCalls body;
  body.run_id = run;
  body.calls = {call("a")};
  const CoordinatorOutput output =
      cluster.machine->step(cluster.now, ClientRequest{RequestId{900}, "default", std::move(body)});
  REQUIRE(output.send.size() == 1);
  CHECK_FALSE(std::get<Dispatch>(output.send.front().message).speculative);
  REQUIRE(output.look_ahead);
  const CoordinatorOutput later = cluster.machine->step(cluster.now, LookAhead{});
  REQUIRE(later.send.size() == 1);
  CHECK(std::get<Dispatch>(later.send.front().message).speculative);
  CHECK_FALSE(later.look_ahead);
}

TEST_CASE("branch tokens of two terms never meet", "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  cluster.confirm(cluster.open(), {call("a")});
  const BranchToken before = cluster.take_dispatch("a").token;
  cluster.crash_and_restart();
  cluster.join(1);
  cluster.confirm(cluster.open(), {call("a")});
  CHECK(cluster.take_dispatch("a").token != before);
}

TEST_CASE("a session that no client asks for ends by itself, unless a step of it is open",
          "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.session_idle_max = 20s;
  settings.membership.silence_max = 1h;
  ScriptedCluster cluster(std::move(settings));
  cluster.join(1);
  cluster.earn();
  const RunId left = cluster.open();
  cluster.predictor->next["a"] = {prediction(call("b"), 0.95)};
  cluster.confirm(left, {call("a")});
  cluster.finish(cluster.take_dispatch("b"), "2");
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  cluster.pass(10s);
  const RunId busy = cluster.open();
  const RequestId open_step = cluster.confirm(busy, {call("c")});
  cluster.pass(9s);
  CHECK(cluster.count_entries("discard", "cause", "session ended") == 0);
  cluster.pass(2s);
  CHECK(cluster.count_entries("discard", "cause", "session ended") == 1);
  const RequestId late = cluster.confirm(left, {call("a")});
  CHECK(std::get<RequestFailed>(*cluster.answer(late)).refusal == Refusal::conflict);
  cluster.pass(15s);  // Longer than the limit, but its step is open.
  cluster.finish(cluster.take_dispatch("c"), "3");
  cluster.persist();
  CHECK(cluster.step(open_step).output == "3");
  const RequestId next = cluster.confirm(busy, {call("a")});
  CHECK(cluster.answer(next) == nullptr);
}

TEST_CASE("the record tells when a call was predicted, from what, and why one was not started",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1);
  cluster.earn();
  const RunId run = cluster.open();
  Prediction likely = prediction(call("b"), 0.95);
  likely.reasons = {"b after a: 95.0 %"};
  cluster.predictor->next["a"] = {likely, prediction(call("c"), 0.6)};
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("b"), "2", 40ms);
  cluster.finish(cluster.take_dispatch("a"), "1", 60ms);
  cluster.persist();
  cluster.predictor->next.clear();
  cluster.predictor->next[""] = {prediction(call("c"), 0.6)};
  cluster.confirm(run, {call("b")});
  cluster.persist();
  cluster.confirm(run, {call("c")});
  cluster.finish(cluster.take_dispatch("c"), "3");
  cluster.persist();
  const json::Value story = cluster.explanation(run);
  const json::Array& steps = *story.find("steps")->array();
  REQUIRE(steps.size() == 3);
  const json::Value& hit = *steps[1].find("foresight");
  CHECK(*hit.find("ahead_ms") == json::Value(100));
  CHECK(*hit.find("after_step") == json::Value(0));
  CHECK(*hit.find("reasons")->array()->at(0).string() == "b after a: 95.0 %");
  CHECK(*steps[2].find("foresight")->find("not_started")->string() == "too unlikely");
  const auto text = explanation_text(story, 1);
  REQUIRE(text.has_value());
  CHECK(text->find("started 100 ms before it was asked for") != std::string::npos);
  CHECK(explanation_text(story, 3).error().code == Errc::not_found);
}

namespace {

/// The told record of one race whose branches returned as these validities say.
json::Value told_race(SelectRule rule, std::vector<std::optional<bool>> validities,
                      std::vector<std::size_t> arrival, std::size_t winner) {
  CommitEntry commit;
  commit.run_id = RunId{WorkerId{Uuid{{1}}}, 1};
  commit.task = "race";
  commit.branch_names = {"a", "b"};
  commit.branch_latencies = {std::nullopt, std::nullopt};
  commit.branch_causes = {std::nullopt, std::nullopt};
  commit.workers = {std::nullopt, std::nullopt};
  commit.branch_validities = std::move(validities);
  commit.arrival_order = std::move(arrival);
  commit.select = rule;
  commit.winner = winner;
  commit.output_hash = sha256("1");
  commit.writes_hash = sha256(R"({"x":1})");
  StoredEntry stored;
  stored.leaf = leaf_of(Entry{Seq{1}, Epoch{1}, commit});
  stored.writes = R"({"x":1})";
  return explain(SessionRow{}, {{&stored, 1}, {}});
}

}  // namespace

TEST_CASE("the told record says how a race's winner follows from its rule",
          "[coordinator_machine]") {
  const auto told = [](const json::Value& story) { return *explanation_text(story, 0); };
  const ChainValue zeros;
  const std::string of_a = to_hex(rank_hash(zeros, "a")).substr(0, 8);
  const std::string of_b = to_hex(rank_hash(zeros, "b")).substr(0, 8);
  const std::string ranked = told(told_race(SelectRule::ranked, {true, std::nullopt}, {}, 0));
  const std::string a_first = "a (" + of_a + "…) b (" + of_b + "…)";
  const std::string b_first = "b (" + of_b + "…) a (" + of_a + "…)";
  CHECK_THAT(ranked, Catch::Contains("ranked by SHA-256(chain, name): " +
                                     (of_a < of_b ? a_first : b_first)));
  CHECK_THAT(ranked, Catch::Contains("  writes {\"x\":1}\n"));
  CHECK_THAT(told(told_race(SelectRule::seeded, {true, true}, {}, 0)),
             Catch::Contains("seeded: of the valid ones from 0 on, a b, the one at seed mod 2"));
  CHECK_THAT(told(told_race(SelectRule::first, {std::nullopt, true}, {1}, 1)),
             Catch::Contains("first to arrive, as recorded: b, of which the first valid"));
  CHECK_THAT(told(told_race(SelectRule::ordered, {true, std::nullopt}, {}, 0)),
             Catch::Contains("ordered as declared: a b,"));
}

TEST_CASE("a text that is not the decided one is not told for it", "[coordinator_machine]") {
  CommitEntry commit;
  commit.run_id = RunId{WorkerId{Uuid{{1}}}, 1};
  commit.task = "a";
  commit.branch_names = {"a"};
  commit.branch_latencies = {std::nullopt};
  commit.branch_causes = {std::nullopt};
  commit.workers = {std::nullopt};
  commit.branch_validities = {true};
  commit.winner = 0;
  commit.input_hash = call("a").hash();
  commit.output_hash = sha256("1");
  StoredEntry stored;
  stored.seq = Seq{7};
  stored.step = StepNumber{0};
  stored.leaf = leaf_of(Entry{Seq{7}, Epoch{1}, commit});
  stored.call = call("a").canonical();
  stored.output = "1";
  const auto told = [&] { return *explanation_text(explain(SessionRow{}, {{&stored, 1}, {}}), 0); };
  CHECK_THAT(told(), Catch::Contains("winner a"));
  const StoredEntry good = stored;
  stored.output = "2";
  CHECK_THAT(told(), Catch::Contains("its output in the store: found hash " + to_hex(sha256("2")) +
                                     ", expected " + to_hex(sha256("1"))));
  stored = good;
  stored.call = call("b").canonical();
  CHECK_THAT(told(), Catch::Contains("its call in the store"));
  stored = good;
  stored.writes = "{}";
  CHECK_THAT(told(), Catch::Contains("expected none: the store was changed"));
  stored = good;
  stored.call.clear();  // Erased: nothing is told, and nothing is wrong.
  CHECK_THAT(told(), Catch::Contains("(input erased)"));
}

TEST_CASE("a record that is not as Forerun writes it is told as far as it goes",
          "[coordinator_machine]") {
  StoredEntry damaged;
  damaged.seq = Seq{7};
  damaged.step = StepNumber{0};
  damaged.leaf = "{";
  CHECK_THAT(*explanation_text(explain(SessionRow{}, {{&damaged, 1}, {}}), 0),
             Catch::Contains("step 0: entry 7 does not hold: json: "));
  for (const char* strange :
       {R"({"steps":[{}],"discards":[]})", R"({"steps":[null],"discards":[1]})",
        R"({"steps":[{"foresight":1,"branches":[2]}],"discards":[{}]})"}) {
    CHECK(explanation_text(*json::parse(strange), std::nullopt).has_value());
    CHECK(explanation_text(*json::parse(strange), 0).error().code == Errc::not_found);
  }
}

TEST_CASE("races are logged once durable: a sampled share of sessions, and every slow winner",
          "[coordinator_machine]") {
  CommitEntry commit;
  commit.run_id = RunId{WorkerId{Uuid{{1}}}, 1};
  commit.branch_names = {"fast", "slow"};
  commit.branch_latencies = {5ms, 50ms};
  commit.branch_validities = {true, std::nullopt};
  commit.branch_causes = {std::nullopt, std::nullopt};
  commit.winner = 0;
  CHECK_FALSE(race_log_record(commit, 0.0));
  const auto record = race_log_record(commit, 1.0);
  REQUIRE(record.has_value());
  CHECK(record->find(R"("branch_latencies_ms":[5,50])") != std::string::npos);
  CHECK(record->find(R"("branch_validities":[true,null])") != std::string::npos);
  std::size_t told = 0;
  for (std::uint64_t counter = 0; counter < 2000; ++counter) {
    commit.run_id.counter = counter;
    told += race_log_record(commit, 0.1) ? 1 : 0;
  }
  CHECK(told > 140);
  CHECK(told < 260);
  commit.branch_validities = {false, true};
  commit.winner = 1;
  CHECK(race_log_record(commit, 0.0));
  commit.branch_names = {"slow"};
  CHECK_FALSE(race_log_record(commit, 1.0));

  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.race_log_share = 1.0;
  ScriptedCluster cluster(std::move(settings));
  cluster.join(1);
  cluster.confirm(cluster.open(), {call("answer")});
  cluster.finish(cluster.take_dispatch("fast"), R"({"sure":true})");
  CHECK(cluster.races.empty());
  cluster.persist();
  CHECK(cluster.races.size() == 1);
}

TEST_CASE("what becomes durable within a millisecond is published as one, and nothing is left",
          "[coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.publish_interval = 1ms;
  settings.head_interval = 1h;
  ScriptedCluster cluster(std::move(settings));
  cluster.join(1);
  const RunId run = cluster.open(SpeculationMode::off);
  cluster.pass(1ms);
  cluster.published.clear();
  for (const char* input : {R"({"n":1})", R"({"n":2})"}) {
    cluster.confirm(run, {call("a", input)});
    cluster.finish(cluster.take_dispatch("a"), "1", Duration{});
    cluster.persist();
  }
  CHECK(cluster.published.size() == 1);  // The first at once.
  cluster.pass(1ms);
  REQUIRE(cluster.published.size() == 2);
  CHECK(cluster.published[1].first.value ==
        cluster.published[0].first.value + cluster.published[0].records.size());
  CHECK(cluster.published[1].records.size() == 1);
}

TEST_CASE("a session whose client left before it was opened is there for a retry",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  const WorkerId worker{Uuid{{1}}};
  const ConnectionId connection{1};
  Join join;
  join.name = "node-1";
  join.workers = {{worker, 4, 0}};
  cluster.input(NodeSaid{connection, {"n1"}, join});
  OpenSession body;
  body.idempotency_key = "once";
  cluster.input(ClientRequest{RequestId{70}, "default", body});  // No run ID is reserved yet.
  cluster.input(ClientLeft{RequestId{70}});
  cluster.persist();
  const auto reserve = std::find_if(cluster.sent.begin(), cluster.sent.end(), [](const ToNode& to) {
    return std::holds_alternative<ReserveRunIds>(to.message);
  });
  REQUIRE(reserve != cluster.sent.end());
  cluster.input(NodeSaid{
      connection, {"n1"}, MarkStored{worker, std::get<ReserveRunIds>(reserve->message).mark}});
  cluster.input(ClientRequest{RequestId{71}, "default", body});
  cluster.persist();
  REQUIRE(cluster.answer(RequestId{71}) != nullptr);
  CHECK(std::holds_alternative<SessionOpened>(*cluster.answer(RequestId{71})));
}

TEST_CASE("a slot is free also when both the cancel and the result were lost",
          "[coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.join(1, 2);
  const RunId run = cluster.open(SpeculationMode::off);
  cluster.confirm(run, {call("answer")});
  const Dispatch slow = cluster.take_dispatch("slow");
  cluster.finish(cluster.take_dispatch("fast"), R"({"sure":true})");
  cluster.persist();
  REQUIRE(cluster.cancels() == 1);
  REQUIRE(cluster.machine->membership().free_slots() == 1);
  const auto beat = [&](std::vector<BranchToken> finished) {
    Heartbeat message;
    message.epoch = cluster.machine->epoch();
    message.finished = std::move(finished);
    cluster.input(NodeSaid{ConnectionId{1}, {"n1"}, message});
  };
  beat({slow.token});
  CHECK(cluster.cancels() == 2);
  cluster.now += 1s;
  beat({});
  CHECK(cluster.machine->membership().free_slots() == 2);
}

TEST_CASE("nothing starts where a session is expected to end, and that is the reason given",
          "[coordinator]") {
  ScriptedCluster cluster;
  cluster.join(1);
  cluster.earn();
  const auto count = [&](const char* reason) {
    const json::Value status = cluster.machine->status("default");
    const json::Value* counted = status.find("not_started")->find(reason);
    return counted == nullptr ? 0.0 : *counted->number();
  };
  const double unlikely = count("too unlikely");
  cluster.predictor->ends = 0.8;
  const RunId run = cluster.open();
  cluster.confirm(run, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  CHECK(count("session ends") > 0);
  CHECK(count("too unlikely") == unlikely);
  const double ends = count("session ends");
  cluster.predictor->ends = 0.2;
  cluster.confirm(run, {call("b")});
  cluster.finish(cluster.take_dispatch("b"), "1");
  cluster.persist();
  CHECK(count("session ends") == ends);
  CHECK(count("too unlikely") > unlikely);
}
