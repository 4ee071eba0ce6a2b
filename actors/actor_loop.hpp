#pragma once

#include <caf/actor_system_config.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace forerun {

/// Runs a process's actors on a thread that has other work too: the one that owns the sockets. A
/// message then passes from the wire through all its actors and back without waking a thread, which
/// would cost more than the work itself. Detached actors keep their own threads.
class ActorLoop {
public:
  static std::shared_ptr<ActorLoop> make();
  virtual ~ActorLoop() = default;

  /// Makes an actor system of this configuration run on this loop, which must outlive it.
  virtual void schedule(caf::actor_system_config& config) = 0;

  /// How to wake the loop's thread out of its waiting; called from other threads. Empty: nobody
  /// waits any more.
  virtual void wake_with(std::function<void()> wake) = 0;
  /// From the loop's thread: runs what is ready, for a bounded while.
  virtual void run() = 0;
  /// How long the loop's thread may wait before the next run(): zero when something is ready, until
  /// the next delayed message otherwise; empty: until it is woken.
  virtual std::optional<std::chrono::microseconds> rest() const = 0;
};

}  // namespace forerun
