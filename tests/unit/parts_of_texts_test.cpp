#include "coordinator/parts_of_texts.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "base/prng.hpp"
#include "coordinator/session_memory.hpp"

using namespace forerun;
using namespace forerun::prediction;

namespace {

/// All parts of a text, each with how it is found.
std::vector<std::string> parts(std::string_view text) {
  std::vector<std::string> told;
  each_part(text, [&](const TextPart& part) {
    told.push_back(std::string(part.text) + (part.is_number ? " (number) " : " ") + text_of(part));
    return true;
  });
  return told;
}

bool has(const std::string& text, const std::string& wanted) {
  const std::vector<std::string> told = parts(text);
  return std::find(told.begin(), told.end(), wanted) != told.end();
}

/// A memory with one step whose output is this.
SessionMemory with_output(const json::Value& output, MemoryLimits limits = {}) {
  SessionMemory memory(limits);
  memory.add_call(SeenStep{Call::make("make", {}), std::nullopt, hash_text("make"), 0, 0, 0});
  memory.add_output(Output::make(output), 0);
  return memory;
}

SessionMemory with_output(const char* output) {
  return with_output(*json::parse(output));
}

bool has_part(const SessionMemory& memory, const json::Value& value) {
  const std::uint32_t at = memory.latest_part(hash_value(value));
  return at != 0 && *memory.value(at).json == value && memory.value(at).is_part;
}

std::string words(std::size_t bytes, Prng& prng) {
  std::string text;
  while (text.size() < bytes) {
    text += "id-" + std::to_string(prng.next()) + (prng.below(9) == 0 ? "\n" : " ");
  }
  return text;
}

}  // namespace

TEST_CASE("a sentence tells what names, counts and codes something, by the word before it",
          "[parts_of_texts]") {
  const std::string text = "Created order ORD-1234 for bob@x.org, 3 items at $1,250.50.";
  CHECK(has(text, "ORD-1234 after 'order'"));
  CHECK(has(text, "ORD-1234 by its look"));
  CHECK(has(text, "bob@x.org after 'for'"));
  CHECK(has(text, "$1,250.50 after 'at'"));
  CHECK(has(text, "$1,250.50 (number) after 'at'"));
  for (const std::string& told : parts(text)) {
    CHECK(told.rfind("Created", 0) != 0);
  }
  CHECK(has("moved 'a b.txt' to `notes/c.txt`", "a b.txt in quotes"));
  CHECK(has("moved 'a b.txt' to `notes/c.txt`", "notes/c.txt after 'to'"));
  CHECK(has("moved 'a b.txt' to `notes/c.txt`", "c.txt at the end of a path"));
  CHECK(has("It was booked for Eva Lund in Rome.", "Eva Lund after 'for'"));
  CHECK(has("It was booked for Eva Lund in Rome.", "Rome after 'in'"));
  CHECK(has("City: Rome. Paris is next.", "Rome after 'City'"));
  CHECK(has("ORD-1, ORD-2", "ORD-2 that stands first or behind another"));
  CHECK(parts("all is well").empty());
}

TEST_CASE("names with a colon or an equals sign tell what stands behind them", "[parts_of_texts]") {
  const std::string lines =
      "**Order ID:** ORD-7\n- carrier: North Post\nstate=moving\nnote: all, ok";
  CHECK(has(lines, "ORD-7 after 'Order ID'"));
  CHECK(has(lines, "North Post on the line of 'carrier'"));
  CHECK(has(lines, "moving after 'state'"));
  CHECK(has("{'id': 'A1', 'city': 'San Remo'}", "A1 after 'id'"));
  CHECK(has("{'id': 'A1', 'city': 'San Remo'}", "San Remo after 'city'"));
  CHECK(has("done, ticket: T9, state: open", "open after 'state'"));
}

TEST_CASE("addresses and paths tell their parts and what their query says", "[parts_of_texts]") {
  const std::string text = "https://api.x.org/v1/jobs/a71?page=12&mode=full#top";
  CHECK(has(text, "a71 after 'jobs'"));
  CHECK(has(text, "a71 at the end of a path"));
  CHECK(has(text, "12 (number) after 'page'"));
  CHECK(has(text, "full after 'mode'"));
  CHECK(has("/home/bob/report.pdf", "report.pdf at the end of a path"));
  CHECK(has("see [the guide](https://x.org/d/77) now", "https://x.org/d/77 where a link leads"));
  CHECK(has("see [the guide](https://x.org/d/77) now", "the guide in a link's text"));
  CHECK(has("see [the guide](https://x.org/d/77) now", "77 (number) after 'd'"));
  for (const std::string& told : parts("this and/or that on 12/05/2024")) {
    CHECK(told.find("path") == std::string::npos);
  }
}

