#include "coordinator/rechecks.hpp"

#include <catch2/catch.hpp>

#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;

namespace {

const RunId run = *RunId::parse("8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17");

Task pure_task(const std::string& name) {
  Task task;
  task.name = name;
  task.executor = ExecutorKind::native;
  task.function = name;
  task.effect = Effect::pure;
  return task;
}

/// Answers that are rechecked, each an entry of its own.
struct Bench {
  Task tasks[2] = {pure_task("a"), pure_task("b")};
  Rechecks rechecks{{1.0, 3}, sha256("secret")};
  std::uint64_t next = 0;

  static NodeId node(int number) { return NodeId{"n" + std::to_string(number)}; }
  void end(const std::string& answer, int on, Ending ending = Ending::returned) {
    auto& all = rechecks.reruns().all();
    const auto at = std::find_if(all.begin(), all.end(), [](const Rerun& rerun) {
      return rerun.state == Rerun::State::waiting;
    });
    REQUIRE(at != all.end());
    at->state = Rerun::State::running;
    at->attempts = Reruns::attempts_max;
    at->ran_on = node(on);
    at->node = node(on).name;
    BranchEnded ended;
    ended.ending = ending;
    ended.output = answer;
    rechecks.reruns().settle(*at, ended);
  }
  /// `recorded` was answered by a node, then another one and, where they differ, a third are asked.
  Rechecks::Verdicts recheck(std::pair<int, std::string> recorded,
                             std::pair<int, std::string> again,
                             std::pair<int, std::string> third = {}, int task = 0) {
    Rerun rerun;
    rerun.seq = Seq{next++};
    rerun.call = call(tasks[task].name);
    rerun.task = &tasks[task];
    rerun.recorded_on = node(recorded.first);
    rerun.recorded_node = node(recorded.first).name;
    rerun.recorded.output = sha256(recorded.second);
    rechecks.add(std::move(rerun));
    end(again.second, again.first);
    if (third.first != 0) {
      CHECK(rechecks.judge().log.empty());  // Nothing is known before the third one.
      end(third.second, third.first);
    }
    Rechecks::Verdicts verdicts = rechecks.judge();
    CHECK(rechecks.reruns().all().empty());
    return verdicts;
  }
  double count(const char* name) const { return *rechecks.report().find(name)->number(); }
};

}  // namespace

TEST_CASE("who stands alone with its answers is a liar after the third", "[rechecks]") {
  Bench bench;
  CHECK(bench.recheck({1, "1"}, {2, "1"}).log.empty());
  CHECK(bench.recheck({1, "9"}, {2, "1"}, {3, "1"}).liars.empty());
  CHECK(bench.recheck({2, "1"}, {1, "9"}, {3, "1"}, 1).liars.empty());  // It accuses another one.
  const auto verdicts = bench.recheck({1, "8"}, {3, "1"}, {2, "1"});
  CHECK(verdicts.liars == std::vector<NodeId>{Bench::node(1)});
  REQUIRE(verdicts.log.size() == 1);
  CHECK_THAT(verdicts.log[0],
             Catch::Contains("entry 3, task a: node n1 answered " + to_hex(sha256("8")) +
                             ", two other nodes " + to_hex(sha256("1"))));
  CHECK(bench.recheck({1, "7"}, {3, "1"}, {2, "1"}).liars.empty());  // It is told once.
  CHECK(bench.count("agreed") == 1);
  CHECK(bench.count("differed") == 4);
  CHECK(*bench.rechecks.report().find("lies")->find("n1")->number() == 4);
}

