#include "actors/actor_loop.hpp"

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/detail/thread_safe_actor_clock.hpp>
#include <caf/execution_unit.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <mutex>
#include <thread>
#include <utility>

namespace forerun {
namespace {

constexpr std::size_t jobs_per_turn_max = 1024;  ///< Then the sockets get their turn.

/// The jobs of the loop, from all threads.
class Jobs {
public:
  void push(caf::resumable* job) {
    const std::lock_guard lock(mutex_);
    const bool was_empty = jobs_.empty();
    jobs_.push_back(job);
    // The loop's own thread looks before it waits.
    if (was_empty && wake_ && std::this_thread::get_id() != thread_) {
      wake_();
    }
  }
  caf::resumable* pop() {
    const std::lock_guard lock(mutex_);
    if (jobs_.empty()) {
      return nullptr;
    }
    caf::resumable* job = jobs_.front();
    jobs_.pop_front();
    return job;
  }
  bool is_empty() const {
    const std::lock_guard lock(mutex_);
    return jobs_.empty();
  }
  void wake_with(std::function<void()> wake) {
    const std::lock_guard lock(mutex_);
    wake_ = std::move(wake);
    if (wake_ && !jobs_.empty()) {
      wake_();
    }
  }
  void run_by(std::thread::id thread) { thread_ = thread; }

private:
  mutable std::mutex mutex_;
  std::deque<caf::resumable*> jobs_;  ///< Each with a reference that is ours.
  std::function<void()> wake_;
  std::atomic<std::thread::id> thread_;
};

/// What actors that run on the loop see of it.
class Unit final : public caf::execution_unit {
public:
  Unit(caf::actor_system* system, Jobs& jobs) : caf::execution_unit(system), jobs_(jobs) {}
  void exec_later(caf::resumable* job) override { jobs_.push(job); }

private:
  Jobs& jobs_;
};

/// Delayed messages come from a thread of its own. CAF cancels the timeouts of every actor that
/// ends, which would wake that thread for each branch; as long as nobody has set one there is none.
class LoopClock final : public caf::detail::thread_safe_actor_clock {
public:
  using Base = caf::detail::thread_safe_actor_clock;

  void set_ordinary_timeout(time_point at, caf::abstract_actor* self, caf::atom_value type,
                            std::uint64_t id) override {
    has_timeouts_ = true;
    Base::set_ordinary_timeout(at, self, type, id);
  }
  void set_request_timeout(time_point at, caf::abstract_actor* self, caf::message_id id) override {
    has_timeouts_ = true;
    Base::set_request_timeout(at, self, id);
  }
  void set_multi_timeout(time_point at, caf::abstract_actor* self, caf::atom_value type,
                         std::uint64_t id) override {
    has_timeouts_ = true;
    Base::set_multi_timeout(at, self, type, id);
  }
  void cancel_timeouts(caf::abstract_actor* self) override {
    if (has_timeouts_) {
      Base::cancel_timeouts(self);
    }
  }

private:
  std::atomic<bool> has_timeouts_ = false;
};

/// CAF's scheduler interface over the jobs; timeouts come from a thread of their own.
class LoopScheduler final : public caf::scheduler::abstract_coordinator {
public:
  LoopScheduler(caf::actor_system& system, std::shared_ptr<Jobs> jobs)
      : caf::scheduler::abstract_coordinator(system), jobs_(std::move(jobs)) {}

  void enqueue(caf::resumable* job) override { jobs_->push(job); }
  caf::actor_clock& clock() noexcept override { return clock_; }

protected:
  void start() override {
    timer_ = std::thread([this] { clock_.run_dispatch_loop(); });
    caf::scheduler::abstract_coordinator::start();
  }
  void stop() override {
    stop_actors();
    while (caf::resumable* job = jobs_->pop()) {
      cleanup_and_release(job);
    }
    clock_.cancel_dispatch_loop();
    timer_.join();
  }

private:
  const std::shared_ptr<Jobs> jobs_;
  LoopClock clock_;
  std::thread timer_;
};

class Loop final : public ActorLoop {
public:
  void schedule(caf::actor_system_config& config) override {
    config.module_factories.emplace_back(
        [this](caf::actor_system& system) -> caf::actor_system::module* {
          unit_ = std::make_unique<Unit>(&system, *jobs_);
          return new LoopScheduler(system, jobs_);  // The actor system takes it over.
        });
  }
  void wake_with(std::function<void()> wake) override { jobs_->wake_with(std::move(wake)); }
  bool is_ready() const override { return !jobs_->is_empty(); }

  void run() override {
    jobs_->run_by(std::this_thread::get_id());
    for (std::size_t count = 0; count < jobs_per_turn_max; ++count) {
      caf::resumable* job = jobs_->pop();
      if (job == nullptr) {
        return;
      }
      if (job->resume(unit_.get(), std::numeric_limits<std::size_t>::max()) ==
          caf::resumable::resume_later) {
        jobs_->push(job);
      } else {
        caf::intrusive_ptr_release(job);
      }
    }
  }

private:
  const std::shared_ptr<Jobs> jobs_ = std::make_shared<Jobs>();
  std::unique_ptr<Unit> unit_;
};

}  // namespace

std::shared_ptr<ActorLoop> ActorLoop::make() {
  return std::make_shared<Loop>();
}

}  // namespace forerun
