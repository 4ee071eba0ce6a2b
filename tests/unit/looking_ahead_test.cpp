/// What is expected before the output, or the text, that an argument comes from.

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "coordinator/peak_load.hpp"
#include "coordinator/prediction_graph.hpp"

using namespace forerun;

namespace {

Call call_of(const char* task, const char* name = nullptr, const std::string& value = {}) {
  json::Object input;
  if (name != nullptr) {
    input.set(name, value);
  }
  return Call::make(task, std::move(input));
}

Output returned(const char* name, const std::string& value) {
  json::Object output;
  output.set(name, value);
  return Output::make(json::Value(std::move(output)));
}

double likeliest_of(const std::vector<Prediction>& made, const char* task) {
  double most = 0;
  for (const Prediction& each : made) {
    most = each.call.task() == task ? std::max(most, each.probability) : most;
  }
  return most;
}

struct Sessions {
  PredictionGraph graph;
  RunId id;

  void begin() { ++id.counter; }
  void step(const Call& call, const Output& output) { graph.observe(id, "t", call, output); }
  void end() { graph.end(id); }
  /// What is expected in a session of its own while the output of this call is open.
  std::vector<Prediction> beyond_open(const Call& call) {
    begin();
    graph.text(id, "t", "go");
    const ImaginedStep open[] = {{call, std::nullopt}};
    Question question;
    question.beyond = open;
    return graph.predict(id, question);
  }
};

}  // namespace

TEST_CASE("a value that an open output holds is not guessed to be one of old", "[looking_ahead]") {
  Sessions sessions;
  for (int i = 0; i < 300; ++i) {
    const std::string key = "k" + std::to_string(i * 7919);
    sessions.begin();
    sessions.step(call_of("classify"), returned("key", key));
    for (const char* task : {"log", "audit", "do", "fin"}) {
      sessions.step(call_of(task, "key", key), returned("shard", task + key));
    }
    sessions.end();
  }
  CHECK(likeliest_of(sessions.beyond_open(call_of("classify")), "log") < 0.1);
  // Once it is there, nothing is surer.
  sessions.step(call_of("classify"), returned("key", "fresh"));
  const std::vector<Prediction> after = sessions.graph.predict(sessions.id, {});
  REQUIRE_FALSE(after.empty());
  CHECK(after.front().call == call_of("log", "key", "fresh"));
  CHECK(after.front().probability > 0.9);
}

TEST_CASE("a value that many outputs held is guessed while the next one is open",
          "[looking_ahead]") {
  Sessions sessions;
  for (int i = 0; i < 150; ++i) {
    sessions.begin();
    sessions.step(call_of("classify"), returned("currency", "EUR"));
    sessions.step(call_of("pay", "currency", "EUR"), returned("id", std::to_string(i)));
    sessions.end();
  }
  CHECK(likeliest_of(sessions.beyond_open(call_of("classify")), "pay") > 0.8);
}

TEST_CASE("a look ahead leaves nothing out that contexts make sure", "[looking_ahead]") {
  Sessions sessions;
  static const char* const names[] = {"Anna", "Bert", "Carla", "Dirk", "Eva", "Fritz", "Gerd"};
  const auto play = [&](int i, bool asks) {
    const std::string name = std::string(names[i % 7]) + std::to_string(i);
    const std::string words = "thought " + std::to_string(i * 7919) + " about it";
    sessions.begin();
    sessions.graph.text(sessions.id, "t", "please find and book and reply for " + name);
    sessions.step(call_of("think", "thought", words), returned("ok", "yes"));
    if (asks) {
      Question question;
      question.probability_min = 0.08;
      const std::vector<Prediction> made = sessions.graph.predict(sessions.id, question);
      CHECK(likeliest_of(made, "find_person") > 0.8);
    }
    sessions.step(call_of("find_person", "name", name), returned("person", "p" + name));
    sessions.step(call_of("book", "person", "p" + name), returned("ok", "yes"));
    sessions.step(call_of("reply", "text", words + " again"), returned("ok", "yes"));
    sessions.end();
  };
  for (int i = 0; i < 320; ++i) {
    play(i, i >= 300);
  }
}

TEST_CASE("an argument that the next text holds waits for it", "[looking_ahead]") {
  Sessions sessions;
  const auto question_of = [](int i) {
    return "what is the policy " + std::to_string(i * 7919) + " for customers";
  };
  for (int i = 0; i < 100; ++i) {
    sessions.begin();
    sessions.graph.text(sessions.id, "t", "You are a helpful assistant.");
    sessions.graph.text(sessions.id, "t", question_of(i));
    sessions.step(call_of("search", "query", question_of(i)), returned("id", std::to_string(i)));
    sessions.step(call_of("fetch", "id", std::to_string(i)), returned("text", "x"));
    sessions.end();
  }
  sessions.begin();
  sessions.graph.text(sessions.id, "t", "You are a helpful assistant.");
  CHECK(likeliest_of(sessions.graph.predict(sessions.id, {}), "search") < 0.5);
  sessions.graph.text(sessions.id, "t", question_of(1'000));
  const std::vector<Prediction> made = sessions.graph.predict(sessions.id, {});
  REQUIRE_FALSE(made.empty());
  CHECK(made.front().call == call_of("search", "query", question_of(1'000)));
  CHECK(made.front().probability > 0.8);
}

TEST_CASE("the peak is that of this window and the one before", "[looking_ahead]") {
  PeakLoad load;
  Instant now = Instant{} + std::chrono::hours(1);
  load.note(now, 5);
  load.note(now, 3);
  CHECK(load.peak(now) == 5);
  now += PeakLoad::window;
  CHECK(load.peak(now) == 5);
  load.note(now, 2);
  CHECK(load.peak(now) == 5);
  now += PeakLoad::window;
  CHECK(load.peak(now) == 2);
  now += 2 * PeakLoad::window;
  CHECK(load.peak(now) == 0);
}
