#include "coordinator/run_times.hpp"

#include <catch2/catch.hpp>

#include "coordinator/hedge_budget.hpp"
#include "coordinator/membership.hpp"
#include "coordinator/warm_workers.hpp"

using namespace forerun;
using namespace std::chrono_literals;

namespace {

Task named(const std::string& name) {
  Task task;
  task.name = name;
  return task;
}

void run(RunTimes& times, const std::string& task, int count, Duration each) {
  for (int i = 0; i < count; ++i) {
    times.ended(task, each);
  }
}

}  // namespace

TEST_CASE("a deadline is the default until a hundred runs, then three times the p99",
          "[run_times]") {
  RunTimes times{RunTimeSettings{}};
  const Task a = named("a");
  run(times, "a", 97, 2s);
  run(times, "a", 2, 10s);
  CHECK(times.timeout(a) == 30s);
  CHECK_FALSE(times.p95("a"));
  times.ended("a", 10s);
  CHECK(times.timeout(a) == 30s);  // 3 × 10 s
  CHECK(times.p95("a") == Duration(2s));
  run(times, "a", 512, 3s);
  CHECK(times.timeout(a) == 9s);
  run(times, "a", 512, 1ms);
  CHECK(times.timeout(a) == 5s);
  run(times, "a", 512, 4min);
  CHECK(times.timeout(a) == 5min);
  CHECK(times.timeout(named("b")) == 30s);
}

TEST_CASE("a deadline that the catalog names is not learned", "[run_times]") {
  RunTimes times{RunTimeSettings{}};
  Task a = named("a");
  a.timeout = 250ms;
  run(times, "a", 300, 20s);
  CHECK(times.timeout(a) == 250ms);
}

TEST_CASE("runs whose deadline passed let the next deadline grow", "[run_times]") {
  RunTimes times{RunTimeSettings{}};
  const Task a = named("a");
  run(times, "a", 100, 2s);
  REQUIRE(times.timeout(a) == 6s);
  run(times, "a", 16, 6s);  // The task has become slower: these timed out.
  CHECK(times.timeout(a) == 18s);
}

TEST_CASE("a run that was stopped counts where it was slow already", "[run_times]") {
  RunTimes times{RunTimeSettings{}};
  run(times, "a", 100, 10ms);
  for (int i = 0; i < 32; ++i) {
    times.stopped("a", 1ms);
  }
  CHECK(times.p95("a") == Duration(10ms));
  for (int i = 0; i < 32; ++i) {
    times.stopped("a", 70ms);
  }
  CHECK(times.p95("a") == Duration(70ms));
  times.stopped("b", 1s);
  CHECK(times.size() == 1);
}

TEST_CASE("of too many tasks the longest unused is forgotten", "[run_times]") {
  RunTimeSettings settings;
  settings.tasks_max = 2;
  settings.samples_min = 1;
  RunTimes times(settings);
  times.ended("a", 1ms);
  times.ended("b", 2ms);
  times.ended("a", 1ms);
  times.ended("c", 3ms);
  CHECK(times.size() == 2);
  CHECK(times.p95("a") == Duration(1ms));
  CHECK_FALSE(times.p95("b"));
  const Task task = named("c");
  const json::Array report =
      times.report([&](std::string_view name) { return name == "c" ? &task : nullptr; });
  REQUIRE(report.size() == 1);
  CHECK(*report[0].find("p95_ms") == json::Value(3.0));
  CHECK(*report[0].find("timeout_is_learned") == json::Value(true));
}

TEST_CASE("second attempts are a share of confirmed first ones", "[hedge_budget]") {
  HedgeSettings settings;
  settings.share = 0.05;
  settings.burst = 2;
  HedgeBudget budget(settings);
  int started = 0;
  for (int i = 1; i <= 1000; ++i) {
    budget.confirmed();
    if (budget.covers_one()) {
      budget.take();
      ++started;
    }
    CHECK(started * 20 <= i);
  }
  CHECK(started == 50);
  for (int i = 0; i < 1000; ++i) {
    budget.confirmed();
  }
  for (started = 0; budget.covers_one(); ++started) {
    budget.take();
  }
  CHECK(started == 2);
  settings.share = 0;
  CHECK_FALSE(HedgeBudget(settings).is_on());
}

namespace {

WorkerId worker(int number) {
  Uuid uuid;
  uuid.bytes[0] = static_cast<std::uint8_t>(number);
  return {uuid};
}

/// So many nodes of one worker with four slots each.
Membership members(int count) {
  Membership membership{Membership::Settings{}};
  for (int i = 1; i <= count; ++i) {
    Join join;
    join.workers = {{worker(i), 4, 0}};
    membership.seat(Instant{}, ConnectionId{static_cast<std::uint64_t>(i)},
                    NodeId{"n" + std::to_string(i)}, join);
  }
  return membership;
}

}  // namespace

TEST_CASE("work goes to the least loaded worker, and equals take turns by a hash", "[membership]") {
  Membership membership = members(4);
  std::map<WorkerId, int> drawn;
  for (std::uint64_t draw = 0; draw < 400; ++draw) {
    Membership::Wish wish;
    wish.draw = draw;
    ++drawn[*membership.place(0, wish)];
    CHECK(membership.place(0, wish) == membership.place(0, wish));
  }
  REQUIRE(drawn.size() == 4);
  for (const auto& [id, count] : drawn) {
    CHECK(count > 60);
  }
  for (int i = 1; i <= 4; ++i) {
    if (i != 3) {
      membership.occupy(worker(i), BranchToken{static_cast<std::uint64_t>(i)});
    }
  }
  for (std::uint64_t draw = 0; draw < 20; ++draw) {
    Membership::Wish wish;
    wish.draw = draw;
    CHECK(membership.place(0, wish) == worker(3));
  }
}

TEST_CASE("a worker that was outrun counts as busier for a while", "[membership]") {
  Membership membership = members(2);
  const Instant began{1h};
  Membership::Wish wish;
  wish.now = began;
  membership.outrun(worker(1), began);
  for (; wish.draw < 20; ++wish.draw) {
    CHECK(membership.place(0, wish) == worker(2));
  }
  for (int i = 0; i < 100; ++i) {
    membership.outrun(worker(1), began);
  }
  for (std::uint64_t token = 1; token <= 3; ++token) {
    membership.occupy(worker(2), BranchToken{token});
  }
  CHECK(membership.place(0, wish) == worker(2));
  membership.occupy(worker(2), BranchToken{4});
  CHECK(membership.place(0, wish) == worker(1));  // Better than none.
  membership.release(worker(2), BranchToken{4});
  wish.now = began + 6s;  // Eight times were remembered, two are.
  CHECK(membership.place(0, wish) == worker(1));
}

TEST_CASE("a warm resident draws its calls until its worker is half as free as others",
          "[membership]") {
  Membership membership = members(2);
  WarmWorkers warm;
  CHECK(warm.of("t", "model") == nullptr);
  warm.answered("t", "model", worker(2));
  CHECK(warm.of("other", "model") == nullptr);
  Membership::Wish wish;
  wish.warm = warm.of("t", "model");
  REQUIRE(wish.warm != nullptr);
  for (std::uint64_t token = 1; token <= 2; ++token) {
    wish.draw = token;
    CHECK(membership.place(0, wish) == worker(2));
    membership.occupy(worker(2), BranchToken{token});
  }
  membership.occupy(worker(2), BranchToken{3});
  CHECK(membership.place(0, wish) == worker(1));
  warm.lost(worker(2));
  CHECK(warm.of("t", "model") == nullptr);
}
