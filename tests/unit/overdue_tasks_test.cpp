#include "coordinator/overdue_tasks.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

TEST_CASE("three overdue stops of the latest ten bar a task, once", "[overdue]") {
  OverdueTasks tasks;
  CHECK_FALSE(tasks.stopped("quick", 1ms));
  CHECK(tasks.report().empty());
  CHECK_FALSE(tasks.stopped("slow", 50ms));
  CHECK_FALSE(tasks.stopped("slow", 70ms));
  for (int i = 0; i < 9; ++i) {  // The first two are no longer among the latest.
    CHECK_FALSE(tasks.stopped("slow", 49ms));
  }
  CHECK_FALSE(tasks.stopped("slow", 50ms));
  CHECK_FALSE(tasks.stopped("slow", 50ms));
  CHECK_FALSE(tasks.is_barred("slow"));
  CHECK(tasks.stopped("slow", 50ms));
  CHECK(tasks.is_barred("slow"));
  CHECK_FALSE(tasks.stopped("slow", 50ms));
  CHECK_FALSE(tasks.is_barred("quick"));
  CHECK(json::canonical(json::Value(tasks.report())) ==
        R"([{"overdue":6,"runs_ahead":false,"slowest_ms":70,"stops":15,"task":"slow"}])");
}

TEST_CASE("a function that ignores that it is stopped is named and runs ahead no more",
          "[overdue]") {
  ScriptedCluster cluster;
  cluster.join(1, 8);
  cluster.earn();
  const auto is_run_ahead = [&](const RunId& run, const std::string& task) {
    cluster.predictor->next[""] = {prediction(call("slow", R"({"ahead":true})"), 0.95),
                                   prediction(call("b"), 0.94)};
    cluster.confirm(run, {call("a")});
    cluster.finish(cluster.take_dispatch("a"), "1");
    cluster.persist();
    cluster.predictor->next.clear();
    return cluster.has_dispatch(task);
  };
  CHECK(is_run_ahead(cluster.open(), "slow"));
  cluster.freed_after = 80ms;
  for (int i = 0; i < 3; ++i) {  // The losers of a race are stopped.
    cluster.dispatches.clear();
    const RunId run = cluster.open(SpeculationMode::off);
    const RequestId request = cluster.confirm(run, {call("answer")});
    cluster.finish(cluster.take_dispatch("fast"), R"({"sure":true})");
    cluster.persist();
    REQUIRE_FALSE(cluster.step(request).failed);
    cluster.free_slots();
  }
  CHECK(std::any_of(cluster.log.begin(), cluster.log.end(), [](const std::string& line) {
    return line.starts_with("task slow: its function ignores that it is stopped");
  }));
  cluster.dispatches.clear();
  CHECK(is_run_ahead(cluster.open(), "b"));
  CHECK_FALSE(cluster.has_dispatch("slow"));
}
