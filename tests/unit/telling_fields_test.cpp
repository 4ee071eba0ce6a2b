#include "coordinator/telling_fields.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "base/prng.hpp"

using namespace forerun;
using namespace forerun::prediction;

namespace {

json::Value parsed(const std::string& text) {
  return *json::parse(text);
}

/// A task whose outputs are made from a label and chance; its label is what follows.
struct Played {
  TellingFields fields;
  LearnedContexts contexts{10'000};
  Prng prng{5};
  Key all = 7;  ///< What all labels at the top say: nothing.

  using Make = std::function<std::string(std::uint64_t label, Prng& prng)>;

  void play(std::size_t outputs, const Make& make) {
    const AnsweredStep step{1, 2, 3};
    for (std::size_t i = 0; i < outputs; ++i) {
      const std::uint64_t label = prng.below(5) == 0 ? 1 + prng.below(2) : 0;
      const json::Value output = parsed(make(label, prng));  // May set `all`.
      const TellingFields::Saying said = fields.read(output, all);
      const Key symbol = 100 + label;
      const Key taught = fields.uses_chosen() ? said.chosen : said.all;
      fields.learn(said, step, taught, symbol, contexts);
      contexts.teach(task_contexts(step), symbol);
      contexts.teach(answer_contexts(step, taught), symbol);
    }
  }
  /// Two outputs say the same of what comes next.
  bool are_alike(const std::string& a, const std::string& b) const {
    return fields.chosen_of(parsed(a)) == fields.chosen_of(parsed(b));
  }
};

std::string named(std::uint64_t label) {
  return std::string("\"") + "abc"[label] + "\"";
}

}  // namespace

TEST_CASE("a field deep in an output is chosen when it tells what follows", "[telling_fields]") {
  const std::pair<const char*, const char*> shapes[] = {
      {R"({"result":{"label":)", "}}"},    {R"({"a":{"b":{"c":{"label":)", "}}}}"}, {"[", "]"},
      {R"({"labels":["x",)", R"(,"y"]})"}, {R"({"items":[{"label":)", "}]}"},
  };
  for (const auto& [before, after] : shapes) {
    CAPTURE(before);
    Played played;
    const auto make = [&, before = before, after = after](std::uint64_t label, Prng&) {
      return before + named(label) + after;
    };
    played.play(200, make);
    CHECK(played.fields.chosen() == 1);
    CHECK(played.fields.uses_chosen());
    CHECK(!played.are_alike(make(0, played.prng), make(1, played.prng)));
    CHECK(!played.are_alike(make(1, played.prng), make(2, played.prng)));
    CHECK(played.fields.chosen_texts(*json::parse(make(1, played.prng))) ==
          std::vector<std::string>{named(1)});
    CHECK(played.fields.chosen_texts(json::Value()) == std::vector<std::string>{"nothing"});
  }
}

TEST_CASE("small fields that tell nothing are not chosen beside one that does",
          "[telling_fields]") {
  Played played;
  const auto make = [&](std::uint64_t label, Prng& prng) {
    std::string text = "{";
    for (int i = 0; i < 4; ++i) {
      text += "\"f" + std::to_string(i) + "\":" + std::to_string(prng.below(5)) + ",";
    }
    text += "\"label\":" + named(label) + "}";
    played.all = hash_text(text);  // Of all labels together each is another one.
    return text;
  };
  played.play(600, make);
  CHECK(played.fields.chosen() == 1);
  CHECK(played.fields.uses_chosen());
  CHECK(played.are_alike(R"({"f0":1,"f1":2,"label":"a"})", R"({"f0":3,"f1":4,"label":"a"})"));
  CHECK(!played.are_alike(R"({"f0":1,"f1":2,"label":"a"})", R"({"f0":1,"f1":2,"label":"b"})"));
}

TEST_CASE("nothing is chosen where no field tells, or all labels together tell the same",
          "[telling_fields]") {
  Played chance;
  chance.play(1'000, [](std::uint64_t, Prng& prng) {
    return R"({"deep":{"x":)" + std::to_string(prng.below(4)) + R"(,"y":)" +
           std::to_string(prng.below(3)) + "}}";
  });
  CHECK(chance.fields.chosen() == 0);
  CHECK(!chance.fields.uses_chosen());

  Played same;
  same.play(300, [&](std::uint64_t label, Prng&) {
    same.all = 1'000 + label;
    return R"({"label":)" + named(label) + "}";
  });
  CHECK(!same.fields.uses_chosen());
}

TEST_CASE(
    "of texts that are always others the first or last word or what stands before digits tells",
    "[telling_fields]") {
  const std::pair<const char*, const char*> shapes[] = {
      {"document %d was judged ", ""},
      {"", " was the verdict on %d and all"},
      {"", "-%d"},
  };
  for (const auto& [before, after] : shapes) {
    CAPTURE(before, after);
    const auto filled = [](std::string text, std::uint64_t number) {
      const auto at = text.find("%d");
      return at == std::string::npos ? text : text.replace(at, 2, std::to_string(number));
    };
    Played played;
    const auto make = [&, before = before, after = after](std::uint64_t label, Prng& prng) {
      const std::uint64_t number = prng.below(1'000'000);
      const char* words[] = {"fine", "poor", "odd"};
      return R"({"deep":{"text":")" + filled(before, number) + words[label] +
             filled(after, number) + R"("}})";
    };
    played.play(400, make);
    CHECK(played.fields.uses_chosen());
    CHECK(played.are_alike(make(0, played.prng), make(0, played.prng)));
    CHECK(!played.are_alike(make(0, played.prng), make(1, played.prng)));
  }
}

TEST_CASE("an output of any size and shape is read within bounds", "[telling_fields]") {
  Played played;
  played.play(300, [](std::uint64_t label, Prng& prng) {
    std::string text = "{\"label\":" + named(label);
    for (int i = 0; i < 200; ++i) {
      text += ",\"m" + std::to_string(prng.below(1'000'000'000)) + "x" + std::to_string(i) +
              "\":[\"two words " + std::to_string(prng.below(1'000)) + "\",[[[[[[[[1]]]]]]]]]";
    }
    return text + "}";
  });
  SUCCEED();
}
