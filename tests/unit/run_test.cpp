// Sessions run against a cluster, as their client would.
#include "client/run.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <set>

#include "tests/support/echo_cluster.hpp"

using namespace forerun;

namespace {

struct FakeCluster : test::EchoCluster {
  FakeCluster() {
    origin = "hit";
    saved_ms = 5;
  }
  std::vector<SessionToOpen> opened;
  std::size_t openings_max = 100;
};

class FakeClient final : public test::EchoClient {
public:
  explicit FakeClient(FakeCluster& cluster) : EchoClient(cluster), cluster_(cluster) {}
  Result<std::string> open(const SessionToOpen& session) override {
    const std::lock_guard lock(cluster_.mutex);
    if (cluster_.opened.size() == cluster_.openings_max) {
      return fail(Errc::refused, "no room");
    }
    cluster_.opened.push_back(session);
    return opened();
  }

private:
  FakeCluster& cluster_;
};

TraceStep step_of(const std::string& task, bool is_beside = false) {
  TraceStep step{Call::make(task, {}), json::Value(json::Object()), {}, {}, {}};
  step.beside_previous = is_beside;
  step.think = std::chrono::milliseconds(100);
  return step;
}

TraceSession session_of(const std::string& name, std::vector<TraceStep> steps) {
  TraceSession session;
  session.name = name;
  session.context = "context of " + name;
  session.steps = std::move(steps);
  return session;
}

/// Time stands still but while someone waits.
struct Clock {
  Instant now{std::chrono::seconds(1)};
  RunSettings settings() {
    RunSettings settings;
    settings.concurrency = 1;
    settings.key = "key";
    settings.now = [this] { return now; };
    settings.pause = [this](Duration duration) { now += duration; };
    return settings;
  }
};

RunReport ran(const std::vector<TraceSession>& sessions, const RunSettings& settings,
              FakeCluster& cluster) {
  return run_sessions(sessions, settings,
                      [&cluster] { return std::make_unique<FakeClient>(cluster); });
}

}  // namespace

TEST_CASE("a session's calls are confirmed in order, those made together as one list", "[run]") {
  FakeCluster cluster;
  Clock clock;
  std::vector<TraceStep> steps = {step_of("a"), step_of("b"), step_of("c", true), step_of("d")};
  steps[3].texts = {"hello"};
  RunSettings settings = clock.settings();
  settings.speedup = 2;
  std::vector<std::string> told;
  settings.on_step = [&told](const RanSession& session, const RanStep& step) {
    told.push_back(session.name + " " + step.task);
  };
  const RunReport report = ran({session_of("s", steps)}, settings, cluster);
  CHECK(cluster.heard["home/1"] ==
        std::vector<std::string>{"0 key/0: a", "1 key/1: b c", "text hello", "3 key/3: d"});
  CHECK(cluster.opened[0].context == "context of s");
  CHECK(cluster.opened[0].world.empty());
  CHECK(cluster.opened[0].idempotency_key == "key/0");
  CHECK(cluster.ended == std::vector<std::string>{"home/1"});
  CHECK(clock.now == Instant(std::chrono::milliseconds(1150)));  // Three times 100 ms, halved.
  CHECK(told == std::vector<std::string>{"s a", "s b", "s c", "s d"});
  REQUIRE(report.sessions.size() == 1);
  CHECK(report.sessions[0].run_id == "home/1");
  CHECK(report.sessions[0].steps.size() == 4);
  const json::Value told_json = to_json(report);
  CHECK(*told_json.find("steps") == json::Value(4));
  CHECK(*told_json.find("hits") == json::Value(4));
  CHECK(*told_json.find("saved_ms") == json::Value(20));
  CHECK(told_json.find("differences")->is_null());
}

TEST_CASE("thinking can be left out", "[run]") {
  FakeCluster cluster;
  Clock clock;
  RunSettings settings = clock.settings();
  settings.thinks = false;
  ran({session_of("s", {step_of("a"), step_of("b")})}, settings, cluster);
  CHECK(clock.now == Instant(std::chrono::seconds(1)));
}

TEST_CASE("outputs are compared where they were recorded", "[run]") {
  FakeCluster cluster;
  Clock clock;
  std::vector<TraceStep> steps = {step_of("same"), step_of("other"), step_of("unknown")};
  steps[1].output = json::Value("other");
  steps[2].output = json::Value();
  steps[2].has_output = false;
  RunSettings settings = clock.settings();
  settings.compares = true;
  const RunReport report = ran({session_of("s", steps)}, settings, cluster);
  CHECK(differences_of(report) == 1);
  CHECK(report.sessions[0].steps[1].differs);
  settings.compares = false;
  CHECK(differences_of(ran({session_of("s", steps)}, settings, cluster)) == 0);
}

TEST_CASE("a session that fails keeps its error, is ended, and the others go on", "[run]") {
  FakeCluster cluster;
  cluster.break_task = "bad";
  Clock clock;
  const RunReport report = ran({session_of("one", {step_of("a"), step_of("bad"), step_of("b")}),
                                session_of("two", {step_of("a")})},
                               clock.settings(), cluster);
  REQUIRE(report.sessions.size() == 2);
  CHECK(report.sessions[0].error->message == "cut");
  CHECK(report.sessions[0].steps.size() == 1);
  CHECK_FALSE(report.sessions[1].error);
  CHECK(cluster.ended.size() == 2);
  CHECK(*to_json(report).find("failed_sessions") == json::Value(1));
}

TEST_CASE("when a session cannot be opened, no further one is", "[run]") {
  FakeCluster cluster;
  cluster.openings_max = 1;
  Clock clock;
  const RunReport report =
      ran({session_of("one", {step_of("a")}), session_of("two", {step_of("a")}),
           session_of("three", {step_of("a")})},
          clock.settings(), cluster);
  REQUIRE(report.sessions.size() == 2);
  CHECK(report.sessions[1].error->message == "no room");
  CHECK(report.sessions[1].run_id.empty());
}

TEST_CASE("a stop lets the step end, ends the session and opens no other", "[run]") {
  FakeCluster cluster;
  Clock clock;
  RunSettings settings = clock.settings();
  bool is_stopped = false;
  settings.is_stopped = [&is_stopped] { return is_stopped; };
  settings.on_step = [&is_stopped](const RanSession&, const RanStep&) { is_stopped = true; };
  const RunReport report =
      ran({session_of("one", {step_of("a"), step_of("b")}), session_of("two", {step_of("a")})},
          settings, cluster);
  REQUIRE(report.sessions.size() == 1);
  CHECK(report.is_stopped);
  CHECK(report.sessions[0].steps.size() == 1);
  CHECK_FALSE(report.sessions[0].error);
  CHECK(cluster.ended == std::vector<std::string>{"home/1"});
}

TEST_CASE("sessions run side by side, each once", "[run]") {
  FakeCluster cluster;
  std::vector<TraceSession> sessions;
  for (int i = 0; i < 40; ++i) {
    sessions.push_back(session_of("s" + std::to_string(i), {step_of("a"), step_of("b")}));
  }
  RunSettings settings;
  settings.concurrency = 8;
  settings.thinks = false;
  settings.has_world = true;
  const RunReport report = ran(sessions, settings, cluster);
  CHECK(report.sessions.size() == 40);
  std::set<std::string> run_ids;
  for (const RanSession& session : report.sessions) {
    CHECK(session.steps.size() == 2);
    run_ids.insert(session.run_id);
  }
  CHECK(run_ids.size() == 40);
  CHECK(cluster.opened[7].world == "s7");  // Opened in the file's order.
}
