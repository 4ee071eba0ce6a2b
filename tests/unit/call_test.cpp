#include "speculation/call.hpp"

#include <catch2/catch.hpp>

#include "speculation/ids.hpp"
#include "speculation/protocol.hpp"
#include "speculation/seed_chain.hpp"

using namespace forerun;

namespace {
const std::string uuid = "8d65a9f0-1111-4111-8111-00000000abcd";
}  // namespace

TEST_CASE("equal calls have equal texts and hashes however they were written", "[call]") {
  const Call a =
      Call::parse(R"({"task":"look,\"task\":up","input":{"b":1.0,"a":{"task":"x"}}})").value();
  json::Object inner;
  inner.set("task", "x");
  json::Object input;
  input.set("a", inner);
  input.set("b", 1);
  const Call b = Call::make("look,\"task\":up", input);
  REQUIRE(a == b);
  REQUIRE(a.canonical() == R"({"input":{"a":{"task":"x"},"b":1},"task":"look,\"task\":up"})");
  REQUIRE(a.canonical_input() == R"({"a":{"task":"x"},"b":1})");
  REQUIRE(a.canonical() == canonical_call(b.task(), b.input()));
  REQUIRE(a.hash() == sha256(b.canonical()));
  REQUIRE(Call::parse(a.canonical()) == a);
}

TEST_CASE("a call that is not a task with an object is refused with its reason", "[call]") {
  const auto [text, message] = GENERATE(table<std::string, std::string>(
      {{R"({"input":1,"task":"t"})", "call: input: expected an object"},
       {R"({"input":{},"task":""})", "call: task: expected a name"},
       {R"({"input":{},"task":"t","x":1})",
        "call: expected an object with \"input\" and \"task\" only"},
       {R"([])", "call: expected an object with \"input\" and \"task\" only"}}));
  REQUIRE(Call::parse(text).error().message == message);
}

TEST_CASE("the wrapper of a call does not count towards its input's depth", "[call]") {
  const std::string deep = std::string(63, '[') + std::string(63, ']');
  REQUIRE(Call::parse("{\"input\":{\"a\":" + deep + "},\"task\":\"t\"}"));
  REQUIRE_FALSE(Call::parse("{\"input\":{\"a\":[" + deep + "]},\"task\":\"t\"}"));
}

TEST_CASE("an output's hash is that of its canonical text", "[call]") {
  const Output output = Output::parse(R"( {"b": 2, "a": 1} )").value();
  REQUIRE(output.canonical() == R"({"a":1,"b":2})");
  REQUIRE(output.hash() == sha256(output.canonical()));
  REQUIRE(Output::parse("[1,2,3]", json::Limits{4, 64}).error().code == Errc::too_large);
}

TEST_CASE("a run ID has exactly one text", "[ids]") {
  const RunId run_id = RunId::parse(uuid + "/17").value();
  REQUIRE(run_id.counter == 17);
  REQUIRE(to_string(run_id) == uuid + "/17");
  REQUIRE(to_string(RunId::parse(uuid + "/0").value()) == uuid + "/0");
  REQUIRE(RunId::parse(uuid + "/18446744073709551615"));
  for (const char* tail :
       {"", "/", "/017", "/+1", "/-1", "/1x", "/18446744073709551616", "/1/2", "/ 1"}) {
    INFO(tail);
    REQUIRE_FALSE(RunId::parse(uuid + tail));
  }
  REQUIRE_FALSE(RunId::parse("x/1"));
}
