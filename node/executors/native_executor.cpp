#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/assert.hpp"
#include "node/executors/envelope.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {
namespace {

constexpr std::size_t queued_runs_max = 4096;  ///< Waiting for a thread; more are refused.
constexpr std::size_t threads_max = 1024;

struct NativeRun {
  Run run;
  RunDone done;
  RunClock::time_point started;
  std::stop_source stop;
};
using NativeRunRef = std::shared_ptr<NativeRun>;

void report(NativeRun& run, RunEnded ended) {
  ended.latency = run_time_since(run.started);
  const RunDone done = std::move(run.done);
  done(std::move(ended));
}

/// Calls the function on this thread and tells how that went.
RunEnded call_function(const NativeFunction& function, NativeRun& run) {
  const NativeCall call{run.run.call.input(), run.run.state, run.run.outside_key,
                        run.stop.get_token(), run.run.deadline.shown()};
  Result<NativeAnswer> value = fail(Errc::invalid, "");
  std::string thrown;
  try {
    value = function(call);
  } catch (const std::exception& problem) {
    thrown = std::string("exception: ") + problem.what();
  } catch (...) {
    thrown = "exception of an unknown type";
  }
  if (run.stop.stop_requested()) {
    return ended_without_output(Ending::cancelled, "stopped");
  }
  if (!thrown.empty()) {
    return ended_without_output(Ending::failed, thrown);
  }
  if (!value) {
    return ended_without_output(Ending::failed, value.error().message);
  }
  auto ended = ended_with(value->output, value->writes, value->effects, output_bytes_max);
  return ended ? std::move(*ended) : ended_without_output(Ending::failed, ended.error().message);
}

/// Threads and their queue. One thread more than asked for reports what never got a thread, so that
/// such an end waits for no function. Outlives the executor while handles refer to it.
class Pool {
public:
  Pool(NativeFunctions functions, std::size_t threads) : functions_(std::move(functions)) {
    FORERUN_ASSERT(threads > 0 && threads <= threads_max);
    for (std::size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { run_functions(); });
    }
    threads_.emplace_back([this] { report_unstarted(); });
  }

  /// Calls the function on the caller's thread.
  void run_here(NativeRun& run) const { report(run, answer(run)); }

  void start(const NativeRunRef& run) {
    const std::lock_guard lock(mutex_);
    FORERUN_ASSERT(!is_closing_);
    const bool is_full = queue_.size() >= queued_runs_max;
    (is_full ? refused_ : queue_).push_back(run);
    (is_full ? unstarted_ : queued_).notify_one();
  }

  void stop(const NativeRunRef& run) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto at = std::find(queue_.begin(), queue_.end(), run); at != queue_.end()) {
        queue_.erase(at);
        stopped_.push_back(run);
        unstarted_.notify_one();
      }
    }
    // Outside the lock: it calls what the function has registered with its token.
    run->stop.request_stop();
  }

  /// Stops every run and waits for its function to return.
  void close() {
    std::vector<NativeRunRef> running;
    {
      const std::lock_guard lock(mutex_);
      is_closing_ = true;
      stopped_.insert(stopped_.end(), queue_.begin(), queue_.end());
      queue_.clear();
      running = running_;
      queued_.notify_all();
      unstarted_.notify_all();
    }
    for (const NativeRunRef& run : running) {
      run->stop.request_stop();
    }
    threads_.clear();
  }

private:
  void run_functions() {
    std::unique_lock lock(mutex_);
    while (true) {
      queued_.wait(lock, [this] { return is_closing_ || !queue_.empty(); });
      if (queue_.empty()) {
        return;
      }
      const NativeRunRef run = std::move(queue_.front());
      queue_.pop_front();
      running_.push_back(run);
      lock.unlock();
      report(*run, answer(*run));
      lock.lock();
      std::erase(running_, run);
    }
  }

  void report_unstarted() {
    std::unique_lock lock(mutex_);
    while (true) {
      unstarted_.wait(lock,
                      [this] { return is_closing_ || !stopped_.empty() || !refused_.empty(); });
      if (stopped_.empty() && refused_.empty()) {
        return;
      }
      const auto stopped = std::exchange(stopped_, {});
      const auto refused = std::exchange(refused_, {});
      lock.unlock();
      for (const NativeRunRef& run : stopped) {
        report(*run, ended_without_output(Ending::cancelled, "stopped before it started"));
      }
      for (const NativeRunRef& run : refused) {
        report(*run, ended_without_output(Ending::lost,
                                          "native: " + std::to_string(queued_runs_max) +
                                              " runs wait for a thread, which is the limit"));
      }
      lock.lock();
    }
  }

  RunEnded answer(NativeRun& run) const {
    const Task& task = run.run.task;
    const std::string& name = task.function.empty() ? task.name : task.function;
    const auto at = functions_.find(name);
    return at != functions_.end() ? call_function(at->second, run)
                                  : ended_without_output(Ending::failed, unknown(name));
  }

  std::string unknown(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& [known, function] : functions_) {
      names.push_back(known);
    }
    const auto near = nearest_name(name, names);
    return "native: function " + name + " is not registered in this node's program" +
           (near ? ", did you mean " + *near : "");
  }

  const NativeFunctions functions_;
  std::mutex mutex_;
  std::condition_variable queued_;
  std::condition_variable unstarted_;
  std::deque<NativeRunRef> queue_;
  std::deque<NativeRunRef> refused_;
  std::deque<NativeRunRef> stopped_;  ///< Before they got a thread.
  std::vector<NativeRunRef> running_;
  bool is_closing_ = false;
  std::vector<std::jthread> threads_;  ///< Last: they use the rest.
};

class NativeTask final : public RunningTask {
public:
  NativeTask(std::weak_ptr<Pool> pool, NativeRunRef run)
      : pool_(std::move(pool)), run_(std::move(run)) {}
  ~NativeTask() override { NativeTask::stop(); }
  void stop() override {
    if (const auto pool = pool_.lock()) {
      pool->stop(run_);
    }
  }

private:
  std::weak_ptr<Pool> pool_;
  NativeRunRef run_;
};

class NativeExecutor final : public Executor {
public:
  NativeExecutor(NativeFunctions functions, std::size_t threads, std::set<std::string> quick)
      : pool_(std::make_shared<Pool>(std::move(functions), threads)), quick_(std::move(quick)) {}
  ~NativeExecutor() override { pool_->close(); }

  std::unique_ptr<RunningTask> start(Run run, RunDone done) override {
    if (quick_.contains(run.task.function.empty() ? run.task.name : run.task.function)) {
      NativeRun here{std::move(run), std::move(done), RunClock::now(),
                     std::stop_source(std::nostopstate)};
      pool_->run_here(here);
      return nullptr;
    }
    const auto entry = std::make_shared<NativeRun>(
        NativeRun{std::move(run), std::move(done), RunClock::now(), std::stop_source()});
    pool_->start(entry);
    return std::make_unique<NativeTask>(pool_, entry);
  }

private:
  std::shared_ptr<Pool> pool_;
  const std::set<std::string> quick_;
};

}  // namespace

std::unique_ptr<Executor> make_native_executor(NativeFunctions functions, std::size_t threads,
                                               std::set<std::string> quick) {
  return std::make_unique<NativeExecutor>(std::move(functions), threads, std::move(quick));
}

}  // namespace forerun
