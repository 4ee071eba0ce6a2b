#include "actors/node_actor.hpp"

#include <caf/actor_cast.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <chrono>
#include <iterator>
#include <map>
#include <utility>

namespace forerun {
namespace {

using NodeSelf = NodeActor::stateful_pointer<NodeState>;

/// Entries that are verified within this time are one transaction: nobody waits for them, and both
/// a transaction and waking the store's thread cost more than an entry.
constexpr std::chrono::milliseconds store_within{20};
constexpr std::size_t unstored_max = 512;  ///< Then they are stored at once.

void store_replica(NodeState& state) {
  if (state.unstored) {
    state.ports.persist(std::move(*state.unstored));
    state.unstored.reset();
  }
}

/// A new term is stored at once: it is accepted only once.
void store_soon(NodeSelf self, ReplicaBatch batch) {
  NodeState& state = self->state;
  if (!state.unstored || planted(Bug::group_overwritten)) {
    state.unstored = std::move(batch);
  } else {
    std::move(batch.entries.begin(), batch.entries.end(),
              std::back_inserter(state.unstored->entries));
    state.unstored->head = batch.head ? batch.head : state.unstored->head;
    state.unstored->epoch = batch.epoch ? batch.epoch : state.unstored->epoch;
  }
  if (state.unstored->epoch || state.unstored->entries.size() >= unstored_max) {
    store_replica(state);
  } else if (!state.is_storing_soon) {
    state.is_storing_soon = true;
    self->delayed_send(self, store_within, StoreReplica{});
  }
}

void start(NodeState& state, NodeSelf self, std::vector<StartBranch> branches) {
  std::map<WorkerId, StartBranches> by_worker;
  for (StartBranch& branch : branches) {
    const WorkerId worker = branch.dispatch.worker;
    by_worker[worker].branches.push_back(std::move(branch));
  }
  for (auto& [worker, starts] : by_worker) {
    self->send(state.workers.at(worker), std::move(starts));
  }
}

void perform(NodeSelf self, NodeOutput output) {
  NodeState& state = self->state;
  if (output.persist) {
    store_soon(self, std::move(*output.persist));
  }
  if (!output.marks.empty()) {
    state.ports.persist_marks(std::move(output.marks));
  }
  if (output.audit || output.page || output.fatal) {
    store_replica(state);
  }
  if (output.page) {
    state.ports.page(*output.page);
  }
  if (output.audit) {
    state.ports.audit(std::move(*output.audit));
  }
  if (!output.send.empty()) {
    state.ports.send(std::move(output.send));
  }
  if (output.subscribe) {
    state.ports.subscribe(static_cast<std::uint16_t>(*output.subscribe));
  }
  if (output.catalog) {
    state.ports.use_catalog(*output.catalog);
    state.ports.joined();
  }
  start(state, self, std::move(output.start));
  for (const ConfirmRun& confirm : output.confirm) {
    self->send(state.workers.at(confirm.worker), confirm);
  }
  for (const StopBranch& stop : output.stop) {
    self->send(state.workers.at(stop.worker), stop);
  }
  for (const std::string& line : output.alerts) {
    state.ports.log(line);
  }
  state.timer.arm(self, instant_of(self->clock()), output.wake_at);
  if (output.diverged) {
    state.ports.diverged(*output.diverged);
  }
  if (output.fatal) {
    state.ports.fatal(*output.fatal);
  }
}

void look_at_time(NodeSelf self) {
  perform(self, self->state.machine->step(instant_of(self->clock()), TimePassed{}));
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
      [self](NodeInputs& message) {
        std::vector<NodeInput>& waiting = self->state.waiting;
        if (waiting.empty()) {
          waiting = std::move(message.inputs);
          self->send(self, Flush{});  // Behind what already waits: all of it is one step.
        } else {
          std::move(message.inputs.begin(), message.inputs.end(), std::back_inserter(waiting));
        }
      },
      [self](const Flush&) {
        perform(self, self->state.machine->step(instant_of(self->clock()),
                                                std::exchange(self->state.waiting, {})));
      },
      [self](const Wake&) {
        self->state.timer.arrived();
        look_at_time(self);
      },
      [self](const StoreReplica&) {
        self->state.is_storing_soon = false;
        store_replica(self->state);
      },
  };
}

}  // namespace forerun
