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
  members.set("\xEF\xAC\xB3", 1);      // U+FB33
  members.set("\xF0\x9F\x98\x80", 2);  // U+1F600: a surrogate pair, so it sorts first
  members.set("a", 3);
  members.set("a", 4);
  REQUIRE(members.size() == 3);
  REQUIRE(*members.find("a")->number() == 4);
  REQUIRE(json::canonical(members) == "{\"a\":4,\"\xF0\x9F\x98\x80\":2,\"\xEF\xAC\xB3\":1}");
}

TEST_CASE("numbers round to the nearest double, and are refused beyond the largest", "[json]") {
  const auto read = [](const std::string& text) {
    const auto value = json::parse(text);
    return value ? json::canonical(*value) : value.error().message;
  };
  const std::string zeros(400, '0');
  CHECK(read("1e-400") == "0");
  CHECK(read("-1e-999999999999999999999") == "0");
  CHECK(read("0." + zeros + "1") == "0");
  CHECK(read("1" + zeros + "e-800") == "0");
  CHECK(read("0." + zeros + "1e402") == "10");
  CHECK(read("0e999") == "0");
  CHECK(read("1e400") == "json: byte 5: number 1e400 is out of a double's range");
  CHECK(read("0." + zeros + "1e999").find("out of a double's range") != std::string::npos);
  CHECK(read("1e999999999999999999999").find("out of a double's range") != std::string::npos);
  CHECK(read("-0") == "0");
  CHECK(read("9007199254740993") ==
        "json: byte 16: integer 9007199254740993 cannot be kept exactly, expected at most 2^53-1: "
        "send it as a string");
  CHECK(read("999999999999999") == "999999999999999");
  CHECK(read("-9007199254740991") == "-9007199254740991");
  CHECK(read("1.7976931348623157e308") == "1.7976931348623157e+308");
  CHECK(read("4.9e-324") == "5e-324");
}

TEST_CASE("a malformed document is refused at its byte", "[json]") {
  const auto [text, message] = GENERATE(table<std::string, std::string>(
      {{"", "json: byte 0: found the end, expected a value"},
       {"[1,]", "json: byte 3: found ']', expected a value"},
       {"{\"a\":1,}", "json: byte 7: found '}', expected a name in quotes"},
       {"{\"a\" 1}", "json: byte 5: found '1', expected a colon"},
       {"[1 2]", "json: byte 3: found '2', expected a comma or the end of the list"},
       {"{\"a\":1", "json: byte 6: found the end, expected a comma or the end of the object"},
       {"\"a", "json: byte 2: found the end, expected the end of the string"},
       {"\"\n\"", "json: byte 1: found byte 10, expected control characters as escapes"},
       {"\"\\x\"", "json: byte 2: found 'x', expected an escape"},
       {"\"\\u12g4\"", "json: byte 3: found '1', expected four hexadecimal digits"},
       {"\"\\ud800x\"", "json: byte 7: found 'x', expected a surrogate pair"},
       {"\"\\udc00\"", "json: byte 7: found '\"', expected a surrogate pair"},
       {"\"\xC0\xAF\"", "json: byte 1: found byte 192, expected UTF-8"},
       {"\"\xED\xA0\x80\"", "json: byte 1: found byte 237, expected UTF-8"},
       {"\"\xE2\x82\"", "json: byte 1: found byte 226, expected UTF-8"},
       {"01", "json: byte 1: found '1', expected nothing after the value"},
       {"1.", "json: byte 2: found the end, expected a digit"},
       {"1e+", "json: byte 3: found the end, expected a digit"},
       {"-", "json: byte 0: found '-', expected a value"},
       {"+1", "json: byte 0: found '+', expected a value"},
       {"nul", "json: byte 0: found 'n', expected a value"},
       {"truex", "json: byte 4: found 'x', expected nothing after the value"},
       {"{\"b\":1,\"a\":2,\"\\u0062\":3}", "json: byte 24: duplicate key \"b\""}}));
  const auto value = json::parse(text);
  REQUIRE_FALSE(value);
  CHECK(value.error().message == message);
}

TEST_CASE("a document with a zero byte inside is refused", "[json]") {
  REQUIRE_FALSE(json::parse(std::string_view("\0", 1)));
  REQUIRE_FALSE(json::parse(std::string_view("1\0", 2)));
  REQUIRE_FALSE(json::parse(std::string_view("[1\0]", 4)));
  REQUIRE_FALSE(json::parse(std::string_view("\"\0\"", 3)));
}

TEST_CASE("what a value holds is its elements, members and long strings", "[json]") {
  const auto held = [](std::string_view text) {
    return json::heap_bytes(json::parse(text).value());
  };
  const std::string longer(100, 'x');
  CHECK(held("1") == 0);
  CHECK(held("\"short\"") == 0);
  CHECK(held('"' + longer + '"') == 101);
  CHECK(held("[1,[2,3]]") == 4 * sizeof(json::Value));
  CHECK(held(R"({"a":1,"b":{"c":[true]}})") == 3 * sizeof(json::Member) + sizeof(json::Value));
  CHECK(held("{\"" + longer + "\":1}") == sizeof(json::Member) + 101);
}

TEST_CASE("foreign text is cut between characters and cleaned", "[json]") {
  CHECK(json::clean_text("abc", 2) == "ab");
  CHECK(json::clean_text("a\xC3\xA9", 2) == "a");
  CHECK(json::clean_text("a\xC3\xA9", 3) == "a\xC3\xA9");
  CHECK(json::clean_text("a\xFF\xC3z", 9) == "a??z");
  CHECK(json::clean_text("", 9).empty());
}
