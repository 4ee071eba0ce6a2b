#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "speculation/client_api.hpp"

namespace forerun {

/// The answers of a session's latest committed steps; older ones are in the store alone, so that a
/// session's memory grows neither with its length nor with its outputs. A value, not thread-safe.
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
    bytes_ += bytes_of(answer);
    held_.push_back(std::move(answer));
  }

  /// Lets go of the oldest before this step, until at most `count_max` before it are held, and at
  /// most `bytes_max` of all.
  void drop_before(std::uint32_t step, std::uint32_t count_max, std::size_t bytes_max) {
    while (first_ < step && !held_.empty() && (step - first_ > count_max || bytes_ > bytes_max)) {
      bytes_ -= bytes_of(held_.front());
      held_.pop_front();
      ++first_;
    }
  }

  /// They must be held.
  std::vector<StepAnswer> range(std::uint32_t first, std::uint32_t count) const {
    FORERUN_ASSERT(first >= first_ && first + count <= this->count());
    const auto begin = held_.begin() + (first - first_);
    return {begin, begin + count};
  }

private:
  static std::size_t bytes_of(const StepAnswer& answer) {
    std::size_t bytes = answer.task.size() + answer.output.size();
    for (const std::string& name : answer.branch_names) {
      bytes += name.size();
    }
    for (const std::optional<std::string>& cause : answer.causes) {
      bytes += cause ? cause->size() : 0;
    }
    return bytes;
  }

  std::deque<StepAnswer> held_;
  std::uint32_t first_ = 0;
  std::size_t bytes_ = 0;  ///< Of what is held.
  std::string last_task_;
};

}  // namespace forerun
