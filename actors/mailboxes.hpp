#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/typed_actor.hpp>
#include <vector>

#include "actors/timer.hpp"
#include "coordinator/machine.hpp"
#include "node/executors/executor.hpp"
#include "node/machine.hpp"

/// The interfaces of all actors. Messages stay inside one process, so none needs a serializer.
namespace forerun {

/// Inputs that arrived together are handled together: one persist, one frame a peer.
struct CoordinatorInputs {
  std::vector<CoordinatorInput> inputs;
};
struct NodeInputs {
  std::vector<NodeInput> inputs;
};
/// Branches that start together on one worker.
struct StartBranches {
  std::vector<StartBranch> branches;
};
struct PeerMessages {
  std::vector<CoordinatorMessage> messages;
};
/// Sent by an actor to itself, behind what already waits in its mailbox: everything before it is
/// one group.
struct Flush {};
/// Sent by the coordinator actor to itself for LookAhead, through the clock: behind what already
/// waits, here and in the actors that this one has sent to.
struct Ahead {};
/// Sent by the node actor to itself: what was verified since is given to the replica's store.
struct StoreReplica {};
/// Sent by the reader actor to itself: behind what already waits, the next client's read.
struct ReadNext {};
struct PersistMarks {
  std::vector<MarkRow> marks;
};

using CoordinatorActor = caf::typed_actor<caf::reacts_to<CoordinatorInputs>, caf::reacts_to<Flush>,
                                          caf::reacts_to<Wake>, caf::reacts_to<Ahead>>;
using LedgerActor = caf::typed_actor<caf::reacts_to<CoordinatorBatch>, caf::reacts_to<Flush>>;
using ReaderActor = caf::typed_actor<caf::reacts_to<ServeEntries>, caf::reacts_to<ServeSession>,
                                     caf::reacts_to<ServeLedger>, caf::reacts_to<ReadEntries>,
                                     caf::reacts_to<ReadPast>, caf::reacts_to<ReadNext>>;
using AuditActor = caf::typed_actor<caf::reacts_to<ReplicaAuditOrder>>;
using PeerProxyActor = caf::typed_actor<caf::reacts_to<PeerMessages>>;
using NodeActor = caf::typed_actor<caf::reacts_to<NodeInputs>, caf::reacts_to<Flush>,
                                   caf::reacts_to<Wake>, caf::reacts_to<StoreReplica>>;
using ReplicaActor =
    caf::typed_actor<caf::reacts_to<ReplicaBatch>, caf::reacts_to<PersistMarks>,
                     caf::reacts_to<ReplicaAuditOrder>, caf::reacts_to<ReplicaPageOrder>>;
using WorkerActor = caf::typed_actor<caf::reacts_to<StartBranches>, caf::reacts_to<ConfirmRun>,
                                     caf::reacts_to<StopBranch>>;
using BranchActor = caf::typed_actor<caf::reacts_to<ConfirmRun>, caf::reacts_to<StopBranch>,
                                     caf::reacts_to<RunEnded>>;

}  // namespace forerun

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::Wake)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::CoordinatorInputs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::NodeInputs)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::PeerMessages)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::Flush)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::Ahead)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::StoreReplica)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::PersistMarks)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::CoordinatorBatch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ReplicaBatch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ServeEntries)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ServeSession)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ServeLedger)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ReadEntries)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ReadPast)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ReadNext)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ReplicaAuditOrder)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ReplicaPageOrder)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::StartBranches)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::ConfirmRun)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::StopBranch)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(forerun::RunEnded)
