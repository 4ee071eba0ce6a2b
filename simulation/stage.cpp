#include "simulation/stage.hpp"

#include <caf/send.hpp>
#include <chrono>

namespace forerun::simulation {
namespace {

using ActorTime = caf::actor_clock::time_point;

ActorTime actor_time(Instant at) {
  return ActorTime(std::chrono::duration_cast<ActorTime::duration>(at.time_since_epoch()));
}

}  // namespace

Stage::Stage(Instant now)
    : scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {
  scheduler_.clock().current_time = actor_time(now);
}

Stage::~Stage() {
  for (const caf::actor_addr& actor : actors_) {
    caf::anon_send_exit(actor, caf::exit_reason::kill);
  }
  while (scheduler_.try_run_once()) {
  }
}

bool Stage::run(Instant now) {
  if (is_running_) {
    return true;
  }
  is_running_ = true;
  caf::detail::test_actor_clock& clock = scheduler_.clock();
  clock.advance_time(actor_time(now) - clock.now());
  std::size_t turns = 0;
  do {
    while (turns < turns_per_moment_max && scheduler_.try_run_once()) {
      ++turns;
    }
  } while (turns < turns_per_moment_max && clock.advance_time(ActorTime::duration::zero()) > 0);
  is_running_ = false;
  return turns < turns_per_moment_max;
}

std::optional<Instant> Stage::next() const {
  const auto& schedule = scheduler_.clock().schedule();
  if (schedule.empty()) {
    return std::nullopt;
  }
  return Instant(std::chrono::ceil<Duration>(schedule.begin()->first.time_since_epoch()));
}

}  // namespace forerun::simulation
