#pragma once

#include <caf/actor_clock.hpp>
#include <chrono>
#include <optional>

#include "base/time.hpp"
#include "speculation/planted.hpp"

namespace forerun {

/// What a machine's shell sends itself when its machine asked to be woken.
struct Wake {};

/// The actor clock's time as a machine sees it; virtual under the deterministic test scheduler.
inline Instant instant_of(caf::actor_clock& clock) {
  return Instant(std::chrono::duration_cast<Duration>(clock.now().time_since_epoch()));
}

/// Keeps at most one useful wake-up on its way: a later wish waits for the earlier one's arrival.
class WakeTimer {
public:
  template <class Self>
  void arm(Self* self, Instant now, const std::optional<Instant>& wish) {
    if (!wish || (armed_ && *armed_ <= *wish)) {
      return;
    }
    armed_ = *wish;
    self->delayed_send(self, *wish > now ? *wish - now : Duration::zero(), Wake{});
  }
  void arrived() {
    if (!planted(Bug::wake_forgotten)) {
      armed_.reset();
    }
  }

private:
  std::optional<Instant> armed_;
};

}  // namespace forerun
