#pragma once

#include <caf/actor_addr.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <optional>
#include <vector>

#include "base/time.hpp"

namespace forerun::simulation {

/// The actors of one simulated process, on CAF's deterministic scheduler and the process's own
/// clock. All that they do happens inside run(), on the caller's thread, in the order in which it
/// was sent.
class Stage {
public:
  explicit Stage(Instant now);
  /// Ends all that was added. What holds them from outside must have let go.
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  caf::actor_system& system() { return system_; }
  /// It is ended with the stage.
  template <class Actor>
  Actor add(Actor actor) {
    actors_.push_back(actor.address());
    return actor;
  }
  /// Until nothing is left to do at this time of the own clock; false when that does not come,
  /// since actors wake each other without end. From inside it does nothing.
  bool run(Instant now);
  /// When something is to happen that was sent for later.
  std::optional<Instant> next() const;

private:
  static constexpr std::size_t turns_per_moment_max = 20'000;

  class Config : public caf::actor_system_config {
  public:
    Config() { set("scheduler.policy", caf::atom("testing")); }
  };

  Config config_;
  caf::actor_system system_{config_};
  caf::scheduler::test_coordinator& scheduler_;
  std::vector<caf::actor_addr> actors_;
  bool is_running_ = false;
};

}  // namespace forerun::simulation
