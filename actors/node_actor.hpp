#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/mailboxes.hpp"

namespace forerun {

/// Where the node actor's outputs go. Called on the actor's thread; must not block.
struct NodePorts {
  std::function<void(ReplicaBatch)> persist;  ///< In groups that nobody waits for.
  std::function<void(std::vector<MarkRow>)> persist_marks;
  std::function<void(ReplicaAuditOrder)> audit;
  std::function<void(ReplicaPageOrder)> page;
  std::function<void(std::vector<NodeMessage>)> send;
  std::function<void(std::uint16_t publish_port)> subscribe;
  std::function<void(const std::string& catalog)> use_catalog;
  std::function<void(const std::string&)> log;
  std::function<void(const Divergence&)> diverged;  ///< Keep it; `fatal` follows. May block.
  std::function<void(const Error&)> fatal;
  std::function<void()> joined;  ///< Each time a coordinator welcomed this node.
};

struct NodeState {
  NodeState() = default;  ///< No aggregate: CAF 0.17 would build one from the actor's own pointer.

  std::shared_ptr<NodeMachine> machine;
  NodePorts ports;
  std::map<WorkerId, WorkerActor> workers;
  std::vector<NodeInput> waiting;        ///< Inputs until the next Flush, in order.
  std::optional<ReplicaBatch> unstored;  ///< Verified, not given to the store yet.
  bool is_storing_soon = false;
  WakeTimer timer;
  bool was_joined = false;
};

/// Spawns the worker of a UUID, which reports to `node`.
using SpawnWorker = std::function<WorkerActor(WorkerId, NodeActor node)>;

/// The shell around NodeMachine: mailbox → step → workers and ports. What waits in the mailbox
/// together is one step: one frame to the coordinator, one batch for the replica.
NodeActor::behavior_type node_actor(NodeActor::stateful_pointer<NodeState> self,
                                    std::shared_ptr<NodeMachine> machine,
                                    std::vector<WorkerId> workers, SpawnWorker spawn_worker,
                                    NodePorts ports);

}  // namespace forerun
