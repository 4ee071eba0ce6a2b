#pragma once

#include <chrono>
#include <cstdint>

namespace forerun {

using Duration = std::chrono::microseconds;

/// Names the time line of one process (or of a simulation). It has no now(): time is always handed
/// in.
struct MachineClock {
  using rep = Duration::rep;
  using period = Duration::period;
  using duration = Duration;
};

/// A moment on that line: monotonic, comparable only inside one process.
using Instant = std::chrono::time_point<MachineClock, Duration>;

/// An input of every machine: nothing else happened, look at the time.
struct TimePassed {};

constexpr double milliseconds_of(Duration duration) {
  return static_cast<double>(duration.count()) / 1000.0;
}

}  // namespace forerun
