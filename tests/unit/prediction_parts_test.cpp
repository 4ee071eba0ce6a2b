#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "coordinator/conversation.hpp"
#include "coordinator/past_sessions.hpp"
#include "coordinator/ranker.hpp"
#include "coordinator/session_memory.hpp"
#include "coordinator/task_names.hpp"

using namespace forerun;
using namespace forerun::prediction;

TEST_CASE("a ranker's probabilities sum to one, and it learns which feature tells",
          "[prediction_parts]") {
  Ranker<2> ranker({0, 0});
  const Features<2> telling = {1, 0};
  const Features<2> idle = {0, 1};
  const auto stated = [&] {
    std::vector<double> scores = {ranker.score(telling), ranker.score(idle)};
    const double none = Ranker<2>::normalise(scores, 0);
    CHECK(scores[0] + scores[1] + none == Approx(1));
    return scores;
  };
  CHECK(stated()[0] == Approx(1.0 / 3));
  for (int i = 0; i < 200; ++i) {
    const std::vector<double> scores = stated();
    ranker.note(telling, scores[0], true);
    ranker.note(idle, scores[1], false);
    ranker.step();
  }
  CHECK(stated()[0] > 0.9);
  CHECK(stated()[1] < 0.05);
}

TEST_CASE("what sets a candidate apart adds up to its odds", "[prediction_parts]") {
  const Ranker<3> ranker({0.7, -1.2, 2});
  const std::vector<Features<3>> all = {{1, 0.5, 0.2}, {0.3, 2, 0}, {-1, 0, 1}, {0, 0, 0}};
  std::vector<double> shares;
  for (const Features<3>& each : all) {
    shares.push_back(ranker.score(each));
  }
  Ranker<3>::normalise(shares, -1e9);
  for (std::size_t at = 0; at < all.size(); ++at) {
    std::vector<Ranker<3>::Rival> rivals;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (i != at) {
        rivals.push_back({&all[i], shares[i]});
      }
    }
    const auto apart = ranker.apart(all[at], rivals);
    CHECK(apart.by[0] + apart.by[1] + apart.by[2] - apart.rivals ==
          Approx(std::log(shares[at] / (1 - shares[at]))));
  }
  // What all have alike tells nothing.
  const Features<3> like = {5, 1, 0}, other = {5, 0, 3};
  const std::vector<Ranker<3>::Rival> rival = {{&other, 0.4}};
  CHECK(ranker.apart(like, rival).by[0] == 0);
  CHECK(ranker.apart(like, rival).rivals == 0);
}

TEST_CASE("scores of any size give probabilities", "[prediction_parts]") {
  std::vector<double> scores = {-1e6, 1e6};
  CHECK(Ranker<1>::normalise(scores, 0) == Approx(0));
  CHECK(scores[0] == Approx(0));
  CHECK(scores[1] == Approx(1));
}

TEST_CASE("past sessions with like texts say what comes, where they did the same",
          "[prediction_parts]") {
  PastSessions past;
  past.add({{10, 20, 30}, {1, 2}, {101, 102, 199}}, 100);
  past.add({{40, 50, 60}, {1, 3}, {101, 103, 199}}, 100);
  const auto near = past.nearest({10, 20});
  REQUIRE(near.size() == 1);
  CHECK(near.front().number == 0);
  const auto next = past.likely(near, {1});
  REQUIRE(next.size() == 1);
  CHECK(next.front().symbol == 102);
  CHECK(past.likely(near, {7}).empty());
  REQUIRE(past.likely(near, {}).size() == 1);
  CHECK(past.likely(near, {}).front().symbol == 101);
}

TEST_CASE("past sessions are bounded, and forgotten ones say nothing", "[prediction_parts]") {
  PastSessions past;
  past.add({{10, 20}, {1}, {101, 199}}, 2);
  const auto before = past.nearest({10});
  past.add({{11, 20}, {1}, {102, 199}}, 2);
  past.add({{12, 20}, {1}, {103, 199}}, 2);
  CHECK(past.nearest({10}).empty());
  CHECK(past.likely(before, {}).empty());
  CHECK(past.nearest({20}).size() == 2);
}

TEST_CASE("a text names tasks by the words they share", "[prediction_parts]") {
  TaskNames names;
  names.add("SearchRestaurants", "", 1, 11);
  names.add("search_hotels", "", 2, 12);
  names.add("book_hotel", "", 3, 13);
  std::vector<Key> text = {stem_of("find"), stem_of("Restaurants"), stem_of("nearby")};
  std::sort(text.begin(), text.end());
  const auto named = names.named(text);
  REQUIRE(named.size() == 1);
  CHECK(named.front().symbol == 11);
  CHECK(names.match(1, text) > 0.3);
  CHECK(names.match(2, text) == 0);
  CHECK(names.match(9, text) == 0);
}

TEST_CASE("the digest of a conversation depends on all that was said, in order",
          "[prediction_parts]") {
  const Call call = Call::make("ask", *json::parse(R"({"a":1})")->object());
  Conversation one;
  one.text("hello");
  one.step(call, *Output::parse("1"));
  Conversation two;
  two.step(call, *Output::parse("1"));
  two.text("hello");
  Conversation three = one;
  CHECK(one.digest() == three.digest());
  CHECK(one.digest() != two.digest());
  three.step(call, *Output::parse("1"));
  CHECK(one.digest() != three.digest());
  CHECK(one.digest().size() == 16);
}

TEST_CASE("a session's memory knows which tasks its steps called, also after a step is taken back",
          "[prediction_parts]") {
  MemoryLimits limits;
  limits.steps = 2;  // Few more are kept beyond them.
  SessionMemory memory(limits);
  const auto add = [&memory](const std::string& task) {
    SeenStep step{Call::make(task, {}), std::nullopt, hash_text(task), 0, 0, 0};
    memory.add_call(std::move(step));
    memory.add_output(std::nullopt, 0);
  };
  const auto check = [&memory] {
    Key set = 0;
    for (const char* task : {"a", "b", "c", "d"}) {
      const Key key = hash_text(task);
      const bool is_there = std::any_of(memory.steps().begin(), memory.steps().end(),
                                        [key](const SeenStep& step) { return step.task == key; });
      CHECK(memory.was_called(key) == is_there);
      set += is_there ? key : 0;
    }
    CHECK(memory.task_set() == set);
  };
  check();
  for (const char* task : {"a", "b", "c", "c", "d"}) {
    add(task);
    check();
  }
  for (int i = 0; i < 12; ++i) {  // The third step, and later ones, are forgotten.
    add("d");
    check();
  }
  const SessionMemory::Mark mark = memory.mark();
  add("c");
  add("d");
  check();
  memory.rollback(mark);
  check();
  CHECK_FALSE(memory.was_called(hash_text("c")));
}
