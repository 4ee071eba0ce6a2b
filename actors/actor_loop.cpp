#include "actors/actor_loop.hpp"

#include <algorithm>
#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/detail/simple_actor_clock.hpp>
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
#include <vector>

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
  /// Unless the loop's own thread asks: it looks before it waits.
  void wake() const {
    const std::lock_guard lock(mutex_);
    if (wake_ && std::this_thread::get_id() != thread_) {
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

/// Delayed messages and timeouts, given out by the loop's own thread: one of their own would be
/// woken for each of them, and would wake the loop in turn.
class LoopClock final : public caf::detail::simple_actor_clock {
public:
  using Base = caf::detail::simple_actor_clock;

  explicit LoopClock(std::shared_ptr<Jobs> jobs) : jobs_(std::move(jobs)) {}

  /// From the loop's thread.
  void give_out() {
    std::vector<unique_delayed_event_ptr> due;
    {
      const std::lock_guard lock(mutex_);
      const time_point now = Base::now();
      while (!schedule_.empty() && schedule_.begin()->first <= now) {
        due.push_back(std::move(schedule_.begin()->second));
        if (due.back()->backlink != actor_lookup_.end()) {
          actor_lookup_.erase(due.back()->backlink);
        }
        schedule_.erase(schedule_.begin());
      }
    }
    for (const unique_delayed_event_ptr& one : due) {
      ship(*one);
    }
  }
  std::optional<std::chrono::microseconds> rest() const {
    const std::lock_guard lock(mutex_);
    if (schedule_.empty()) {
      return std::nullopt;
    }
    using std::chrono::microseconds;
    return std::max(std::chrono::ceil<microseconds>(schedule_.begin()->first - Base::now()),
                    microseconds(0));
  }

  void set_ordinary_timeout(time_point at, caf::abstract_actor* self, caf::atom_value type,
                            std::uint64_t id) override {
    change([&] { Base::set_ordinary_timeout(at, self, type, id); });
  }
  void set_request_timeout(time_point at, caf::abstract_actor* self, caf::message_id id) override {
    change([&] { Base::set_request_timeout(at, self, id); });
  }
  void set_multi_timeout(time_point at, caf::abstract_actor* self, caf::atom_value type,
                         std::uint64_t id) override {
    change([&] { Base::set_multi_timeout(at, self, type, id); });
  }
  void cancel_ordinary_timeout(caf::abstract_actor* self, caf::atom_value type) override {
    change([&] { Base::cancel_ordinary_timeout(self, type); });
  }
  void cancel_request_timeout(caf::abstract_actor* self, caf::message_id id) override {
    change([&] { Base::cancel_request_timeout(self, id); });
  }
  void cancel_timeouts(caf::abstract_actor* self) override {
    change([&] { Base::cancel_timeouts(self); });
  }
  void schedule_message(time_point at, caf::strong_actor_ptr receiver,
                        caf::mailbox_element_ptr content) override {
    change([&] { Base::schedule_message(at, std::move(receiver), std::move(content)); });
  }
  void schedule_message(time_point at, caf::group target, caf::strong_actor_ptr sender,
                        caf::message content) override {
    change([&] {
      Base::schedule_message(at, std::move(target), std::move(sender), std::move(content));
    });
  }
  void cancel_all() override {
    change([&] { Base::cancel_all(); });
  }

private:
  /// Wakes the loop when it would now wait too long.
  template <class Change>
  void change(Change&& how) {
    bool is_earlier = false;
    {
      const std::lock_guard lock(mutex_);
      const auto next = [this] {
        return schedule_.empty() ? time_point::max() : schedule_.begin()->first;
      };
      const time_point before = next();
      how();
      is_earlier = next() < before;
    }
    if (is_earlier) {
      jobs_->wake();
    }
  }

  const std::shared_ptr<Jobs> jobs_;
  mutable std::recursive_mutex mutex_;  ///< An actor's last reference may go with its timeout.
};

/// CAF's scheduler interface over the jobs and the clock.
class LoopScheduler final : public caf::scheduler::abstract_coordinator {
public:
  LoopScheduler(caf::actor_system& system, std::shared_ptr<Jobs> jobs,
                std::shared_ptr<LoopClock> clock)
      : caf::scheduler::abstract_coordinator(system),
        jobs_(std::move(jobs)),
        clock_(std::move(clock)) {}

  void enqueue(caf::resumable* job) override { jobs_->push(job); }
  caf::actor_clock& clock() noexcept override { return *clock_; }

protected:
  void stop() override {
    stop_actors();
    while (caf::resumable* job = jobs_->pop()) {
      cleanup_and_release(job);
    }
    clock_->cancel_all();
  }

private:
  const std::shared_ptr<Jobs> jobs_;
  const std::shared_ptr<LoopClock> clock_;
};

class Loop final : public ActorLoop {
public:
  void schedule(caf::actor_system_config& config) override {
    config.module_factories.emplace_back(
        [this](caf::actor_system& system) -> caf::actor_system::module* {
          unit_ = std::make_unique<Unit>(&system, *jobs_);
          return new LoopScheduler(system, jobs_, clock_);  // The actor system takes it over.
        });
  }
  void wake_with(std::function<void()> wake) override { jobs_->wake_with(std::move(wake)); }
  std::optional<std::chrono::microseconds> rest() const override {
    return jobs_->is_empty() ? clock_->rest() : std::chrono::microseconds(0);
  }

  void run() override {
    jobs_->run_by(std::this_thread::get_id());
    clock_->give_out();
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
  const std::shared_ptr<LoopClock> clock_ = std::make_shared<LoopClock>(jobs_);
  std::unique_ptr<Unit> unit_;
};

}  // namespace

std::shared_ptr<ActorLoop> ActorLoop::make() {
  return std::make_shared<Loop>();
}

}  // namespace forerun