TEST_CASE("a task that is not deterministic makes nobody a liar", "[rechecks]") {
  SECTION("three answers") {
    Bench bench;
    bench.recheck({1, "9"}, {2, "1"}, {3, "1"});
    bench.recheck({1, "9"}, {2, "1"}, {3, "1"});
    const auto verdicts = bench.recheck({1, "3"}, {2, "1"}, {3, "2"});
    CHECK_THAT(verdicts.log.at(0), Catch::Contains("not deterministic"));
    CHECK_FALSE(bench.rechecks.draws(run, StepNumber{0}, "a"));
    CHECK(bench.rechecks.draws(run, StepNumber{0}, "b"));
    // What it had said of node 1 counts no more, nor what was on its way.
    CHECK(bench.recheck({1, "9"}, {2, "1"}, {3, "1"}).liars.empty());
    CHECK(bench.recheck({1, "9"}, {2, "1"}, {3, "1"}, 1).liars.empty());
  }
  SECTION("two nodes look like liars") {
    Bench bench;
    bench.recheck({1, "9"}, {2, "1"}, {3, "1"});
    CHECK_THAT(bench.recheck({2, "9"}, {1, "1"}, {3, "1"}).log.at(0),
               Catch::Contains("two nodes in turn"));
    CHECK_FALSE(bench.rechecks.draws(run, StepNumber{0}, "a"));
  }
}

TEST_CASE("failures and missing thirds prove nothing", "[rechecks]") {
  const auto how = GENERATE(as<std::string>(), "failed", "lost", "no third");
  Bench bench;
  for (int i = 0; i < 4; ++i) {
    Rerun rerun;
    rerun.seq = Seq{bench.next++};
    rerun.call = call("a");
    rerun.task = &bench.tasks[0];
    rerun.recorded_on = Bench::node(1);
    rerun.recorded.output = sha256("1");
    bench.rechecks.add(std::move(rerun));
    if (how == "failed") {
      bench.end("", 2, Ending::failed);
      bench.end("1", 3);
    } else if (how == "lost") {
      bench.end("", 2, Ending::lost);
    } else {
      bench.end("2", 2);
      Reruns::give_up(bench.rechecks.reruns().all().back());
    }
    CHECK(bench.rechecks.judge().liars.empty());
    CHECK(bench.rechecks.reruns().all().empty());
  }
  CHECK(bench.count("undecided") == 4);
}

