#include "coordinator/worker_owners.hpp"

namespace forerun {

void WorkerOwners::restore(const OwnerRow& row) {
  if (const auto before = owners_.find(row.worker); before != owners_.end()) {
    --counts_[before->second.node];
  }
  owners_[row.worker] = {row.node, row.name};
  ++counts_[row.node];
}

bool WorkerOwners::is_renewed(const Owner& owner, const NodeId& node, const KnownNodes& known) {
  const std::string* name = known.name_of(node);
  return !known.is_allowed(owner.node) && name != nullptr && !name->empty() && *name == owner.name;
}

std::optional<std::string> WorkerOwners::refusal(std::span<const WorkerOffer> workers,
                                                 const NodeId& node,
                                                 const KnownNodes& known) const {
  const auto count = counts_.find(node);
  std::size_t owned = count == counts_.end() ? 0 : count->second;
  for (const WorkerOffer& offer : workers) {
    const auto at = owners_.find(offer.worker);
    if (at != owners_.end() && at->second.node == node) {
      continue;
    }
    if (at != owners_.end() && !is_renewed(at->second, node, known)) {
      const Owner& owner = at->second;
      const std::string* name = known.name_of(node);
      return "join: worker " + to_string(offer.worker) + " belongs to the key " + owner.node.name +
             (owner.name.empty() ? "" : " (" + owner.name + ")") + ", found " + node.name +
             (name == nullptr ? "" : " (" + *name + ")") +
             ": give this node a data directory of its own; a node that needs another key gets it "
             "under the name that it has (forerun keys renew NAME)";
    }
    if (++owned > workers_per_key_max) {
      return "join: the key " + node.name + " has joined with other workers before, expected at " +
             "most " + std::to_string(workers_per_key_max) +
             " ever: keep the node's data directory, or renew its key (forerun keys renew NAME)";
    }
  }
  return std::nullopt;
}

std::optional<OwnerRow> WorkerOwners::joined(const WorkerId& worker, const NodeId& node,
                                             const KnownNodes& known) {
  const std::string* name = known.name_of(node);
  const auto at = owners_.find(worker);
  if (at != owners_.end() && at->second.node == node &&
      (name == nullptr || at->second.name == *name)) {
    return std::nullopt;
  }
  OwnerRow row{worker, node, name == nullptr ? std::string() : *name};
  restore(row);
  return row;
}

}  // namespace forerun
