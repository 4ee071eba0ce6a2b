#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "node/executors/executor.hpp"

namespace forerun::test {

/// One started run and its end.
class StartedRun {
public:
  StartedRun(Executor& executor, Run run) : end_(promise_->get_future()) {
    handle_ = executor.start(std::move(run), [promise = promise_](RunEnded ended) {
      promise->set_value(std::move(ended));
    });
  }
  void stop() { handle_->stop(); }
  RunEnded end() {
    if (end_.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      RunEnded never;
      never.cause = "it did not end within 20 s";
      never.ending = Ending::lost;
      return never;
    }
    return end_.get();
  }

private:
  std::shared_ptr<std::promise<RunEnded>> promise_ = std::make_shared<std::promise<RunEnded>>();
  std::future<RunEnded> end_;
  std::unique_ptr<RunningTask> handle_;
};

inline Run run_of(Task task, json::Object input = {}) {
  Call call = Call::make(task.name, std::move(input));
  return Run{.task = std::move(task),
             .call = std::move(call),
             .state = json::Object(),
             .outside_key = {},
             .world = {}};
}

}  // namespace forerun::test
