#include "node/executors/timed_executor.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {
namespace {

using Time = RunClock::time_point;

constexpr std::size_t timed_runs_max = 65'536;  ///< Started and not ended; more are refused.

/// Runs in the order of their ends. Outlives the executor while handles refer to it.
class Timer {
public:
  std::uint64_t add(Time started, Time end, RunEnded ended, RunDone done) {
    const std::lock_guard lock(mutex_);
    FORERUN_ASSERT(!is_closing_);
    if (waiting_.size() >= timed_runs_max) {
      end = started;
      ended = ended_without_output(Ending::lost, "world: " + std::to_string(timed_runs_max) +
                                                     " runs are open, which is the limit");
    }
    const std::uint64_t id = ++last_id_;
    waiting_.emplace(Key{end, id}, Waiting{started, std::move(ended), std::move(done)});
    ends_.emplace(id, end);
    changed_.notify_one();
    return id;
  }

  void stop(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    if (const auto at = ends_.find(id); at != ends_.end()) {
      cancel(at);
      changed_.notify_one();
    }
  }

  void close() {
    const std::lock_guard lock(mutex_);
    is_closing_ = true;
    for (auto at = ends_.begin(); at != ends_.end(); ++at) {
      cancel(at);
    }
    changed_.notify_one();
  }

  /// The timer thread. Returns once closed and empty.
  void run() {
    std::unique_lock lock(mutex_);
    while (!is_closing_ || !waiting_.empty()) {
      if (waiting_.empty()) {
        changed_.wait(lock);
        continue;
      }
      const Time first = waiting_.begin()->first.first;
      if (first > RunClock::now()) {
        changed_.wait_until(lock, first);
        continue;
      }
      auto node = waiting_.extract(waiting_.begin());
      ends_.erase(node.key().second);
      lock.unlock();
      Waiting& over = node.mapped();
      over.ended.latency = run_time_since(over.started);
      over.done(std::move(over.ended));
      lock.lock();
    }
  }

private:
  using Key = std::pair<Time, std::uint64_t>;
  struct Waiting {
    Time started;
    RunEnded ended;
    RunDone done;
  };

  void cancel(std::map<std::uint64_t, Time>::iterator at) {
    auto node = waiting_.extract(Key{at->second, at->first});
    FORERUN_ASSERT(!node.empty());
    if (node.mapped().ended.ending == Ending::returned) {
      node.mapped().ended = ended_without_output(Ending::cancelled, "stopped");
    }
    at->second = Time::min();
    node.key().first = Time::min();
    waiting_.insert(std::move(node));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Waiting> waiting_;
  std::map<std::uint64_t, Time> ends_;
  std::uint64_t last_id_ = 0;
  bool is_closing_ = false;
};

class TimedTask final : public RunningTask {
public:
  TimedTask(std::shared_ptr<Timer> timer, std::uint64_t id) : timer_(std::move(timer)), id_(id) {}
  ~TimedTask() override { timer_->stop(id_); }
  void stop() override { timer_->stop(id_); }

private:
  std::shared_ptr<Timer> timer_;
  std::uint64_t id_;
};

class TimedExecutor final : public Executor {
public:
  explicit TimedExecutor(TimedSource source)
      : source_(std::move(source)),
        timer_(std::make_shared<Timer>()),
        thread_([timer = timer_] { timer->run(); }) {}
  ~TimedExecutor() override { timer_->close(); }

  std::unique_ptr<RunningTask> start(Run run, RunDone done) override {
    const Time started = RunClock::now();
    auto answer = source_(run);
    RunEnded ended;
    Duration latency{};
    if (!answer) {
      ended = ended_without_output(Ending::failed, answer.error().message);
    } else if (answer->output.size() > output_bytes_max) {
      ended = ended_without_output(
          Ending::failed, "output larger than " + std::to_string(output_bytes_max) + " bytes");
    } else {
      ended.output = std::move(answer->output);
      ended.writes = std::move(answer->writes);
      ended.effects = std::move(answer->effects);
      latency = answer->latency;
    }
    const std::uint64_t id =
        timer_->add(started, started + latency, std::move(ended), std::move(done));
    return std::make_unique<TimedTask>(timer_, id);
  }

private:
  TimedSource source_;
  std::shared_ptr<Timer> timer_;
  std::jthread thread_;  ///< Last: joined before the rest goes.
};

}  // namespace

std::unique_ptr<Executor> make_timed_executor(TimedSource source) {
  return std::make_unique<TimedExecutor>(std::move(source));
}

}  // namespace forerun
