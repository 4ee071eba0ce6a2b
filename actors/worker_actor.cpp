#include "actors/worker_actor.hpp"

#include <caf/actor_cast.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace forerun {

BranchActor::behavior_type branch_actor(BranchActor::stateful_pointer<BranchState> self,
                                        NodeActor node, Dispatch dispatch, StartRun start_run) {
  self->state.node = std::move(node);
  self->state.token = dispatch.token;
  // A weak address: the executor may call back after this actor has ended.
  const caf::actor_addr address = self->address();
  self->state.running = start_run(dispatch, [address](RunEnded ended) {
    if (const auto strong = caf::actor_cast<BranchActor>(address)) {
      caf::anon_send(strong, std::move(ended));
    }
  });
  return {
      [self](const StopBranch&) {
        if (self->state.running) {
          self->state.running->stop();
        }
      },
      [self](RunEnded& ended) {
        BranchFinished finished;
        finished.ended.token = self->state.token;
        finished.ended.ending = ended.ending;
        finished.ended.output = std::move(ended.output);
        finished.ended.writes = std::move(ended.writes);
        finished.ended.effects = std::move(ended.effects);
        finished.ended.cause = std::move(ended.cause);
        finished.ended.latency = ended.latency;
        finished.ended.dead_handles = ended.dead_handles;
        self->send(self->state.node, NodeInputs{{NodeInput(std::move(finished))}});
        self->quit();
      },
  };
}

WorkerActor::behavior_type worker_actor(WorkerActor::stateful_pointer<WorkerState> self,
                                        NodeActor node, StartRun start_run) {
  self->state.node = std::move(node);
  self->state.start_run = std::move(start_run);
  self->set_down_handler([self](const caf::down_msg& down) {
    const auto at = self->state.tokens.find(down.source);
    if (at == self->state.tokens.end()) {
      return;
    }
    const BranchToken token = at->second;
    self->state.tokens.erase(at);
    self->state.branches.erase(token);
    if (down.reason) {  // It did not end by itself, so its result never came.
      BranchFinished lost;
      lost.ended.token = token;
      lost.ended.ending = Ending::lost;
      lost.ended.cause = "the branch's actor ended: " + caf::to_string(down.reason);
      self->send(self->state.node, NodeInputs{{NodeInput(std::move(lost))}});
    }
  });
  return {
      [self](const StartBranch& start) {
        const BranchActor branch = self->spawn<caf::monitored>(
            branch_actor, self->state.node, start.dispatch, self->state.start_run);
        self->state.tokens[branch.address()] = start.dispatch.token;
        self->state.branches.emplace(start.dispatch.token, branch);
      },
      [self](const StopBranch& stop) {
        if (const auto at = self->state.branches.find(stop.token);
            at != self->state.branches.end()) {
          self->send(at->second, stop);
        }
      },
  };
}

}  // namespace forerun
