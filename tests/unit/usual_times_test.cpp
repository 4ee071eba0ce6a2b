#include "coordinator/usual_times.hpp"

#include <catch2/catch.hpp>

namespace forerun {
namespace {

using std::chrono::milliseconds;

TEST_CASE("the first time is taken as it is, then an eighth of each new one", "[usual_times]") {
  UsualTimes times;
  CHECK(times.empty());
  CHECK(times.of("a") == Duration::zero());
  times.learn("a", milliseconds(80));
  CHECK(times.of("a") == milliseconds(80));
  times.learn("a", milliseconds(160));
  CHECK(times.of("a") == milliseconds(90));
  CHECK(times.knows("a"));
}

TEST_CASE("what is not known takes as long as all others", "[usual_times]") {
  UsualTimes times;
  times.learn("a", milliseconds(80));
  times.learn("b", milliseconds(160));
  CHECK_FALSE(times.knows("c"));
  CHECK(times.of("c") == milliseconds(90));
  CHECK(times.of("b") == milliseconds(160));
}

TEST_CASE("a call hides what it usually takes, or the time until it is asked for",
          "[usual_times]") {
  const Duration expected = expected_of(milliseconds(80));
  CHECK(expected == milliseconds(100));
  CHECK(hidden_of(expected, milliseconds(500)) == milliseconds(80));
  CHECK(hidden_of(expected, milliseconds(30)) == milliseconds(30));
}

}  // namespace
}  // namespace forerun
