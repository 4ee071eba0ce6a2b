#include "actors/coordinator_actor.hpp"

#include <caf/typed_event_based_actor.hpp>
#include <iterator>
#include <map>
#include <utility>

namespace forerun {
namespace {

using CoordinatorSelf = CoordinatorActor::stateful_pointer<CoordinatorState>;

/// Messages to one peer in one turn, in order, as one frame.
using Outbox = std::map<ConnectionId, std::vector<CoordinatorMessage>>;

void perform(CoordinatorSelf self, CoordinatorOutput output, Outbox& outbox) {
  CoordinatorPorts& ports = self->state.ports;
  if (output.fatal) {
    ports.fatal(*output.fatal);
  }
  if (output.persist) {
    ports.persist(std::move(*output.persist));
  }
  for (ToNode& message : output.send) {
    outbox[message.connection].push_back(std::move(message.message));
  }
  for (const ServeEntries& request : output.serve_entries) {
    ports.serve_entries(request);
  }
  if (output.publish) {
    ports.publish(std::move(*output.publish));
  }
  for (ClientResponse& response : output.reply) {
    ports.reply(std::move(response));
  }
  for (const ServeSession& request : output.serve_session) {
    ports.serve_session(request);
  }
  for (const std::string& record : output.races) {
    ports.race(record);
  }
  for (ServeLedger& request : output.serve_ledger) {
    ports.serve_ledger(std::move(request));
  }
  for (ReadEntries& request : output.read_entries) {
    ports.read_entries(std::move(request));
  }
  if (output.read_past) {
    ports.read_past(*output.read_past);
  }
  for (const std::string& line : output.log) {
    ports.log(line);
  }
  self->state.timer.arm(self, instant_of(self->clock()), output.wake_at);
  if (output.look_ahead && !self->state.looks_ahead) {
    self->state.looks_ahead = true;
    // By the clock: behind all that waits here, and behind a store that is about to release
    // answers.
    self->delayed_send(self, Duration::zero(), Ahead{});
  }
}

void flush(CoordinatorSelf self, Outbox& outbox) {
  for (auto& [connection, messages] : outbox) {
    self->state.ports.send(connection, std::move(messages));
  }
}

}  // namespace

CoordinatorActor::behavior_type coordinator_actor(CoordinatorSelf self,
                                                  std::shared_ptr<CoordinatorMachine> machine,
                                                  CoordinatorPorts ports) {
  self->state.machine = std::move(machine);
  self->state.ports = std::move(ports);
  Outbox opening;
  perform(self, self->state.machine->start(instant_of(self->clock())), opening);
  flush(self, opening);
  return {
      [self](CoordinatorInputs& message) {
        std::vector<CoordinatorInput>& waiting = self->state.waiting;
        if (waiting.empty()) {
          waiting = std::move(message.inputs);
          self->send(self, Flush{});  // Behind what already waits: all of it is one batch.
        } else if (!planted(Bug::inputs_dropped)) {
          std::move(message.inputs.begin(), message.inputs.end(), std::back_inserter(waiting));
        }
      },
      [self](const Flush&) {
        const std::vector<CoordinatorInput> inputs = std::exchange(self->state.waiting, {});
        Outbox outbox;
        perform(self, self->state.machine->step(instant_of(self->clock()), inputs), outbox);
        flush(self, outbox);
      },
      [self](const Wake&) {
        self->state.timer.arrived();
        Outbox outbox;
        perform(self, self->state.machine->step(instant_of(self->clock()), TimePassed{}), outbox);
        flush(self, outbox);
      },
      [self](const Ahead&) {
        if (!self->state.waiting.empty()) {
          self->send(self, Ahead{});  // Behind their Flush.
          return;
        }
        self->state.looks_ahead = false;
        Outbox outbox;
        perform(self, self->state.machine->step(instant_of(self->clock()), LookAhead{}), outbox);
        flush(self, outbox);
      },
  };
}

}  // namespace forerun
