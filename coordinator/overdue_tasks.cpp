#include "coordinator/overdue_tasks.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace forerun {

bool OverdueTasks::stopped(const std::string& task, Duration freed_after) {
  const bool is_overdue = freed_after >= overdue_after;
  const auto at = tasks_.find(task);
  if (at == tasks_.end() && !is_overdue) {
    return false;  // Most tasks: nothing to remember.
  }
  Known& known = at == tasks_.end() ? tasks_[task] : at->second;
  ++known.stops;
  known.overdue += is_overdue ? 1 : 0;
  known.slowest = std::max(known.slowest, freed_after);
  known.latest.push_back(is_overdue);
  if (known.latest.size() > overdue_window) {
    known.latest.pop_front();
  }
  const auto overdue = std::count(known.latest.begin(), known.latest.end(), true);
  return static_cast<std::size_t>(overdue) >= overdue_max && !std::exchange(known.is_barred, true);
}

bool OverdueTasks::is_barred(std::string_view task) const {
  const auto at = tasks_.find(task);
  return at != tasks_.end() && at->second.is_barred;
}

json::Array OverdueTasks::report() const {
  std::vector<std::pair<std::uint64_t, const std::string*>> order;
  for (const auto& [task, known] : tasks_) {
    order.emplace_back(known.overdue, &task);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  json::Array out;
  for (const auto& [overdue, task] : order) {
    if (out.size() == overdue_told_max) {
      break;
    }
    const Known& known = tasks_.find(*task)->second;
    json::Object each;
    each.set("overdue", known.overdue);
    each.set("runs_ahead", !known.is_barred);
    each.set("slowest_ms", milliseconds_of(known.slowest));
    each.set("stops", known.stops);
    each.set("task", *task);
    out.emplace_back(std::move(each));
  }
  return out;
}

}  // namespace forerun
