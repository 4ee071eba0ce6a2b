#include "coordinator/state_writers.hpp"

#include <algorithm>

namespace forerun {

void StateWriters::wrote(const std::string& task, const Output& writes) {
  if (tasks_.size() >= tasks_max && !tasks_.contains(task)) {
    return;  // Its followers start too early now and then, and end as conflicts.
  }
  Members& members = tasks_[task];
  for (const json::Member& member : *writes.value().object()) {
    if (members.names.size() >= members_max) {
      members.everything = true;
      return;
    }
    members.names.insert(member.name);
  }
}

bool StateWriters::may_write(const std::string& task, const StatePaths& paths) const {
  const auto at = tasks_.find(task);
  if (at == tasks_.end()) {
    return false;
  }
  const Members& members = at->second;
  if (!paths || members.everything) {
    return !paths || !paths->empty();
  }
  return std::any_of(paths->begin(), paths->end(), [&](const std::string& path) {
    if (path.empty()) {
      return true;
    }
    std::string first = path.substr(1, path.find('/', 1) - 1);
    if (first.find('~') != std::string::npos) {
      return true;  // Escaped: taken as any.
    }
    return members.names.contains(first);
  });
}

}  // namespace forerun
