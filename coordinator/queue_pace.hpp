#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/time.hpp"

namespace forerun {

/// How fast a queue of confirmed branches moves, to say early that one more would wait too long:
/// waiting ÷ pace (Little 1961). Pure; not thread-safe.
class QueuePace {
public:
  static constexpr Duration window = std::chrono::seconds(10);
  static constexpr Duration grain = std::chrono::milliseconds(100);
  static constexpr Duration known_after = std::chrono::seconds(1);

  /// The queue was empty, and is not from here on.
  void begins(Instant now);
  /// One of it got a slot, or was not wanted any more.
  void leaves(Instant now);
  /// How long the last of `waiting` will wait; nothing until the queue has been there for
  /// known_after. One that does not move counts as one that moves once in the window.
  std::optional<Duration> expected_wait(Instant now, std::size_t waiting) const;

private:
  struct Grain {
    Instant begin;
    std::uint64_t left = 0;
  };
  Instant since_{};
  std::deque<Grain> grains_;  ///< Of the window, oldest first.
};

}  // namespace forerun
