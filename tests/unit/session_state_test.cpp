#include "speculation/session_state.hpp"

#include <catch2/catch.hpp>

using namespace forerun;

namespace {

json::Value value(const std::string& text) {
  auto parsed = json::parse(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

SessionState state(const std::string& text) {
  auto parsed = SessionState::parse(text);
  REQUIRE(parsed.has_value());
  return *parsed;
}

Output writes(const std::string& text) {
  auto parsed = write_set_of(text);
  REQUIRE(parsed.has_value());
  REQUIRE(parsed->has_value());
  return **parsed;
}

}  // namespace

TEST_CASE("a merge patch does what RFC 7396's table of cases says", "[session_state]") {
  struct Case {
    const char* original;
    const char* patch;
    const char* result;
  };
  const Case cases[] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", R"({})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
      {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
      {R"({"a":"foo"})", R"(null)", R"(null)"},
      {R"({"a":"foo"})", R"("bar")", R"("bar")"},
      {R"({"e":null})", R"({"a":1})", R"({"a":1,"e":null})"},
      {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
      {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
  };
  for (const Case& each : cases) {
    INFO(each.original << " patched by " << each.patch);
    CHECK(json::canonical(merge_patch(value(each.original), value(each.patch))) == each.result);
  }
}

TEST_CASE("a state begins empty and is known by its canonical text", "[session_state]") {
  CHECK(SessionState().canonical() == "{}");
  CHECK(SessionState().empty());
  CHECK(SessionState().hash() == sha256("{}"));
  CHECK(state(R"({ "b": 1, "a": 2.0 })").canonical() == R"({"a":2,"b":1})");
  CHECK(state(R"({"a":1})").hash() == sha256(R"({"a":1})"));
  CHECK_FALSE(SessionState::parse("[]").has_value());
  CHECK_FALSE(SessionState::parse("{").has_value());
}

TEST_CASE("a write-set is an object, and one that changes nothing is none", "[session_state]") {
  CHECK_FALSE(write_set_of("")->has_value());
  CHECK_FALSE(write_set_of("{}")->has_value());
  CHECK(writes(R"({"b":null, "a":1})").canonical() == R"({"a":1,"b":null})");
  for (const char* text : {"null", "[]", "1", "{\"a\":1", "{\"a\":1,\"a\":2}"}) {
    INFO(text);
    REQUIRE_FALSE(write_set_of(text).has_value());
    CHECK(write_set_of(text).error().message.starts_with("writes: "));
  }
  const std::string large = R"({"a":")" + std::string(writes_bytes_max, 'x') + R"("})";
  CHECK(write_set_of(large).error().code == Errc::too_large);
}

TEST_CASE("a state takes no more than its limit", "[session_state]") {
  const std::string half(state_bytes_max / 2 - 16, 'x');
  const SessionState one = state(R"({"a":")" + half + R"("})");
  const auto two = one.patched(writes(R"({"b":")" + half + R"("})"));
  REQUIRE(two.has_value());
  const auto three = two->patched(writes(R"({"c":")" + half + R"("})"));
  REQUIRE_FALSE(three.has_value());
  CHECK(three.error().code == Errc::too_large);
  CHECK(two->patched(writes(R"({"a":null})"))->canonical() == R"({"b":")" + half + R"("})");
  CHECK(one.canonical() == R"({"a":")" + half + R"("})");  // As it was: states do not change.
  CHECK(
      SessionState::parse(R"({"a":")" + std::string(state_bytes_max, 'x') + R"("})").error().code ==
      Errc::too_large);
}

TEST_CASE("a task gets the parts that it declares, at their places", "[session_state]") {
  using Paths = std::vector<std::string>;
  const SessionState whole = state(
      R"({"cart":{"a":1,"b":2},"list":[1,2],"n":null,"user":{"name":{"first":"x"}},"w/~":5})");
  const auto part = [&](Paths paths) {
    return whole.part(StatePaths(std::move(paths))).canonical();
  };
  CHECK(whole.part(std::nullopt).canonical() == whole.canonical());
  CHECK(part({}) == "{}");
  CHECK(part({""}) == whole.canonical());
  CHECK(part({"/cart"}) == R"({"cart":{"a":1,"b":2}})");
  CHECK(part({"/cart/b"}) == R"({"cart":{"b":2}})");
  CHECK(part({"/cart/b", "/user/name/first"}) ==
        R"({"cart":{"b":2},"user":{"name":{"first":"x"}}})");
  CHECK(part({"/cart/b", "/cart"}) == R"({"cart":{"a":1,"b":2}})");
  CHECK(part({"/cart", "/cart/b"}) == R"({"cart":{"a":1,"b":2}})");
  CHECK(part({"/n"}) == R"({"n":null})");
  CHECK(part({"/w~1~0"}) == R"({"w/~":5})");
  // What is not there, and what lies in no object, is left out, with all above it.
  CHECK(part({"/nothing", "/cart/c", "/list/0", "/user/name/first/x"}) == "{}");
  CHECK(joined(Paths{"/a"}, std::nullopt) == std::nullopt);
  CHECK(joined(Paths{"/a"}, Paths{"/b"}) == Paths{"/a", "/b"});
}
