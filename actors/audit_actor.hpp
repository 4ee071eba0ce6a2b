#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "actors/mailboxes.hpp"
#include "storage/store.hpp"

namespace forerun {

struct AuditPorts {
  /// The replica's file by a reader of its own, so that nothing remembered answers for the disk.
  std::function<Result<std::unique_ptr<ReplicaStore>>()> open;
  std::function<void(ReplicaAudited)> audited;
};

struct AuditState {
  AuditState() = default;  ///< No aggregate: CAF 0.17 would build one from the actor's own pointer.

  std::optional<PublicKey> first_key;
  AuditPorts ports;
};

/// Reads a node's replica again from its file and checks all of it. Spawn it detached: it takes as
/// long as the ledger is, and the node goes on meanwhile.
AuditActor::behavior_type audit_actor(AuditActor::stateful_pointer<AuditState> self,
                                      std::optional<PublicKey> first_key, AuditPorts ports);

}  // namespace forerun
