#include "files/recorded_world.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace forerun;

namespace {

Call call_of(const std::string& task, int id = 0) {
  json::Object input;
  input.set("id", id);
  return Call::make(task, std::move(input));
}

TraceStep step_of(const std::string& task, int output,
                  std::optional<Duration> latency = std::chrono::seconds(2)) {
  return {call_of(task), json::Value(output), latency, {}, {}, false};
}

/// 0 read-a, 1 read-b, 2 write, 3 read-a, 4 read-b, 5 read-c.
TraceSession shop() {
  TraceSession session;
  session.name = "shop";
  session.steps = {step_of("read-a", 0), step_of("read-b", 1), step_of("write", 2),
                   step_of("read-a", 3), step_of("read-b", 4), step_of("read-c", 5)};
  return session;
}

RecordedWorld world(double speedup = 1, std::uint64_t seed = 1) {
  return RecordedWorld({shop()}, *ReadOnlyTasks::parse("read-*", "shop.jsonl"), seed, speedup);
}

/// The output that a speculation gets; nothing for a marker.
std::optional<int> guessed(const RecordedWorld& world, const Call& call, std::uint32_t committed) {
  const auto answer = world.answer(call, {"shop", committed, {}});
  REQUIRE(answer);
  REQUIRE(answer->is_marker == (answer->output.find("forerun_marker") != nullptr));
  return answer->is_marker ? std::optional<int>() : static_cast<int>(*answer->output.number());
}

}  // namespace

TEST_CASE("a confirmed step gets its recorded output after its recorded latency", "[files]") {
  const RecordedWorld recorded = world(4);
  for (std::uint32_t i = 0; i < 6; ++i) {
    const auto answer = recorded.answer(shop().steps[i].call, {"shop", i, i});
    REQUIRE(answer);
    CHECK(answer->output == json::Value(static_cast<int>(i)));
    CHECK(answer->latency == std::chrono::milliseconds(500));
    CHECK_FALSE(answer->is_marker);
  }
}

TEST_CASE("a confirmed call that is not the recorded one is not found", "[files]") {
  const RecordedWorld recorded = world();
  for (const auto& [call, at] : {std::pair(call_of("read-b"), WorldPosition{"shop", 0, 0}),
                                 std::pair(call_of("read-a", 7), WorldPosition{"shop", 0, 0}),
                                 std::pair(call_of("read-c"), WorldPosition{"shop", 6, 6}),
                                 std::pair(call_of("read-a"), WorldPosition{"lab", 0, 0}),
                                 std::pair(call_of("read-a"), WorldPosition{"lab", 0, {}})}) {
    const auto answer = recorded.answer(call, at);
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == Errc::not_found);
  }
}

TEST_CASE("a guess gets the answer of the next equal step while no write lies between", "[files]") {
  const RecordedWorld recorded = world();
  CHECK(guessed(recorded, call_of("read-a"), 0) == 0);
  CHECK(guessed(recorded, call_of("read-b"), 0) == 1);
  CHECK(guessed(recorded, call_of("read-a"), 3) == 3);
  CHECK(guessed(recorded, call_of("read-c"), 3) == 5);
  CHECK(guessed(recorded, call_of("write"), 0) == 2);  // Nothing is written before it.
  CHECK(recorded.answer(call_of("read-a"), {"shop", 0, {}})->latency == std::chrono::seconds(2));
}

TEST_CASE("a guess that a write would outdate gets a marker, never the answer", "[files]") {
  const RecordedWorld recorded = world();
  CHECK_FALSE(guessed(recorded, call_of("read-a"), 1));
  CHECK_FALSE(guessed(recorded, call_of("read-a"), 2));
  CHECK_FALSE(guessed(recorded, call_of("read-c"), 0));
  CHECK_FALSE(guessed(recorded, call_of("read-c"), 2));
}

TEST_CASE("no write outdates a guess of a pure task", "[files]") {
  const RecordedWorld recorded({shop()}, *ReadOnlyTasks::parse("read-*", "shop.jsonl"), 1, 1, {},
                               *ReadOnlyTasks::parse("read-c", "shop.jsonl"));
  CHECK(guessed(recorded, call_of("read-c"), 0) == 5);
  CHECK_FALSE(guessed(recorded, call_of("read-a"), 1));
}

TEST_CASE("what times are modelled by, wrong guesses take too", "[files]") {
  TimeModels times;
  times.latency = TimeModel::constant(std::chrono::milliseconds(7));
  const RecordedWorld recorded({shop()}, ReadOnlyTasks::all(), 1, 1, times);
  CHECK(recorded.answer(call_of("read-z"), {"shop", 0, {}})->latency == Duration(7000));
}

TEST_CASE("a guess that never comes true gets a marker after a time that every node models alike",
          "[files]") {
  const RecordedWorld recorded = world();
  CHECK_FALSE(guessed(recorded, call_of("read-a", 9), 0));
  CHECK_FALSE(guessed(recorded, call_of("read-a"), 4));
  CHECK_FALSE(guessed(recorded, call_of("read-a"), 6));
  CHECK_FALSE(guessed(recorded, call_of("read-a"), 4'000'000'000U));
  const Call wrong = call_of("read-z");
  const auto latency = [&](const RecordedWorld& from, const Call& call) {
    return from.answer(call, {"shop", 0, {}})->latency;
  };
  CHECK(latency(recorded, wrong) == latency(world(), wrong));
  CHECK(latency(recorded, wrong) != latency(world(1, 2), wrong));
  CHECK(std::abs((latency(recorded, wrong) - 10 * latency(world(10), wrong)).count()) <= 10);
  std::vector<Duration> latencies;
  for (int i = 0; i < 2000; ++i) {
    latencies.push_back(latency(recorded, call_of("read-z", i)));
  }
  std::sort(latencies.begin(), latencies.end());
  CHECK(milliseconds_of(latencies[1000]) == Approx(1000).epsilon(0.1));
  CHECK(milliseconds_of(latencies[1680]) == Approx(1822).epsilon(0.1));
  CHECK(recorded.answer(wrong, {"shop", 0, {}})->output == json::Value(json::Object([&] {
          json::Object marker;
          marker.set("forerun_marker", to_hex(wrong.hash()));
          return marker;
        }())));
}

TEST_CASE("a missing latency is modelled alike wherever the session is loaded", "[files]") {
  TraceSession session = shop();
  session.steps[0].latency.reset();
  std::vector<TraceSession> modelled = {session};
  model_missing_times(modelled, 1);
  TraceSession other = shop();
  other.name = "other";
  const RecordedWorld recorded({other, session}, ReadOnlyTasks::all(), 1, 1);
  CHECK(recorded.answer(call_of("read-a"), {"shop", 0, 0})->latency ==
        modelled[0].steps[0].latency);
}

TEST_CASE("with every task read-only no write ends a guess: an upper bound", "[files]") {
  const RecordedWorld recorded({shop()}, ReadOnlyTasks::all(), 1, 1);
  CHECK(guessed(recorded, call_of("read-a"), 1) == 3);
  CHECK(guessed(recorded, call_of("write"), 0) == 2);
}
