#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>

#include "demo/driver.hpp"
#include "speculation/client_api.hpp"
#include "tests/support/echo_cluster.hpp"

namespace forerun {
namespace {

struct FakeCluster : test::EchoCluster {
  std::vector<std::string> opened;  ///< Worlds in opening order.
  std::vector<std::string> modes;
  std::string refuse_world;  ///< Opening this one fails.
};

class FakeClient final : public test::EchoClient {
public:
  FakeClient(FakeCluster& cluster, std::vector<std::string>& log)
      : EchoClient(cluster), cluster_(cluster), log_(log) {}

  Result<std::string> open(const SessionToOpen& session) override {
    const std::lock_guard lock(cluster_.mutex);
    if (session.world == cluster_.refuse_world) {
      return fail(Errc::refused, "no room");
    }
    cluster_.opened.push_back(session.world);
    cluster_.modes.push_back(session.speculation);
    log_.push_back(session.speculation + " " + session.world);
    return EchoClient::opened();
  }

private:
  FakeCluster& cluster_;
  std::vector<std::string>& log_;
};

TraceStep step(const std::string& task, bool beside = false, std::vector<std::string> texts = {}) {
  json::Object input;
  input.set("for", task);
  return {
      Call::make(task, input), input, std::chrono::milliseconds(10), std::chrono::milliseconds(20),
      std::move(texts),        beside};
}

Workload workload_of(std::size_t sessions, const std::vector<TraceStep>& steps) {
  Workload workload;
  for (std::size_t i = 0; i < sessions; ++i) {
    TraceSession session;
    session.name = "s" + std::to_string(i);
    session.steps = steps;
    workload.sessions.push_back(session);
  }
  return workload;
}

/// Two clusters and virtual time: waiting moves it.
struct Bench {
  std::array<FakeCluster, 2> clusters;
  std::vector<std::string> log;  ///< Openings of both; only with one thread.
  Instant time{};
  DriveSettings settings;

  Bench() {
    settings.concurrency = 1;
    settings.block = 2;
    settings.speedup = 10;
    settings.now = [this] { return time; };
    settings.wait_until = [this](Instant until) { time = std::max(time, until); };
  }
  Result<DriveResult> run(const Workload& workload) {
    return drive(workload, settings, [this](Pass pass) {
      return std::make_unique<FakeClient>(clusters[index_of(pass)], log);
    });
  }
};

}  // namespace

TEST_CASE("the passes take turns in blocks, and neither always runs first", "[demo_driver]") {
  Bench bench;
  REQUIRE(bench.run(workload_of(5, {step("a")})));
  CHECK(bench.log == std::vector<std::string>{"off s0", "off s1", "on s0", "on s1", "on s2",
                                              "on s3", "off s2", "off s3", "off s4", "on s4"});
}

TEST_CASE("sessions are opened in the workload's order also by many threads", "[demo_driver]") {
  Bench bench;
  std::mutex mutex;
  bench.settings.concurrency = 8;
  bench.settings.block = 64;
  bench.settings.now = [] { return Instant{}; };
  bench.settings.wait_until = [](Instant) {};
  const auto result =
      drive(workload_of(100, {step("a"), step("b")}), bench.settings, [&](Pass pass) {
        static std::vector<std::string> unused[16];
        static std::size_t next = 0;
        return std::make_unique<FakeClient>(bench.clusters[index_of(pass)], unused[next++ % 16]);
      });
  REQUIRE(result);
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < 100; ++i) {
    expected.push_back("s" + std::to_string(i));
  }
  for (const FakeCluster& cluster : bench.clusters) {
    CHECK(cluster.opened == expected);
    CHECK(cluster.ended.size() == 100);
  }
  for (std::size_t i = 0; i < 100; ++i) {
    CHECK(result->of(Pass::off)[i].run_id == "home/" + std::to_string(i + 1));
    CHECK(result->of(Pass::on)[i].run_id == result->of(Pass::off)[i].run_id);
    CHECK(result->of(Pass::on)[i].steps.size() == 2);
  }
}

