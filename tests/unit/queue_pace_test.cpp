#include "coordinator/queue_pace.hpp"

#include <catch2/catch.hpp>

#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

TEST_CASE("the last of a queue waits for all before it, at the pace of the latest seconds",
          "[queue_pace]") {
  QueuePace pace;
  Instant now{100s};
  pace.begins(now);
  CHECK_FALSE(pace.expected_wait(now + 900ms, 1000));  // Too early to say.
  for (int i = 0; i < 100; ++i) {
    now += 100ms;
    pace.leaves(now);
  }
  CHECK(*pace.expected_wait(now, 600) == 60s);
  // Faster: only the window counts.
  for (int i = 0; i < 2000; ++i) {
    now += 10ms;
    pace.leaves(now);
  }
  CHECK(*pace.expected_wait(now, 600) < 6100ms);
  // Nothing moves.
  CHECK(*pace.expected_wait(now + 60s, 10) == 100s);
  pace.begins(now);
  CHECK_FALSE(pace.expected_wait(now, 10));
}

TEST_CASE("a call that would wait too long is refused at once, with when to come back",
          "[queue_pace]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.confirmed_waiting_free = 3;
  settings.confirmed_wait_max = 5s;
  ScriptedCluster cluster(settings);
  cluster.join(1, 1);
  const auto ask = [&cluster] {
    return cluster.confirm(cluster.open(SpeculationMode::off), {call("a")});
  };
  const RequestId first = ask();
  std::vector<RequestId> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.push_back(ask());
    CHECK(cluster.answer(waiting.back()) == nullptr);
  }
  // One a second: four wait four seconds, and with one more in each second it is soon too long.
  std::optional<RequestFailed> refused;
  for (int i = 0; i < 4; ++i) {
    cluster.finish(cluster.take_dispatch("a"), "1");
    cluster.pass(1s);
    for (int more = 0; more < 3 && !refused; ++more) {
      const RequestId request = ask();
      if (const ResponseBody* answer = cluster.answer(request)) {
        refused = std::get<RequestFailed>(*answer);
      }
    }
  }
  REQUIRE(refused);
  CHECK(refused->refusal == Refusal::overloaded);
  CHECK(refused->message.find("calls: this one would wait ") != std::string::npos);
  CHECK(refused->retry_after >= 1s);
  // The queue has been worked off: all are taken again.
  while (cluster.has_dispatch("a")) {
    cluster.finish(cluster.take_dispatch("a"), "1");
    cluster.pass(10ms);
  }
  CHECK(cluster.answer(first) != nullptr);
  CHECK(cluster.answer(ask()) == nullptr);
}

TEST_CASE("how many wait in one pool takes no place of another's", "[queue_pace]") {
  const auto task = [](const std::string& name, const std::string& pool) {
    Task made;
    made.name = name;
    made.executor = ExecutorKind::native;
    made.function = name;
    made.pool = pool;
    made.effect = Effect::pure;
    return made;
  };
  auto catalog = Catalog::make({task("slow", "slow"), task("quick", "quick")}, {},
                               {Pool{"slow", 1}, Pool{"quick", 1}});
  REQUIRE(catalog);
  CoordinatorSettings settings = ScriptedCluster::settings_of(std::move(*catalog));
  settings.confirmed_waiting_free = 3;
  settings.confirmed_wait_max = 3s;
  ScriptedCluster cluster(settings);
  cluster.join(1, 4);
  const auto ask = [&cluster](const char* name) {
    return cluster.answer(cluster.confirm(cluster.open(SpeculationMode::off), {call(name)}));
  };
  // Both stand still for so long that the fourth to wait in one would wait too long.
  for (int i = 0; i < 4; ++i) {
    CHECK(ask("slow") == nullptr);
  }
  CHECK(ask("quick") == nullptr);
  CHECK(ask("quick") == nullptr);
  cluster.pass(1900ms);
  CHECK(ask("slow") != nullptr);
  for (int i = 0; i < 2; ++i) {
    CHECK(ask("quick") == nullptr);
  }
  CHECK(ask("quick") != nullptr);
}
