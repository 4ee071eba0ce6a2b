#include "cluster/dropped_frames.hpp"

#include <catch2/catch.hpp>

namespace forerun {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a flood of unreadable frames is a bounded number of lines, and each is counted",
          "[dropped_frames]") {
  DroppedFrames frames;
  const DroppedFrames::Time start(1h);
  std::uint32_t lines = 0;
  for (int i = 0; i < 5000; ++i) {
    lines += frames.dropped("node n1", "wire: bad", start).has_value() ? 1 : 0;
  }
  CHECK(lines == DroppedFrames::lines_max);
  CHECK_FALSE(frames.dropped("node n1", "wire: bad", start + 9s));
  CHECK(frames.dropped("node n1", "wire: bad", start + 10s) ==
        "node n1: dropped a frame: wire: bad; 4901 more since the last one that was told");
  CHECK_FALSE(frames.dropped("node n1", "wire: bad", start + 19s));
  // A day later all of it may be told again, and no more.
  lines = 0;
  for (int i = 0; i < 5000; ++i) {
    lines += frames.dropped("node n1", "wire: bad", start + 24h).has_value() ? 1 : 0;
  }
  CHECK(lines == DroppedFrames::lines_max);
}

TEST_CASE("the first unreadable frame is told as it is", "[dropped_frames]") {
  DroppedFrames frames;
  CHECK(frames.dropped("coordinator", "wire: bad", DroppedFrames::Time(1h)) ==
        "coordinator: dropped a frame: wire: bad");
}

}  // namespace
}  // namespace forerun
