#include "node/replica_audit.hpp"

#include <utility>

#include "base/json.hpp"

namespace forerun {

ReplicaAuditor::ReplicaAuditor(ReplicaAuditOrder order, std::optional<PublicKey> first_key)
    : order_(std::move(order)), checker_(std::move(first_key)) {
  answer_.epoch = order_.request.epoch;
  answer_.audit = order_.request.audit;
}

void ReplicaAuditor::take(const StoredEntry& entry) {
  if (!answer_.problem.empty() || checker_.size() >= order_.size) {
    return;
  }
  if (const auto taken = checker_.take(entry.leaf, entry.call); !taken) {
    answer_.problem = taken.error().message;
    return;
  }
  const auto& sizes = order_.request.sizes;
  if (answer_.roots.size() < sizes.size() && sizes[answer_.roots.size()] == checker_.size()) {
    answer_.roots.push_back(checker_.head().root);
  }
}

void ReplicaAuditor::failed(const std::string& why) {
  if (answer_.problem.empty()) {
    answer_.problem = "entry " + std::to_string(checker_.size()) + ": found nothing (" + why +
                      "), expected an entry: the node has checked " + std::to_string(order_.size);
  }
}

ReplicaAudited ReplicaAuditor::finish(std::optional<SignedHead> stored_head) {
  if (checker_.size() < order_.size) {
    failed("its store ends here");
  }
  answer_.problem = json::clean_text(answer_.problem, cause_bytes_max);
  answer_.head = checker_.head();
  answer_.signed_head = std::move(stored_head);
  answer_.recomputed = checker_.counts().recomputed;
  answer_.not_recomputed = checker_.counts().not_recomputed;
  return std::move(answer_);
}

}  // namespace forerun
