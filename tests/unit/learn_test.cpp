// How recorded sessions reach a coordinator that learns from them.
#include "client/learn.hpp"

#include <catch2/catch.hpp>

#include "speculation/client_api.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

TraceSession session_of(const std::string& name, std::size_t steps, std::size_t bytes = 1) {
  TraceSession session;
  session.name = name;
  for (std::size_t i = 0; i < steps; ++i) {
    json::Object input;
    input.set("text", std::string(bytes, 'x'));
    session.steps.push_back({Call::make("task", std::move(input)), json::Value(true), {}, {}, {}});
  }
  return session;
}

/// A coordinator that takes everything and needs some looks to learn it.
struct FakeCoordinator {
  LearnPorts ports() {
    LearnPorts ports;
    ports.post = [this](const std::string& body) -> Result<json::Value> {
      CHECK(body.size() <= learn_body_bytes_max);
      const auto value = json::parse(body, {.bytes = learn_body_bytes_max});
      REQUIRE(value);
      const json::Array& sessions = *value->find("sessions")->array();
      bodies.push_back(sessions.size());
      if (bodies.size() == fails_at) {
        return fail(Errc::io, "cut");
      }
      json::Object answer;
      answer.set("learned", std::uint64_t{sessions.size()} - 1);
      answer.set("steps", std::uint64_t{sessions.size()});
      answer.set("known", std::uint64_t{0});
      json::Object one;
      one.set("session", *sessions.front().find("session"));
      one.set("why", "it is the first");
      answer.set("refused", json::Array{json::Value(one)});
      return json::Value(answer);
    };
    ports.status = [this]() -> Result<json::Value> {
      json::Object learning;
      learning.set("left", std::uint64_t{left == 0 ? 0 : --left});
      json::Object status;
      status.set("learning", std::move(learning));
      return json::Value(status);
    };
    ports.pause = [this](Duration) { ++pauses; };
    ports.progress = [this](const std::string& line) { lines.push_back(line); };
    return ports;
  }
  std::vector<std::size_t> bodies;
  std::vector<std::string> lines;
  std::size_t fails_at = 0;
  std::uint64_t left = 0;
  std::size_t pauses = 0;
};

}  // namespace

TEST_CASE("requests are cut by sessions and by bytes", "[learn]") {
  HistoryBodies bodies(39);
  CHECK(bodies.fits(std::string(24, 'x')));
  CHECK_FALSE(bodies.fits(std::string(25, 'x')));
  CHECK_FALSE(bodies.take());
  CHECK_FALSE(bodies.add("{\"a\":1}"));
  CHECK_FALSE(bodies.add("{\"b\":2}"));
  CHECK(bodies.add("{\"c\":345}") == "{\"sessions\":[{\"a\":1},{\"b\":2}]}");
  CHECK(bodies.take() == "{\"sessions\":[{\"c\":345}]}");
  CHECK_FALSE(bodies.take());

  HistoryBodies many;
  std::size_t full = 0;
  for (std::size_t i = 0; i < 2 * history_sessions_per_request_max; ++i) {
    full += many.add("{}") ? 1 : 0;
  }
  CHECK(full == 1);
}

TEST_CASE("all sessions are taught in requests of bounded size, and refusals are named",
          "[learn]") {
  FakeCoordinator coordinator;
  coordinator.left = 3;
  std::vector<TraceSession> sessions;
  for (int i = 0; i < 5; ++i) {
    sessions.push_back(session_of("s" + std::to_string(i), 1, 400'000));
  }
  sessions.push_back(session_of("huge", 2, 600'000));
  const auto report = learn(sessions, coordinator.ports());
  REQUIRE(report);
  CHECK(coordinator.bodies == std::vector<std::size_t>{2, 2, 1});
  CHECK(report->sessions == 6);
  CHECK(report->steps == 7);
  CHECK(report->learned == 2);
  CHECK(report->refused == 4);
  CHECK(report->left == 0);
  CHECK(coordinator.pauses == 2);
  REQUIRE(coordinator.lines.size() == 4);
  CHECK(coordinator.lines[0] == "session \"s0\" refused: it is the first");
  CHECK_THAT(coordinator.lines[2],
             Contains("session \"huge\" refused: ") || Contains("session \"s2\" refused: "));
}

TEST_CASE("an answer that is none ends the learning", "[learn]") {
  FakeCoordinator coordinator;
  coordinator.fails_at = 1;
  CHECK(learn({session_of("a", 1)}, coordinator.ports()).error().code == Errc::io);
  LearnPorts ports = coordinator.ports();
  ports.post = [](const std::string&) -> Result<json::Value> {
    return json::Value(json::Object());
  };
  CHECK_THAT(learn({session_of("a", 1)}, ports).error().message, Contains("no \"learned\""));
}

TEST_CASE("nothing to teach is no request", "[learn]") {
  FakeCoordinator coordinator;
  const auto report = learn({}, coordinator.ports());
  REQUIRE(report);
  CHECK(coordinator.bodies.empty());
}
