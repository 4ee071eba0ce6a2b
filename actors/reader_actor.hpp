#pragma once

#include <functional>
#include <memory>
#include <string>

#include "actors/mailboxes.hpp"
#include "coordinator/waiting_reads.hpp"
#include "storage/store.hpp"

namespace forerun {

struct ReaderPorts {
  std::function<void(ConnectionId, std::vector<CoordinatorMessage>)> send;
  std::function<void(ClientResponse)> reply;
  std::function<void(EntriesRead)> entries_read;
  std::function<void(PastRead)> past_read;
  std::function<void(const std::string&)> fatal;  ///< The disk failed: the process must end.
};

struct ReaderState {
  ReaderState() =
      default;  ///< No aggregate: CAF 0.17 would build one from the actor's own pointer.

  std::shared_ptr<CoordinatorStore> store;
  ReaderPorts ports;
  WaitingReads waiting;
  bool is_reading = false;  ///< ReadNext is on its way.
};

/// Reads what is durable, beside the ledger actor, so that no commit waits for a read. Clients'
/// reads wait for the cluster's own, which are bounded by their senders. `store` is a connection of
/// its own, or one that threads may share. Spawn it detached: it blocks on the disk.
ReaderActor::behavior_type reader_actor(ReaderActor::stateful_pointer<ReaderState> self,
                                        std::shared_ptr<CoordinatorStore> store, ReaderPorts ports);

}  // namespace forerun
