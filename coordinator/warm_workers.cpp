#include "coordinator/warm_workers.hpp"

namespace forerun {

void WarmWorkers::answered(std::string_view tenant, std::string_view task, const WorkerId& worker) {
  std::pair<std::string, std::string> key{tenant, task};
  const auto at = workers_.find(key);
  if (at != workers_.end()) {
    at->second.insert(worker);
  } else if (workers_.size() < pairs_max) {
    workers_[std::move(key)].insert(worker);
  }
}

void WarmWorkers::lost(const WorkerId& worker) {
  for (auto at = workers_.begin(); at != workers_.end();) {
    at->second.erase(worker);
    at = at->second.empty() ? workers_.erase(at) : std::next(at);
  }
}

const std::set<WorkerId>* WarmWorkers::of(std::string_view tenant, std::string_view task) const {
  const auto at = workers_.find({std::string(tenant), std::string(task)});
  return at == workers_.end() ? nullptr : &at->second;
}

}  // namespace forerun