TEST_CASE("a session hands over its text, thinks, and confirms what it called together as one list",
          "[demo_driver]") {
  Bench bench;
  const auto result = bench.run(
      workload_of(1, {step("a", false, {"hello"}), step("b"), step("c", true), step("d")}));
  REQUIRE(result);
  CHECK(bench.clusters[0].heard["home/1"] == std::vector<std::string>{"text hello", "0 home/1/0: a",
                                                                      "1 home/1/1: b c",
                                                                      "3 home/1/3: d"});
  CHECK(bench.clusters[0].modes == std::vector<std::string>{"off"});
  CHECK(bench.clusters[1].modes == std::vector<std::string>{"on"});
  // Three times 20 ms of thinking at ten times the speed; the fake cluster answers at once.
  CHECK(result->of(Pass::off)[0].wall == std::chrono::milliseconds(6));
  CHECK(result->of(Pass::off)[0].steps.size() == 4);
  CHECK_FALSE(result->of(Pass::off)[0].error.has_value());
}

TEST_CASE("an answer that is not the recorded one is counted as wrong", "[demo_driver]") {
  Bench bench;
  bench.clusters[1].lie_task = "b";
  Workload workload = workload_of(1, {step("a"), step("b")});
  auto result = bench.run(workload);
  REQUIRE(result);
  CHECK_FALSE(result->of(Pass::on)[0].steps[0].is_wrong);
  CHECK(result->of(Pass::on)[0].steps[1].is_wrong);
  CHECK_FALSE(result->of(Pass::off)[0].steps[1].is_wrong);

  workload.native_tasks = {"b"};
  result = Bench().run(workload);
  REQUIRE(result);
  CHECK_FALSE(result->of(Pass::on)[0].steps[1].is_wrong);
}

TEST_CASE("a session that fails keeps its error and the others go on", "[demo_driver]") {
  Bench bench;
  Workload workload = workload_of(3, {step("a")});
  workload.sessions[1].steps = {step("a"), step("broken"), step("c")};
  bench.clusters[1].break_task = "broken";
  const auto result = bench.run(workload);
  REQUIRE(result);
  CHECK(result->of(Pass::on)[1].error == std::optional<std::string>("cut"));
  CHECK(result->of(Pass::on)[1].steps.size() == 1);
  CHECK_FALSE(result->of(Pass::on)[2].error.has_value());
  CHECK(bench.clusters[1].ended.size() == 3);
}

TEST_CASE("an opening that fails ends the drive, since run IDs would no longer pair",
          "[demo_driver]") {
  Bench bench;
  bench.clusters[1].refuse_world = "s1";
  const auto result = bench.run(workload_of(4, {step("a")}));
  REQUIRE_FALSE(result);
  CHECK(result.error().message == "no room");
  CHECK(bench.clusters[0].opened.size() == 2);
}

TEST_CASE("a stop is seen between steps and ends the session at the cluster", "[demo_driver]") {
  Bench bench;
  bench.settings.is_stopped = [&bench] { return !bench.clusters[0].heard["home/1"].empty(); };
  const auto result = bench.run(workload_of(4, {step("a"), step("b")}));
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::refused);
  CHECK(bench.clusters[0].heard["home/1"].size() == 1);
  CHECK(bench.clusters[0].ended == std::vector<std::string>{"home/1"});
  CHECK(bench.clusters[1].opened.empty());
}

TEST_CASE("a list longer than a request may hold is sent in parts", "[demo_driver]") {
  TraceSession session;
  for (std::size_t i = 0; i < calls_per_request_max + 3; ++i) {
    session.steps.push_back(step("t", i != 0));
  }
  const auto groups = step_groups(session);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].last - groups[0].first == calls_per_request_max);
  CHECK(groups[1].first == calls_per_request_max);
  CHECK(groups[1].last == session.steps.size());
}

}  // namespace forerun
