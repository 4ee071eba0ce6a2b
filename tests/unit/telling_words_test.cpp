#include "coordinator/telling_words.hpp"

#include <catch2/catch.hpp>

#include "coordinator/likely.hpp"
#include "coordinator/word_meanings.hpp"

using namespace forerun;
using namespace forerun::prediction;

namespace {

constexpr Key tenant = 1, book = 10, cancel = 20;

SessionMemory memory_with(std::string_view text) {
  SessionMemory memory{MemoryLimits{}};
  memory.add_text(text);
  return memory;
}

TellingWords taught(std::size_t words_max = 1'000) {
  TellingWords words(words_max);
  for (int i = 0; i < 20; ++i) {
    words.learn(memory_with("please book a flight"), tenant, {{book, 0.5}, {cancel, 0.5}}, book);
    words.learn(memory_with("please cancel a flight"), tenant, {{book, 0.5}, {cancel, 0.5}},
                cancel);
  }
  return words;
}

}  // namespace

TEST_CASE("words speak for what came after them, and against what did not", "[telling_words]") {
  const TellingWords words = taught();
  Spoken spoken;
  words.hear(memory_with("book it"), tenant, spoken);
  CHECK(spoken[0].front().symbol == book);
  CHECK(share_in(spoken[0], book) > 0);
  CHECK(share_in(spoken[0], cancel) < 0);
  // Nothing was learned of what comes when steps have followed the text.
  CHECK(spoken[1].empty());
}

TEST_CASE("one tenant's words say nothing to another", "[telling_words]") {
  const TellingWords words = taught();
  Spoken spoken;
  words.hear(memory_with("book it"), tenant + 1, spoken);
  CHECK(spoken[0].empty());
}

TEST_CASE("the word that tells is named", "[telling_words]") {
  const TellingWords words = taught();
  const SessionMemory memory = memory_with("please cancel a flight");
  CHECK(words.words_for(memory, tenant, cancel, {{book, 1.0}}, true) == R"("cancel")");
  CHECK(words.words_for(memory, tenant, book, {{cancel, 1.0}}, false) == R"("cancel")");
  CHECK(words.words_for(memory_with("hello"), tenant, book, {}, true).empty());
}

TEST_CASE("what was stated rightly moves no weight", "[telling_words]") {
  TellingWords words(1'000);
  words.learn(memory_with("book"), tenant, {{book, 1.0}, {cancel, 0.0}}, book);
  Spoken spoken;
  words.hear(memory_with("book"), tenant, spoken);
  CHECK(spoken[0].empty());
}

TEST_CASE("a word comes to mean the value that followed it and nothing else told",
          "[word_meanings]") {
  LearnedContexts contexts(1'000);
  const Key task = 2, name = hash_text("cuisine");
  for (int i = 0; i < 10; ++i) {
    learn_meaning(memory_with("something with pasta"), tenant, task, name, json::Value("italian"),
                  contexts);
    learn_meaning(memory_with("something with curry"), tenant, task, name, json::Value("indian"),
                  contexts);
  }
  std::vector<Meaning> meanings;
  gather_meanings(memory_with("pasta tonight"), tenant, contexts, meanings);
  REQUIRE(meanings.size() == 1);
  CHECK(meanings.front().value == meaning_of(name, hash_value(json::Value("italian"))));
  CHECK(meanings.front().lift > 0);
  gather_meanings(memory_with("pasta tonight"), tenant + 1, contexts, meanings);
  CHECK(meanings.empty());
}

TEST_CASE("a word of the text itself is told by no meaning", "[word_meanings]") {
  LearnedContexts contexts(1'000);
  learn_meaning(memory_with("an italian place"), tenant, 2, hash_text("cuisine"),
                json::Value("italian"), contexts);
  learn_meaning(SessionMemory{MemoryLimits{}}, tenant, 2, hash_text("cuisine"),
                json::Value("italian"), contexts);
  CHECK(contexts.size() == 0);
}
