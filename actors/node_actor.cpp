#include "actors/node_actor.hpp"

#include <caf/actor_cast.hpp>
#include <caf/typed_event_based_actor.hpp>

namespace forerun {
namespace {

using NodeSelf = NodeActor::stateful_pointer<NodeState>;

void perform(NodeSelf self, NodeOutput output, std::vector<NodeMessage>& outbox) {
  NodeState& state = self->state;
  if (output.persist) {
    state.ports.persist(std::move(*output.persist));
  }
  if (!output.marks.empty()) {
    state.ports.persist_marks(std::move(output.marks));
  }
  if (output.audit) {
    state.ports.audit(std::move(*output.audit));
  }
  for (NodeMessage& message : output.send) {
    outbox.push_back(std::move(message));
  }
  if (output.subscribe) {
    state.ports.subscribe(static_cast<std::uint16_t>(*output.subscribe));
  }
  if (output.catalog) {
    state.ports.use_catalog(*output.catalog);
    state.ports.joined();
  }
  for (StartBranch& start : output.start) {
    const WorkerId worker = start.dispatch.worker;
    state.worker_of[start.dispatch.token] = worker;
    self->send(state.workers.at(worker), std::move(start));
  }
  for (const StopBranch& stop : output.stop) {
    if (const auto at = state.worker_of.find(stop.token); at != state.worker_of.end()) {
      self->send(state.workers.at(at->second), stop);
    }
  }
  for (const std::string& line : output.alerts) {
    state.ports.log(line);
  }
  state.timer.arm(self, instant_of(self->clock()), output.wake_at);
  if (output.diverged) {
    state.ports.diverged(*output.diverged);
  }
  if (output.fatal) {
    state.ports.send(std::move(outbox));  // The coordinator must hear why before this process ends.
    outbox.clear();
    state.ports.fatal(*output.fatal);
  }
}

void step(NodeSelf self, const NodeInput& input, std::vector<NodeMessage>& outbox) {
  if (const auto* finished = std::get_if<BranchFinished>(&input)) {
    self->state.worker_of.erase(finished->ended.token);
  }
  perform(self, self->state.machine->step(instant_of(self->clock()), input), outbox);
}

void flush(NodeSelf self, std::vector<NodeMessage> outbox) {
  if (!outbox.empty()) {
    self->state.ports.send(std::move(outbox));
  }
}

void look_at_time(NodeSelf self) {
  std::vector<NodeMessage> outbox;
  step(self, TimePassed{}, outbox);
  flush(self, std::move(outbox));
}

}  // namespace

NodeActor::behavior_type node_actor(NodeSelf self, std::shared_ptr<NodeMachine> machine,
                                    std::vector<WorkerId> workers, SpawnWorker spawn_worker,
                                    NodePorts ports) {
  self->state.machine = std::move(machine);
  self->state.ports = std::move(ports);
  for (const WorkerId& worker : workers) {
    self->state.workers.emplace(
        worker,
        spawn_worker(worker, caf::actor_cast<NodeActor>(caf::strong_actor_ptr(self->ctrl()))));
  }
  look_at_time(self);
  return {
      [self](const NodeInputs& message) {
        std::vector<NodeMessage> outbox;
        for (const NodeInput& input : message.inputs) {
          step(self, input, outbox);
        }
        flush(self, std::move(outbox));
      },
      [self](const Wake&) {
        self->state.timer.arrived();
        look_at_time(self);
      },
  };
}

}  // namespace forerun
