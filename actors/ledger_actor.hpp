#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/mailboxes.hpp"
#include "storage/store.hpp"

namespace forerun {

struct LedgerPorts {
  std::function<void(BatchNumber)> persisted;     ///< This batch and all before it are durable.
  std::function<void(const std::string&)> fatal;  ///< The disk failed: the process must end.
};

struct LedgerState {
  LedgerState() =
      default;  ///< No aggregate: CAF 0.17 would build one from the actor's own pointer.

  std::shared_ptr<CoordinatorStore> store;
  LedgerPorts ports;
  std::vector<CoordinatorBatch> waiting;
};

/// Writes the store. Batches that wait together are synced together. Spawn it detached: it blocks
/// on the disk.
LedgerActor::behavior_type ledger_actor(LedgerActor::stateful_pointer<LedgerState> self,
                                        std::shared_ptr<CoordinatorStore> store, LedgerPorts ports);

}  // namespace forerun
