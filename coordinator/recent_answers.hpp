#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "speculation/client_api.hpp"

namespace forerun {

/// The answers of a session's latest committed steps; older ones are in the store alone, so that a
/// session's memory does not grow with its length. A value, not thread-safe.
class RecentAnswers {
public:
  /// Of all committed steps, held or not: the number of the next one.
  std::uint32_t count() const { return first_ + static_cast<std::uint32_t>(held_.size()); }
  /// The oldest step that is held; count() when none is.
  std::uint32_t first() const { return first_; }
  /// Empty before the first step.
  const std::string& last_task() const { return last_task_; }

  void add(StepAnswer answer) {
    last_task_ = answer.task;
    held_.push_back(std::move(answer));
  }

  /// Lets go of all before this step.
  void drop_before(std::uint32_t step) {
    for (; first_ < step && !held_.empty(); ++first_) {
      held_.pop_front();
    }
  }

  /// They must be held.
  std::vector<StepAnswer> range(std::uint32_t first, std::uint32_t count) const {
    FORERUN_ASSERT(first >= first_ && first + count <= this->count());
    const auto begin = held_.begin() + (first - first_);
    return {begin, begin + count};
  }

private:
  std::deque<StepAnswer> held_;
  std::uint32_t first_ = 0;
  std::string last_task_;
};

}  // namespace forerun