TEST_CASE("a table tells its cells by column", "[parts_of_texts]") {
  const std::string named =
      "Found:\n| id | Owner |\n|----|:---:|\n| A7 | Eva Lund |\n| B8 | 40 |\n";
  CHECK(has(named, "A7 in column 'id'"));
  CHECK(has(named, "Eva Lund in column 'Owner'"));
  CHECK(has(named, "40 (number) in column 'Owner'"));
  CHECK(has("| A7 | Eva Lund |", "Eva Lund in column 2"));
  const std::string commas = "id,full_name,sum\nA7,Eva Lund,40\nB8,,7\n";
  CHECK(has(commas, "Eva Lund in column 'full_name'"));
  CHECK(has(commas, "7 (number) in column 'sum'"));
  CHECK(has("id\tcity\nA7\tRome", "Rome in column 'city'"));
  CHECK(has("<order><id>A7</id><city>Rome</city></order>", "Rome after 'city'"));
}

TEST_CASE("numbers become texts and texts numbers only where they come back the same",
          "[parts_of_texts]") {
  for (const char* text :
       {"0", "7", "-3", "12345", "4111111111111111", "0.5", "-12.25", "100000"}) {
    CAPTURE(text);
    REQUIRE(number_of_text(text));
    CHECK(text_of_number(*number_of_text(text)) == std::string(text));
  }
  for (const char* text : {"", "-", "007", "+1", "1.50", "1e5", "-0", "1,000", " 1", "1 ", "0x1",
                           "inf", "nan", "99999999999999999", "1."}) {
    CAPTURE(text);
    CHECK(!number_of_text(text));
  }
  CHECK(!text_of_number(1e300));
  CHECK(!text_of_number(1e-9));
  CHECK(!text_of_number(-0.0));
}

