// Sessions that someone wrote, to be run.
#include <catch2/catch.hpp>
#include <fstream>

#include "files/traces.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;

TEST_CASE("written sessions need no outputs, recorded ones do", "[traces]") {
  test::TempDirectory directory;
  const auto file = directory.path() / "written.jsonl";
  std::ofstream(file) << R"({"session":"s","steps":[{"task":"a","input":{}},)"
                      << R"({"task":"b","input":{},"output":null}]})" << '\n';
  CHECK(read_traces(file).error().code == Errc::invalid);
  TraceLimits limits;
  limits.needs_outputs = false;
  const auto sessions = read_traces(file, limits);
  REQUIRE(sessions);
  const auto& steps = sessions->front().steps;
  CHECK_FALSE(steps[0].has_output);
  CHECK(steps[0].output.is_null());
  CHECK(steps[1].has_output);
}
