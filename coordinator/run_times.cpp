#include "coordinator/run_times.hpp"

#include <algorithm>
#include <iterator>

namespace forerun {
namespace {

/// Index of a nearest-rank quantile, `percent` of `count`. @pre count > 0.
std::ptrdiff_t rank_of(std::size_t count, std::size_t percent) {
  return static_cast<std::ptrdiff_t>((count * percent + 99) / 100) - 1;
}

}  // namespace

const RunTimes::Known* RunTimes::known(std::string_view task) const {
  const auto at = tasks_.find(task);
  return at == tasks_.end() || !at->second.is_known ? nullptr : &at->second;
}

RunTimes::Known& RunTimes::use(std::string_view task) {
  auto at = tasks_.find(task);
  if (at == tasks_.end()) {
    if (tasks_.size() >= settings_.tasks_max) {
      tasks_.erase(std::min_element(tasks_.begin(), tasks_.end(), [](const auto& a, const auto& b) {
        return a.second.used < b.second.used;
      }));
    }
    at = tasks_.try_emplace(std::string(task)).first;
  }
  at->second.used = ++uses_;
  return at->second;
}

void RunTimes::ended(std::string_view task, Duration ran) {
  Known& known = use(task);
  if (known.times.size() < settings_.window) {
    known.times.push_back(ran);
  } else {
    known.times[known.oldest] = ran;
    known.oldest = (known.oldest + 1) % known.times.size();
  }
  ++known.unseen;
  if (known.times.size() >= settings_.samples_min &&
      (!known.is_known || known.unseen >= settings_.look_every)) {
    look(known);
  }
}

void RunTimes::stopped(std::string_view task, Duration ran) {
  if (const Known* slow = known(task); slow != nullptr && ran > slow->p95) {
    ended(task, ran);
  }
}

void RunTimes::look(Known& known) const {
  std::vector<Duration> times = known.times;
  const auto p95 = times.begin() + rank_of(times.size(), 95);
  const auto p99 = times.begin() + rank_of(times.size(), 99);
  std::nth_element(times.begin(), p95, times.end());
  known.p95 = *p95;
  std::nth_element(p95, p99, times.end());
  known.p99 = *p99;
  known.is_known = true;
  known.unseen = 0;
}

std::optional<Duration> RunTimes::p95(std::string_view task) const {
  const Known* found = known(task);
  return found == nullptr ? std::nullopt : std::optional(found->p95);
}

Duration RunTimes::timeout(const Task& task) const {
  if (task.timeout) {
    return *task.timeout;
  }
  const Known* found = known(task.name);
  return found == nullptr ? timeout_default
                          : std::clamp(found->p99 * settings_.timeout_margin, settings_.timeout_min,
                                       settings_.timeout_max);
}

json::Array RunTimes::report(const std::function<const Task*(std::string_view)>& find) const {
  std::vector<decltype(tasks_)::const_iterator> latest;
  for (auto at = tasks_.begin(); at != tasks_.end(); ++at) {
    latest.push_back(at);
  }
  std::sort(latest.begin(), latest.end(),
            [](const auto& a, const auto& b) { return a->second.used > b->second.used; });
  json::Array list;
  for (const auto& at : latest) {
    const Task* task = find(at->first);
    if (task == nullptr) {
      continue;
    }
    if (list.size() == settings_.told_max) {
      break;
    }
    const Known& told = at->second;
    json::Object each;
    each.set("task", at->first);
    each.set("samples", std::uint64_t{told.times.size()});
    each.set("p95_ms", told.is_known ? json::Value(milliseconds_of(told.p95)) : json::Value());
    each.set("p99_ms", told.is_known ? json::Value(milliseconds_of(told.p99)) : json::Value());
    each.set("timeout_ms", milliseconds_of(timeout(*task)));
    each.set("timeout_is_learned", !task->timeout && told.is_known);
    list.emplace_back(std::move(each));
  }
  return list;
}

}  // namespace forerun