TEST_CASE("a document in a text is read, within bounds", "[parts_of_texts]") {
  CHECK(document_in(R"({"a":[1]})", 100) == *json::parse(R"({"a":[1]})"));
  CHECK(document_in("Here it is:\n```json\n[{\"a\":1}]\n```\n", 100) ==
        *json::parse(R"([{"a":1}])"));
  CHECK(document_in(R"([see] this: {"a":1} done)", 100) == *json::parse(R"({"a":1})"));
  CHECK(!document_in(R"({"a":[1]})", 8));
  CHECK(!document_in(R"({"a":)", 100));
  CHECK(!document_in("[(1, 'x')]", 100));
  CHECK(!document_in(std::string(1'000, '['), 10'000));
  CHECK(!document_in("none", 100));
}

TEST_CASE("any text is read within bounds, to its end or not", "[parts_of_texts]") {
  Prng prng(3);
  std::vector<std::string> texts = {words(1U << 20U, prng)};
  for (const char* piece :
       {"[", "'", "\"x", "a=", "a:", "/", "| ", "](", "{\"", "-", "9", "\xc3\xa9 9"}) {
    std::string& text = texts.emplace_back();
    while (text.size() < 1U << 20U) {
      text += piece;
    }
  }
  for (int i = 0; i < 300; ++i) {
    std::string& text = texts.emplace_back();
    const std::string_view signs = " \n[]()'\"`|:=/.,#-_@{}<>?&aZ90$\xc3\xa9";
    for (std::uint64_t n = prng.below(6'000); n > 0; --n) {
      text.push_back(signs[prng.below(signs.size())]);
    }
  }
  for (const std::string& text : texts) {
    std::size_t told = 0;
    each_part(text, [&](const TextPart& part) {
      ++told;
      CHECK(part.text.size() <= part_bytes_max);
      CHECK(!part.text.empty());
      CHECK(part.text.data() >= text.data());
      CHECK(part.text.data() + part.text.size() <= text.data() + text.size());
      return true;
    });
    CHECK(told <= parts_per_text_max);
  }
  // What stands behind a text is none of it.
  const std::string_view sample = "2) a: [b](c?d=1&e='f\n|x|\n|-|\n$1,0\n<t>\"{\"\n#3\n- A9";
  for (std::size_t from = 0; from < sample.size(); ++from) {
    for (std::size_t size = 0; from + size <= sample.size(); ++size) {
      const std::string_view text = sample.substr(from, size);
      CHECK(parts(text) == parts(std::string(text)));
    }
  }
  texts[0] += "created job J-77";
  CHECK(has(texts[0], "J-77 after 'job'"));
  std::size_t told = 0;
  each_part("A1 B2 C3", [&](const TextPart&) { return ++told < 2; });
  CHECK(told == 2);
}

TEST_CASE("a session's memory holds what the texts of outputs say", "[parts_of_texts]") {
  const SessionMemory memory = with_output(
      R"({"id":"X1","message":"Made X1 and order ORD-5, 12 items",
          "body":"{\"inner\":{\"ref\":\"R 7\",\"note\":\"see K-3\"}}"})");
  CHECK(has_part(memory, "ORD-5"));
  CHECK(has_part(memory, 12));
  CHECK(has_part(memory, "K-3"));
  CHECK(memory.latest_equal(hash_string("ORD-5")) == 0);
  CHECK(memory.output_value(1, 9) == 0);  // Rules of what stood where in an output see no parts.
  // What stands in a document in a text is a value like any, and what the output shows is no part.
  CHECK(memory.latest_equal(hash_string("R 7")) != 0);
  CHECK(!has_part(memory, "X1"));
  const SeenValue& part = memory.value(memory.latest_part(hash_string("ORD-5")));
  CHECK(*memory.value(part.parent).json->string() == "Made X1 and order ORD-5, 12 items");

  MemoryLimits limits;
  limits.parts = false;
  CHECK(!has_part(with_output("order ORD-5", limits), "ORD-5"));
}

TEST_CASE("parts of texts are taken back with the step that brought them", "[parts_of_texts]") {
  SessionMemory memory = with_output(R"("order ORD-5")");
  const std::size_t bytes = memory.bytes();
  for (int i = 0; i < 3; ++i) {
    const SessionMemory::Mark mark = memory.mark();
    memory.add_call(SeenStep{Call::make("next", {}), std::nullopt, hash_text("next"), 0, 0, 0});
    const SessionMemory::Mark inner = memory.mark();
    memory.add_output(Output::make("order ORD-6"), 0);
    memory.rollback(inner);
    CHECK(!has_part(memory, "ORD-6"));
    memory.add_output(Output::make(R"({"a":["order ORD-7","{\"b\":\"ORD 8\"}"]})"), 0);
    CHECK(has_part(memory, "ORD-7"));
    CHECK(memory.latest_equal(hash_string("ORD 8")) != 0);
    memory.rollback(mark);
    CHECK(!has_part(memory, "ORD-7"));
    CHECK(memory.latest_equal(hash_string("ORD 8")) == 0);
    CHECK(has_part(memory, "ORD-5"));
  }
  CHECK(memory.bytes() <= bytes + 4'096);  // The index has grown, and nothing else.
}

TEST_CASE("parts of texts are bounded for each document and counted", "[parts_of_texts]") {
  Prng prng(4);
  MemoryLimits limits;
  limits.document_bytes = 4U << 20U;
  const auto values = [](SessionMemory memory) {
    const std::size_t all = memory.mark().values;
    return all - memory.output_value(1, 0);
  };
  const json::Value huge(words(1U << 20U, prng));
  const SessionMemory one = with_output(huge, limits);
  CHECK(values(one) > 1);
  CHECK(values(one) <= 1 + parts_per_text_max);
  json::Array many;
  for (int i = 0; i < 200; ++i) {
    many.push_back(words(300, prng));
  }
  const SessionMemory all = with_output(many, limits);
  CHECK(values(all) > 201);
  CHECK(values(all) <= 201 + limits.parts_per_document);
  many.resize(many.size() * 2, json::Value("id-1 id-2"));
  CHECK(values(with_output(many, limits)) == limits.values_per_document);
  limits.parts = false;
  const std::size_t without = with_output(huge, limits).bytes();
  CHECK(one.bytes() > without + parts_per_text_max * sizeof(SeenValue));
  CHECK(one.bytes() < without + (32U << 10U));
}

TEST_CASE("parts of texts stay where they are when steps are let go of", "[parts_of_texts]") {
  MemoryLimits limits;
  limits.steps = 16;
  SessionMemory memory(limits);
  std::size_t largest = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string number = std::to_string(i);
    memory.add_call(SeenStep{Call::make("make", {}), std::nullopt, hash_text("make"), 0, 0, 0});
    memory.add_output(Output::make(R"(order ORD-)" + number + R"(, {"id": "I )" + number + "\"}"),
                      0);
    CHECK(has_part(memory, "ORD-" + number));
    largest = i < 60 ? std::max(largest, memory.bytes()) : largest;
  }
  CHECK(memory.bytes() <= largest);
  CHECK(has_part(memory, "ORD-0"));    // Of the first steps.
  CHECK(!has_part(memory, "ORD-99"));  // Of those between.
  CHECK(memory.latest_equal(hash_string("I 0")) != 0);
  CHECK(memory.latest_equal(hash_string("I 99")) == 0);
  const SeenValue& latest = memory.value(memory.latest_part(hash_string("ORD-0")));
  CHECK(memory.way_to(latest) == "by its look");
  CHECK(memory.way_to(memory.value(latest.same_value)) == "after 'order'");
}
