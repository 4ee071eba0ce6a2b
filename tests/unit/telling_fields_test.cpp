#include "coordinator/telling_fields.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <tuple>

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
  const std::tuple<const char*, const char*, std::string> shapes[] = {
      {R"({"result":{"label":)", "}}", "result.label "},
      {R"({"a":{"b":{"c":{"label":)", "}}}}", "a.b.c.label "},
      {"[", "]", "[*] "},
      {R"({"labels":["x",)", R"(,"y"]})", "labels[*] "},
      {R"({"items":[{"label":)", "}]}", "items[*].label "},
  };
  for (const auto& [before, after, place] : shapes) {
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
          std::vector<std::string>{place + named(1)});
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

namespace {

struct LabelPlace {
  const char* what;
  Played::Make make;
};

const char* const words[] = {"fine", "poor", "odd"};

std::string text_output(const std::string& text) {
  return R"({"deep":{"text":)" + json::canonical(text) + "}}";
}

std::string list_of(const char* name, std::size_t size, const Played::Make& item, Prng& prng) {
  std::string text = std::string("{\"") + name + "\":[";
  for (std::size_t i = 0; i < size; ++i) {
    text += (i == 0 ? "" : ",") + item(i, prng);
  }
  return text + "]}";
}

std::vector<LabelPlace> hidden_labels() {
  return {
      {"the n-th word of a sentence",
       [](std::uint64_t label, Prng& prng) {
         return text_output("Case " + std::to_string(prng.below(1'000'000)) + " was " +
                            words[label] + " after " + std::to_string(prng.below(900)) + " days.");
       }},
      {"behind a word that is always there, wherever it stands",
       [](std::uint64_t label, Prng& prng) {
         std::string text = "Dear";
         for (std::uint64_t i = 0; i <= prng.below(9); ++i) {
           text += " n" + std::to_string(prng.below(1'000'000));
         }
         return text_output(text + ", it is " + words[label] + " since " +
                            std::to_string(prng.below(900)) + " days or so");
       }},
      {"a name and a value in a text, in any order",
       [](std::uint64_t label, Prng& prng) {
         const std::string id = "id=" + std::to_string(prng.below(1'000'000));
         const std::string status = std::string("status=") + words[label];
         return text_output(prng.below(2) == 0 ? id + "; " + status : status + "; " + id);
       }},
      {"a range of numbers",
       [](std::uint64_t label, Prng& prng) {
         const std::uint64_t from[] = {0, 1'000, 3'000}, size[] = {1'000, 2'000, 2'000};
         return R"({"amount":)" +
                std::to_string(static_cast<double>(from[label]) +
                               static_cast<double>(prng.below(1'000 * size[label])) / 1'000) +
                "}";
       }},
      {"the length of a list",
       [](std::uint64_t label, Prng& prng) {
         return list_of(
             "items", 4 + 5 * label + prng.below(5),
             [](std::uint64_t, Prng& chance) { return std::to_string(chance.below(1'000'000)); },
             prng);
       }},
      {"a named value in a list in any order",
       [](std::uint64_t label, Prng& prng) {
         const std::uint64_t first = prng.below(3);
         return list_of(
             "fields", 3,
             [&](std::uint64_t i, Prng& chance) {
               const std::uint64_t n = (first + i) % 3;
               return std::string(R"({"name":")") + "xyz"[n] + R"(","value":)" +
                      (n == 0 ? named(label) : named(chance.below(3))) + "}";
             },
             prng);
       }},
      {"whether any item of a list says so",
       [](std::uint64_t label, Prng& prng) {
         const std::size_t size = 2 + prng.below(6);
         const std::uint64_t last = prng.below(size);
         return list_of(
             "checks", size,
             [&](std::uint64_t i, Prng& chance) {
               return R"({"id":)" + std::to_string(chance.below(1'000'000)) + R"(,"state":)" +
                      named(i == last ? label : chance.below(label + 1)) + "}";
             },
             prng);
       }},
  };
}

}  // namespace

TEST_CASE("a label is found wherever a reader would see it", "[telling_fields]") {
  for (const LabelPlace& place : hidden_labels()) {
    CAPTURE(place.what);
    Played played;
    played.play(700, place.make);
    CHECK(played.fields.uses_chosen());
    std::size_t alike = 0, told_apart = 0;
    constexpr std::size_t times = 100;
    for (std::size_t i = 0; i < times; ++i) {
      const std::string output = place.make(1, played.prng);
      const std::string other = place.make(1 + i % 2, played.prng);
      const std::string least = place.make(0, played.prng);
      alike += played.are_alike(output, other) == (i % 2 == 0) ? 1 : 0;
      told_apart += played.are_alike(output, least) ? 0 : 1;
    }
    // A label that is a range or a length is made of several.
    CHECK(alike >= times / 2);
    CHECK(told_apart >= times - 2);
  }
}

TEST_CASE("what a chosen field says is told in words", "[telling_fields]") {
  const auto texts_of = [](const LabelPlace& place, std::uint64_t label) {
    Played played;
    played.play(700, place.make);
    return played.fields.chosen_texts(parsed(place.make(label, played.prng))).front();
  };
  const std::vector<LabelPlace> places = hidden_labels();
  CHECK(texts_of(places[0], 2) == "deep.text \"odd\"");
  CHECK(texts_of(places[3], 0).find("below 1000") != std::string::npos);
  CHECK(texts_of(places[6], 0) == "checks \"a\"");
}

TEST_CASE("a field that another one makes needless is dropped", "[telling_fields]") {
  Played played;
  bool has_both = false;
  const auto make = [&](std::uint64_t label, Prng& prng) {
    // The first tells of the label in three of four, the second always, but later.
    const std::uint64_t near = prng.below(4) == 0 ? prng.below(3) : label;
    return R"({"near":)" + named(near) + R"(,"odd":)" + std::to_string(prng.below(5)) +
           (has_both ? R"(,"true":)" + named(label) : std::string()) + "}";
  };
  played.play(300, make);
  REQUIRE(played.fields.chosen() == 1);
  has_both = true;
  played.play(900, make);
  CHECK(played.fields.chosen() == 1);
  CHECK(
      played.are_alike(R"({"near":"a","odd":1,"true":"b"})", R"({"near":"c","odd":1,"true":"b"})"));
  CHECK(!played.are_alike(R"({"near":"a","odd":1,"true":"b"})",
                          R"({"near":"a","odd":1,"true":"c"})"));
}

TEST_CASE("a limit lies at the roundest number", "[telling_fields]") {
  CHECK(roundest_between(833.2, 1'666.1) == 1'000);
  CHECK(roundest_between(0.61, 0.83) == 0.75);
  CHECK(roundest_between(0.71, 0.74) == 0.725);
  CHECK(roundest_between(-3, 12) == 0);
  CHECK(roundest_between(-7.5, -6.2) == -7);
  CHECK(roundest_between(1'234, 1'234.5) == 1'234.5);
  CHECK(roundest_between(1e300, 2e300) == 2e300);
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
