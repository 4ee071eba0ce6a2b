#pragma once

#include <memory>

#include "actors/actor_loop.hpp"
#include "cluster/bus.hpp"

namespace forerun {

/// Lets a bus's thread run the loop's actors.
inline BusWork work_of(const std::shared_ptr<ActorLoop>& loop) {
  return {[loop] { loop->run(); }, [loop] { return loop->rest(); },
          [loop](std::function<void()> wake) { loop->wake_with(std::move(wake)); }};
}

}  // namespace forerun
