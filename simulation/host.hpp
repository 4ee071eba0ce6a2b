#pragma once

#include <algorithm>
#include <caf/send.hpp>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "simulation/environment.hpp"
#include "simulation/host_clock.hpp"

namespace forerun::simulation {

/// How often a process's thread is busy when something arrives, and for how long.
inline constexpr double busy_share = 0.2;
inline constexpr Duration busy_median = std::chrono::milliseconds(1);

/// What a simulated process has beside its actors: lives that end and begin, a clock of its own,
/// and pauses in which nothing of it goes on.
class Host {
public:
  explicit Host(Environment& environment) : env_(environment) {}
  virtual ~Host() = default;

  bool is_up() const { return is_up_; }
  /// Its clock jumps, or goes at another pace from now on; what it is to be woken for is asked for
  /// again by the step that must follow.
  void jump_clock(Duration ahead) {
    clock_.jump(env_.time.now(), ahead);
    armed_.reset();
  }
  void pace_clock(double rate) {
    clock_.set_rate(env_.time.now(), rate);
    armed_.reset();
  }
  /// Whatever is to happen meanwhile happens then, in its order.
  void pause(Duration length) {
    paused_until_ = std::max(paused_until_, env_.time.now() + length);
    env_.time.at(paused_until_, [this] { go_on(); });
  }

protected:
  void begin_life() {
    ++life_;
    is_up_ = true;
    armed_.reset();
  }
  void end_life() {
    ++life_;
    is_up_ = false;
    paused_until_ = {};
    held_.clear();
  }
  Instant now() const { return clock_.now(env_.time.now()); }
  /// In this life, and not while it is paused.
  void later(Duration delay, std::function<void()> happen) {
    at(env_.time.now() + delay, std::move(happen));
  }
  bool is_paused() const { return env_.time.now() < paused_until_ || !held_.empty(); }
  void when_resumed(std::function<void()> happen) { held_.push_back(std::move(happen)); }
  /// Calls `wake` when the own clock shows this, once: the soonest counts.
  void arm(std::optional<Instant> own, std::function<void()> wake) {
    if (!own || (armed_ && *armed_ <= *own)) {
      return;
    }
    armed_ = own;
    at(clock_.world_time(env_.time.now(), std::max(*own, now())),
       [this, own = *own, run = std::move(wake)] {
         if (armed_ == own) {
           armed_.reset();
           run();
         }
       });
  }

  /// All that its actors have to do now.
  virtual void run() = 0;
  /// Now, or with what arrives meanwhile, as on a thread that is busy.
  void run_soon() {
    if (env_.prng.chance(busy_share)) {
      later(env_.around(busy_median), [this] { run(); });
    } else {
      run();
    }
  }
  /// As late as a disk answers. The handle is the host's own.
  template <class Actor, class Message>
  void tell_late(const Actor& actor, Message message) {
    later(env_.around(env_.weather.sync_median), [this, &actor, told = std::move(message)] {
      caf::anon_send(actor, told);
      run();
    });
  }
  /// False from where the process ends, which so many chances may bring about.
  bool goes_on(int chances = 1) {
    for (; chances > 0 && !is_ending_; --chances) {
      is_ending_ = env_.strikes(Fault::crash_in_step);
    }
    return !is_ending_;
  }

  Environment& env_;
  bool is_ending_ = false;  ///< Nothing that its actors still say in this turn leaves the process.

private:
  void at(Instant when, std::function<void()> happen) {
    env_.time.at(when, [this, life = life_, run = std::move(happen)]() mutable {
      if (life != life_ || !is_up_) {
        return;
      }
      if (is_paused()) {
        when_resumed(std::move(run));
      } else {
        run();
      }
    });
  }
  void go_on() {
    if (env_.time.now() < paused_until_) {
      return;  // It was paused once more.
    }
    for (std::deque<std::function<void()>> held = std::exchange(held_, {}); !held.empty() && is_up_;
         held.pop_front()) {
      held.front()();
    }
  }

  HostClock clock_;
  std::uint64_t life_ = 0;
  bool is_up_ = false;
  Instant paused_until_{};
  std::deque<std::function<void()>> held_;  ///< What is to happen when the pause ends.
  std::optional<Instant> armed_;
};

}  // namespace forerun::simulation
