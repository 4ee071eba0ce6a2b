#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/time.hpp"
#include "speculation/catalog.hpp"

namespace forerun {

struct RunTimeSettings {
  std::size_t samples_min = 100;     ///< Before a task's own times say anything (design.md §6).
  std::size_t window = 512;          ///< The latest that are looked at, of each task.
  std::size_t look_every = 16;       ///< So many new ones between two looks.
  std::size_t tasks_max = 2048;      ///< Tasks known; the longest unused goes first.
  std::uint32_t timeout_margin = 3;  ///< A learned deadline is so many times the task's p99,
  Duration timeout_min = std::chrono::seconds(5);  ///< at least this: a machine may pause,
  Duration timeout_max = std::chrono::minutes(5);  ///< and at most this.
  std::size_t told_max = 50;                       ///< Tasks in one report.
};

/// How long runs of each task take, from dispatch to result as the coordinator sees it, and what
/// follows: the deadline of a task whose catalog entry names none, and when a run is slow. Bounded:
/// tasks_max windows of `window` times. Pure; equal calls in equal order give equal answers.
class RunTimes {
public:
  explicit RunTimes(const RunTimeSettings& settings) : settings_(settings) {}

  /// A run returned, or its deadline passed, after so long.
  void ended(std::string_view task, Duration ran);
  /// A run was stopped from outside after so long. It would have taken longer: that counts where it
  /// was slow already, and says nothing where it was not.
  void stopped(std::string_view task, Duration ran);

  /// The task's 95th percentile; nothing below samples_min.
  std::optional<Duration> p95(std::string_view task) const;
  /// As the catalog says; else margin × p99 within the limits; below samples_min timeout_default.
  Duration timeout(const Task& task) const;

  /// Of one task: `samples`, `p95_ms`, `p99_ms`, `timeout_ms`, `timeout_is_learned`; the latest
  /// used first, at most told_max.
  json::Array report(const std::function<const Task*(std::string_view)>& find) const;
  std::size_t size() const { return tasks_.size(); }

private:
  struct Known {
    std::vector<Duration> times;  ///< A ring once it is full.
    std::size_t oldest = 0;
    std::size_t unseen = 0;  ///< Since the latest look.
    bool is_known = false;   ///< p95 and p99 are.
    Duration p95{};
    Duration p99{};
    std::uint64_t used = 0;
  };
  const Known* known(std::string_view task) const;
  Known& use(std::string_view task);
  void look(Known& known) const;

  RunTimeSettings settings_;
  std::map<std::string, Known, std::less<>> tasks_;
  std::uint64_t uses_ = 0;
};

}  // namespace forerun
