#pragma once

#include <optional>
#include <string>

#include "speculation/durable.hpp"
#include "speculation/ledger_checker.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

/// What a node's shell must read again, and how far.
struct ReplicaAuditOrder {
  AuditReplica request;
  std::uint64_t size = 0;  ///< Entries that the node has checked, so its store must hold them.
};

/// Reads a replica again, from its first entry on, as an auditor would: nothing of what the node
/// remembers is taken for granted. Pure.
class ReplicaAuditor {
public:
  ReplicaAuditor(ReplicaAuditOrder order, std::optional<PublicKey> first_key);
  /// The next entry of the store. What follows a problem, or is beyond the order's size, is
  /// ignored.
  void take(const StoredEntry& entry);
  /// The store could not be read further.
  void failed(const std::string& why);
  /// All was read. @pre called once.
  ReplicaAudited finish(std::optional<SignedHead> stored_head);

private:
  ReplicaAuditOrder order_;
  LedgerChecker checker_;
  ReplicaAudited answer_;
};

}  // namespace forerun
