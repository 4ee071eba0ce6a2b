#include "actors/worker_actor.hpp"

#include <caf/actor_cast.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <exception>
#include <mutex>
#include <utility>

namespace forerun {
namespace {

using Self = WorkerActor::stateful_pointer<WorkerState>;

BranchFinished finished_of(BranchToken token, RunEnded ended) {
  BranchFinished finished;
  finished.ended.token = token;
  finished.ended.ending = ended.ending;
  finished.ended.output = std::move(ended.output);
  finished.ended.writes = std::move(ended.writes);
  finished.ended.effects = std::move(ended.effects);
  finished.ended.cause = std::move(ended.cause);
  finished.ended.latency = ended.latency;
  finished.ended.dead_handles = ended.dead_handles;
  return finished;
}

BranchFinished lost(BranchToken token, std::string cause) {
  BranchFinished finished;
  finished.ended.token = token;
  finished.ended.ending = Ending::lost;
  finished.ended.cause = std::move(cause);
  return finished;
}

/// Where a run's end arrives: kept while the run is being started, given to the branch's actor from
/// then on. The executor calls from any thread.
class EndOfRun {
public:
  void arrived(RunEnded ended) {
    const std::lock_guard lock(mutex_);
    if (!is_started_) {
      if (!early_) {
        early_ = std::move(ended);
      }
    } else if (const auto branch = caf::actor_cast<BranchActor>(branch_)) {
      caf::anon_send(branch, std::move(ended));
    }
  }
  /// What has arrived so far; if nothing has, the rest goes to the actor that `spawn` makes.
  template <class Spawn>
  std::optional<RunEnded> started(Spawn&& spawn) {
    const std::lock_guard lock(mutex_);
    is_started_ = true;
    if (!early_) {
      branch_ = spawn();
    }
    return std::move(early_);
  }

private:
  std::mutex mutex_;
  bool is_started_ = false;
  std::optional<RunEnded> early_;
  caf::actor_addr branch_;  ///< Weak: the executor may call after the actor has ended.
};

/// Its end, when it has come already or the run could not start.
std::optional<BranchFinished> start(Self self, const Dispatch& dispatch) {
  const BranchToken token = dispatch.token;
  const auto end = std::make_shared<EndOfRun>();
  std::shared_ptr<RunningTask> running;
  const RunDeadline deadline(self->clock().now() + dispatch.timeout, dispatch.speculative);
  try {
    running = self->state.start_run(dispatch, deadline,
                                    [end](RunEnded ended) { end->arrived(std::move(ended)); });
  } catch (const std::exception& problem) {
    return lost(token, std::string("the branch could not start: ") + problem.what());
  }
  auto early = end->started([&] {
    const BranchActor branch = self->spawn<caf::monitored>(branch_actor, self->state.node, token,
                                                           std::move(running), deadline);
    self->state.tokens[branch.address()] = token;
    self->state.branches.emplace(token, branch);
    return branch.address();
  });
  return early ? std::optional(finished_of(token, std::move(*early))) : std::nullopt;
}

}  // namespace

BranchActor::behavior_type branch_actor(BranchActor::stateful_pointer<BranchState> self,
                                        NodeActor node, BranchToken token,
                                        std::shared_ptr<RunningTask> running,
                                        RunDeadline deadline) {
  self->state.node = std::move(node);
  self->state.token = token;
  self->state.running = std::move(running);
  self->state.deadline = std::move(deadline);
  return {
      [self](const ConfirmRun& confirm) {
        self->state.deadline.confirm(self->clock().now() + confirm.timeout);
      },
      [self](const StopBranch&) {
        if (self->state.running) {
          self->state.running->stop();
        }
      },
      [self](RunEnded& ended) {
        self->send(self->state.node,
                   NodeInputs{{NodeInput(finished_of(self->state.token, std::move(ended)))}});
        self->quit();
      },
  };
}

WorkerActor::behavior_type worker_actor(Self self, NodeActor node, StartRun start_run) {
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
      self->send(self->state.node,
                 NodeInputs{{NodeInput(
                     lost(token, "the branch's actor ended: " + caf::to_string(down.reason)))}});
    }
  });
  return {
      [self](const StartBranches& starts) {
        NodeInputs ended;
        for (const StartBranch& branch : starts.branches) {
          if (auto finished = start(self, branch.dispatch)) {
            ended.inputs.emplace_back(std::move(*finished));
          }
        }
        if (!ended.inputs.empty()) {
          self->send(self->state.node, std::move(ended));
        }
      },
      [self](const ConfirmRun& confirm) {
        if (const auto at = self->state.branches.find(confirm.token);
            at != self->state.branches.end()) {
          self->send(at->second, confirm);
        }
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
