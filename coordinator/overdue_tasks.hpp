#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/time.hpp"

namespace forerun {

inline constexpr Duration overdue_after = std::chrono::milliseconds(50);
inline constexpr std::size_t overdue_max = 3;  ///< Of the latest overdue_window stops.
inline constexpr std::size_t overdue_window = 10;
inline constexpr std::size_t overdue_told_max = 50;  ///< Tasks in one report.

/// Which `native` tasks ignore that they are stopped: nobody can take a thread from a function, so
/// its slot stays taken, and confirmed work would wait for it. Such a task does not run ahead any
/// more until the coordinator starts again, with a program that was put right. Pure.
class OverdueTasks {
public:
  /// A run was stopped, and its slot was free so much later. True when this is what bars the task.
  bool stopped(const std::string& task, Duration freed_after);
  bool is_barred(std::string_view task) const;
  /// One object a task that was overdue, those first that were most often; at most
  /// overdue_told_max.
  json::Array report() const;

private:
  struct Known {
    std::uint64_t stops = 0;
    std::uint64_t overdue = 0;
    Duration slowest{};
    std::deque<bool> latest{};  ///< Whether each was overdue.
    bool is_barred = false;
  };
  std::map<std::string, Known, std::less<>> tasks_;
};

}  // namespace forerun
