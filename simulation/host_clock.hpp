#pragma once

#include "base/time.hpp"

namespace forerun::simulation {

/// A process's own clock: it runs faster or slower than the world's, and jumps ahead, as that of a
/// machine that was suspended. It never goes back.
class HostClock {
public:
  Instant now(Instant world) const { return shown_ + scaled(world - since_, rate_); }
  /// When this clock shows `own`. @pre own is not before now().
  Instant world_time(Instant world, Instant own) const {
    return world + scaled(own - now(world), 1 / rate_) + Duration(1);
  }
  void set_rate(Instant world, double rate) {
    shown_ = now(world);
    since_ = world;
    rate_ = rate;
  }
  void jump(Instant world, Duration ahead) {
    shown_ = now(world) + ahead;
    since_ = world;
  }

private:
  static Duration scaled(Duration duration, double rate) {
    return rate == 1
               ? duration
               : Duration(static_cast<Duration::rep>(static_cast<double>(duration.count()) * rate));
  }

  Instant shown_{};
  Instant since_{};
  double rate_ = 1;
};

}  // namespace forerun::simulation
