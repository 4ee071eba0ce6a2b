#include "speculation/hazard_tags.hpp"

#include <catch2/catch.hpp>

using namespace forerun;
using Tags = std::vector<std::string>;

namespace {

Task task(Effect effect) {
  Task result;
  result.name = std::string("t");
  result.effect = effect;
  return result;
}

const json::Value input_value =
    json::parse(R"({"order_id":"W1","n":2.50,"flag":true,"list":[1]})").value();
const json::Object& input = *input_value.object();

}  // namespace

TEST_CASE("a pattern's fields are filled from the input", "[hazard_tags]") {
  Task read = task(Effect::read);
  read.reads = Tags{"order/{order_id}", "all", "{n}-{flag}", "all"};
  const TagSet set = read_tags(read, input, "acme", "R/1");
  REQUIRE(set == TagSet{"tenant:acme", false, Tags{"2.5-true", "all", "order/W1"}});
}

TEST_CASE("a field that is missing or names no one thing touches everything", "[hazard_tags]") {
  Task read = task(Effect::read);
  const std::string pattern = GENERATE("{nobody}", "{list}");
  read.reads = Tags{"fine", pattern};
  REQUIRE(read_tags(read, input, "acme", "R/1") == TagSet{"tenant:acme", true, {}});
}

TEST_CASE("what is not declared reaches the whole scope", "[hazard_tags]") {
  Task read = task(Effect::read);
  REQUIRE(read_tags(read, input, "acme", "R/1").everything);
  read.scope = HazardScope::session;
  REQUIRE(read_tags(read, input, "acme", "R/1") == TagSet{"session:R/1", true, {}});
  REQUIRE_FALSE(write_tags(read, input, "acme", "R/1").everything);
  const Task write = task(Effect::write);
  REQUIRE(write_tags(write, input, "acme", "R/1").everything);
  REQUIRE(read_tags(write, input, "acme", "R/1") == TagSet{"tenant:acme", false, {}});
  const Task pure = task(Effect::pure);
  REQUIRE(read_tags(pure, input, "acme", "R/1") == TagSet{"tenant:acme", false, {}});
  REQUIRE(write_tags(pure, input, "acme", "R/1") == TagSet{"tenant:acme", false, {}});
}

TEST_CASE("sets conflict when they share a space and a tag", "[hazard_tags]") {
  const TagSet one{"tenant:a", false, {"x", "y"}};
  CHECK(conflict(one, TagSet{"tenant:a", false, {"w", "y"}}));
  CHECK_FALSE(conflict(one, TagSet{"tenant:a", false, {"w", "z"}}));
  CHECK_FALSE(conflict(one, TagSet{"tenant:b", false, {"x"}}));
  CHECK(conflict(one, TagSet{"tenant:a", true, {}}));
  CHECK_FALSE(conflict(TagSet{"tenant:a", false, {}}, TagSet{"tenant:a", true, {}}));
  CHECK(conflict(TagSet{"tenant:a", true, {}}, TagSet{"tenant:a", true, {}}));
}

TEST_CASE("patterns have closed braces around a name", "[hazard_tags]") {
  for (const char* pattern : {"a", "a/{b}", "{a}{b}", "a b"}) {
    CHECK(is_tag_pattern(pattern));
  }
  for (const char* pattern : {"", "{", "}", "{}", "a{b", "a}b", "{a{b}}"}) {
    CHECK_FALSE(is_tag_pattern(pattern));
  }
}

TEST_CASE("a tag that grows too long touches everything", "[hazard_tags]") {
  Task read = task(Effect::read);
  read.reads = Tags{"{long}"};
  json::Object large;
  large.set("long", std::string(tag_bytes_max + 1, 'x'));
  REQUIRE(read_tags(read, large, "a", "R/1").everything);
}
