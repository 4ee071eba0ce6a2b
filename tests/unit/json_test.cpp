#include "base/json.hpp"

#include <catch2/catch.hpp>

using namespace forerun;

TEST_CASE("numbers are written as ECMAScript writes them", "[json]") {
  const auto [number, text] = GENERATE(table<double, std::string>({{0.0, "0"},
                                                                   {-0.0, "0"},
                                                                   {1e-7, "1e-7"},
                                                                   {1e-6, "0.000001"},
                                                                   {1e21, "1e+21"},
                                                                   {1e20, "100000000000000000000"},
                                                                   {-1.5, "-1.5"},
                                                                   {5e-324, "5e-324"}}));
  REQUIRE(json::canonical(json::Value(number)) == text);
}

TEST_CASE("nesting is refused beyond the limit and accepted at it", "[json]") {
  REQUIRE(json::parse(std::string(64, '[') + std::string(64, ']')));
  const auto deep = json::parse(std::string(65, '[') + std::string(65, ']'));
  REQUIRE_FALSE(deep);
  REQUIRE(deep.error().code == Errc::too_large);
}

TEST_CASE("a document over the size limit is refused before it is read", "[json]") {
  const auto big = json::parse("[1,2]", json::Limits{4, 64});
  REQUIRE_FALSE(big);
  REQUIRE(big.error().message == "json: 5 bytes, expected at most 4");
}

TEST_CASE("members can be found and replaced in any order of insertion", "[json]") {
  json::Object members;
  members.set("\xEF\xAC\xB3", 1);         // U+FB33
  members.set("\xF0\x9F\x98\x80", 2);     // U+1F600: a surrogate pair, so it sorts first
  members.set("a", 3);
  members.set("a", 4);
  REQUIRE(members.size() == 3);
  REQUIRE(*members.find("a")->number() == 4);
  REQUIRE(json::canonical(members) == "{\"a\":4,\"\xF0\x9F\x98\x80\":2,\"\xEF\xAC\xB3\":1}");
}
