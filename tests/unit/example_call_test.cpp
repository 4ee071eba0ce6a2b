#include "files/example_call.hpp"

#include <catch2/catch.hpp>

using namespace forerun;

namespace {

ExampleCall example_of(std::string_view text) {
  const auto file = parse_catalog_file(text, "c.toml");
  INFO((file ? std::string() : file.error().message));
  REQUIRE(file.has_value());
  return example_call(*file);
}

std::string canonical(std::string_view text) {
  return example_of(text).call.canonical();
}

}  // namespace

TEST_CASE("a task's example is the call to try", "[files]") {
  const ExampleCall example = example_of(R"(
[task.a]
executor = "native"
effect = "read"
reads = ["order/{order_id}"]
[task.b]
executor = "native"
example = '{ "n": 2, "text": "it\u0027s" }'
)");
  CHECK(example.call.canonical() == R"({"input":{"n":2,"text":"it's"},"task":"b"})");
  CHECK(example.is_told);
}

TEST_CASE("without an example the fields of tags make an input", "[files]") {
  CHECK(canonical(R"(
[task.a]
executor = "native"
effect = "pure"
[task.b]
executor = "native"
reads = ["order/{order_id}", "shop/{shop}/day/{day}"]
writes = ["order/{order_id}"]
)") == R"({"input":{"day":"A-1","order_id":"A-1","shop":"A-1"},"task":"b"})");
}

TEST_CASE("what a plain node cannot run, and what changes something, comes last", "[files]") {
  const std::string world = R"(
[task.a]
executor = "world"
effect = "read"
example = '{"n":1}'
)";
  CHECK(canonical(world) == R"({"input":{"n":1},"task":"a"})");
  const std::string write = world + R"(
[task.b]
executor = "native"
)";
  CHECK(canonical(write) == R"({"input":{},"task":"b"})");
  CHECK_FALSE(example_of(write).is_told);
  CHECK(canonical(write + R"(
[task.c]
executor = "native"
effect = "pure"
)") == R"({"input":{},"task":"c"})");
}

TEST_CASE("an example that is no input is refused with its line", "[files]") {
  const auto problem = [](const std::string& example) {
    return parse_catalog("[task.a]\nexecutor = \"native\"\nexample = " + example, "c.toml")
        .error()
        .message;
  };
  CHECK_THAT(problem("'[1]'"),
             Catch::Matchers::StartsWith("c.toml:3: task.a.example: \"[1]\", expected an input"));
  CHECK_THAT(problem(R"('{"a":1,"a":2}')"),
             Catch::Matchers::StartsWith("c.toml:3: task.a.example: "));
  CHECK_THAT(problem(R"('{"n":9007199254740993}')"), Catch::Matchers::Contains("string"));
  CHECK_THAT(problem("3"), Catch::Matchers::Contains("expected a text"));
}
