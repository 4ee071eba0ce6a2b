#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/mailboxes.hpp"
#include "storage/store.hpp"

namespace forerun {

struct ReplicaPorts {
  std::function<void(std::vector<MarkRow>)> marks_persisted;
  /// Everything that the order speaks of is in the store now.
  std::function<void(ReplicaAuditOrder)> audit;
  std::function<void(ReplicaEntries)> page_read;
  std::function<void(const std::string&)> fatal;
};

struct ReplicaState {
  ReplicaState() =
      default;  ///< No aggregate: CAF 0.17 would build one from the actor's own pointer.

  std::shared_ptr<ReplicaStore> replica;
  std::shared_ptr<IdentityStore> identity;
  ReplicaPorts ports;
};

/// Owns a node's stores. Nobody waits for entries; marks are synced at once. Spawn it detached: it
/// blocks on the disk.
ReplicaActor::behavior_type replica_actor(ReplicaActor::stateful_pointer<ReplicaState> self,
                                          std::shared_ptr<ReplicaStore> replica,
                                          std::shared_ptr<IdentityStore> identity,
                                          ReplicaPorts ports);

}  // namespace forerun