TEST_CASE("which steps are rechecked depends on the secret and on nothing else", "[rechecks]") {
  const Rechecks one({0.25, 3}, sha256("one"));
  const Rechecks same({0.25, 3}, sha256("one"));
  const Rechecks other({0.25, 3}, sha256("other"));
  int drawn = 0;
  int both = 0;
  for (std::uint32_t step = 0; step < 4'000; ++step) {
    const bool is_drawn = one.draws(run, StepNumber{step}, "a");
    CHECK(is_drawn == same.draws(run, StepNumber{step}, "a"));
    drawn += is_drawn ? 1 : 0;
    both += is_drawn && other.draws(run, StepNumber{step}, "a") ? 1 : 0;
  }
  CHECK(drawn > 900);
  CHECK(drawn < 1'100);
  CHECK(both > 190);
  CHECK(both < 310);
  CHECK_FALSE(Rechecks({0, 3}, sha256("one")).draws(run, StepNumber{0}, "a"));
}

TEST_CASE("drawn steps beyond what may wait are passed over", "[rechecks]") {
  Bench bench;
  for (std::size_t i = 0; i < Rechecks::waiting_max + 3; ++i) {
    Rerun rerun;
    rerun.seq = Seq{i};
    rerun.task = &bench.tasks[0];
    bench.rechecks.add(std::move(rerun));
  }
  CHECK(bench.rechecks.reruns().all().size() == Rechecks::waiting_max);
  CHECK(bench.count("passed_over") == 3);
}

namespace {

CoordinatorSettings checking(std::uint32_t lies_max) {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.recheck = {1.0, lies_max};
  return settings;
}

bool is_quarantined(const ScriptedCluster& cluster, std::size_t node) {
  const json::Value status = cluster.machine->status("default");
  return *(*status.find("nodes")->array())[node].find("quarantined")->boolean();
}

}  // namespace

TEST_CASE("a node that lies is given no work any more, and what it was doing is done elsewhere",
          "[rechecks]") {
  ScriptedCluster cluster(checking(1));
  for (int node = 1; node <= 3; ++node) {
    cluster.join(node);
  }
  const RunId first = cluster.open(SpeculationMode::off);
  cluster.confirm(first, {call("a")});
  const Dispatch lied = cluster.take_dispatch("a");
  // The liar is at another step when it is found out.
  RequestId asked{};
  Dispatch held;
  while (held.worker != lied.worker) {
    asked = cluster.confirm(cluster.open(SpeculationMode::off), {call("get", R"({"key":"k"})")});
    held = cluster.take_dispatch("get");
  }
  cluster.finish(lied, "666");
  cluster.persist();
  const Dispatch again = cluster.take_dispatch("a");
  CHECK(again.owner.audit == AuditNumber{0});
  CHECK_FALSE(again.speculative);
  CHECK(again.worker != lied.worker);
  cluster.finish(again, "1");
  const Dispatch third = cluster.take_dispatch("a");
  CHECK(third.worker != lied.worker);
  CHECK(third.worker != again.worker);
  cluster.finish(third, "1");
  CHECK_THAT(cluster.log.back(), Catch::Contains("QUARANTINED"));
  const json::Value status = cluster.machine->status("default");
  CHECK(*status.find("recheck")->find("differed")->number() == 1);
  const Dispatch elsewhere = cluster.take_dispatch("get");
  CHECK(elsewhere.owner.step == held.owner.step);
  CHECK(elsewhere.worker != lied.worker);
  cluster.finish(elsewhere, "2");
  cluster.persist();
  CHECK(cluster.step(asked).output == "2");
  for (int i = 0; i < 8; ++i) {
    cluster.confirm(cluster.open(SpeculationMode::off), {call("get")});
    const Dispatch later = cluster.take_dispatch("get");
    CHECK(later.worker != lied.worker);
    cluster.finish(later, "1");
  }
  // The coordinator's next start knows it still; another key of the node ends it.
  cluster.persist();
  cluster.crash_and_restart();
  const auto join = [&](const NodeId& node, std::uint64_t number) {
    Join message;
    message.name = "liar";
    message.instance = number;
    message.workers = {{lied.worker, 4, 5000}};
    cluster.input(NodeSaid{ConnectionId{number}, node, message});
    cluster.persist();
    return cluster.machine->membership().total_slots();
  };
  const NodeId liar{"n" + std::to_string(lied.worker.uuid.bytes[0])};
  cluster.input(NodesAllowed{{{liar, "liar"}}});
  CHECK(join(liar, 71) == 0);
  CHECK(is_quarantined(cluster, 0));
  cluster.input(NodesAllowed{{{{"renewed"}, "liar"}}});
  cluster.input(NodeUnreachable{ConnectionId{71}});
  CHECK(join({"renewed"}, 72) == 4);
  CHECK_FALSE(is_quarantined(cluster, 0));
}

TEST_CASE("a recheck belongs to no session and waits for confirmed work", "[rechecks]") {
  ScriptedCluster cluster(checking(3));
  cluster.join(1, 1);
  cluster.join(2, 1);
  const RunId run_id = cluster.open(SpeculationMode::off);
  cluster.confirm(run_id, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  const Dispatch again = cluster.take_dispatch("a");
  REQUIRE(again.owner.audit == AuditNumber{0});
  // Two confirmed calls want both slots: the recheck is taken back.
  const RunId other = cluster.open(SpeculationMode::off);
  cluster.confirm(other, {call("a")});
  CHECK(cluster.take_dispatch("a").owner.step);
  const std::size_t cancels = cluster.cancels();
  cluster.confirm(run_id, {call("a")});
  CHECK(cluster.cancels() == cancels + 1);
  cluster.free_slots();
  CHECK(cluster.take_dispatch("a").owner.step);
}

TEST_CASE("a single node is not asked again for what it answered", "[rechecks]") {
  ScriptedCluster cluster(checking(3));
  cluster.join(1);
  const RunId run_id = cluster.open(SpeculationMode::off);
  cluster.confirm(run_id, {call("a")});
  cluster.finish(cluster.take_dispatch("a"), "1");
  cluster.persist();
  CHECK_FALSE(cluster.has_dispatch("a"));
  CHECK_FALSE(is_quarantined(cluster, 0));
}
