#include "coordinator/known_nodes.hpp"

#include <utility>

namespace forerun {

void KnownNodes::allow(std::map<NodeId, std::string> names) {
  allowed_ = std::move(names);
  std::erase_if(absent_, [this](const auto& node) { return !allowed_->contains(node.first); });
  std::erase_if(joined_, [this](const NodeId& node) { return !allowed_->contains(node); });
}

void KnownNodes::joined(const NodeId& node) {
  joined_.insert(node);
  absent_.erase(node);
}

void KnownNodes::lost(const NodeId& node, const std::string& name, const std::string& why) {
  if (allowed_ && !allowed_->contains(node)) {
    return;  // Shut out on purpose.
  }
  if (absent_.size() >= absent_max) {
    absent_.erase(absent_.begin());
  }
  absent_[node] = {node, name, why};
}

std::vector<AbsentNode> KnownNodes::absent(std::span<const WorkerId> unseen) const {
  std::vector<AbsentNode> list;
  for (const auto& [id, node] : absent_) {
    list.push_back(node);
  }
  if (unseen.empty() || !allowed_) {
    return list;
  }
  for (const auto& [id, name] : *allowed_) {
    if (!joined_.contains(id)) {
      list.push_back({id, name,
                      "has not joined since the coordinator started, and worker " +
                          to_string(unseen.front()) +
                          (unseen.size() > 1 ? " and " + std::to_string(unseen.size() - 1) + " more"
                                             : std::string()) +
                          " of an earlier term is missing"});
    }
  }
  return list;
}

const std::string* KnownNodes::name_of(const NodeId& node) const {
  if (!allowed_) {
    return nullptr;
  }
  const auto at = allowed_->find(node);
  return at == allowed_->end() ? nullptr : &at->second;
}

}  // namespace forerun
