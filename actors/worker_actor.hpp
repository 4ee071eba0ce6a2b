#pragma once

#include <caf/actor_addr.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "actors/mailboxes.hpp"

namespace forerun {

/// Starts a dispatched branch on the executor of its task. The deadline is kept by the node, and is
/// for the run to know. Returns nothing when it has
/// called `done` already, as it does, with a cause, when there is none. Thread-safe.
using StartRun = std::function<std::unique_ptr<RunningTask>(
    const Dispatch& dispatch, const RunDeadline& deadline, RunDone done)>;

struct WorkerState {
  WorkerState() =
      default;  ///< No aggregate: CAF 0.17 would build one from the actor's own pointer.

  NodeActor node;
  StartRun start_run;
  std::map<BranchToken, BranchActor> branches;
  std::map<caf::actor_addr, BranchToken> tokens;
};

/// A worker: has a persistent UUID, hosts one branch actor for each running branch and supervises
/// it. A branch that cannot start, or whose actor ends without a result, is reported as lost; one
/// that has returned by the time it is started (a quick function) needs no actor, and those of one
/// message are reported together.
WorkerActor::behavior_type worker_actor(WorkerActor::stateful_pointer<WorkerState> self,
                                        NodeActor node, StartRun start_run);

struct BranchState {
  BranchState() =
      default;  ///< No aggregate: CAF 0.17 would build one from the actor's own pointer.

  NodeActor node;
  BranchToken token;
  std::shared_ptr<RunningTask> running;  ///< The run, and with it all that the branch holds.
  RunDeadline deadline;
};

/// One running branch: owns its isolated run, ends with it.
BranchActor::behavior_type branch_actor(BranchActor::stateful_pointer<BranchState> self,
                                        NodeActor node, BranchToken token,
                                        std::shared_ptr<RunningTask> running, RunDeadline deadline);

}  // namespace forerun
