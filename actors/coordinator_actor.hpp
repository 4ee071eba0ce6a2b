#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/mailboxes.hpp"

namespace forerun {

/// Where the coordinator actor's outputs go. Called on the actor's thread; must not block.
struct CoordinatorPorts {
  std::function<void(CoordinatorBatch)> persist;
  std::function<void(ConnectionId, std::vector<CoordinatorMessage>)> send;
  std::function<void(Entries)> publish;
  std::function<void(ClientResponse)> reply;
  std::function<void(ServeEntries)> serve_entries;
  std::function<void(ServeSession)> serve_session;
  std::function<void(const std::string&)> race;  ///< A log record, one JSON line.
  std::function<void(ServeLedger)> serve_ledger;
  std::function<void(ReadEntries)> read_entries;
  std::function<void(ReadPast)> read_past;
  std::function<void(const std::string&)> log;
  std::function<void(const Error&)> fatal;  ///< The process must end; does not return.
};

struct CoordinatorState {
  CoordinatorState() =
      default;  ///< No aggregate: CAF 0.17 would build one from the actor's own pointer.

  std::shared_ptr<CoordinatorMachine> machine;  ///< Owned by this actor alone once it runs.
  CoordinatorPorts ports;
  WakeTimer timer;
  std::vector<CoordinatorInput> waiting;  ///< For the Flush that is on its way.
  bool looks_ahead = false;               ///< Ahead is on its way.
};

/// The shell around CoordinatorMachine: mailbox → step → ports. Opens the term when it starts.
CoordinatorActor::behavior_type coordinator_actor(
    CoordinatorActor::stateful_pointer<CoordinatorState> self,
    std::shared_ptr<CoordinatorMachine> machine, CoordinatorPorts ports);

}  // namespace forerun
