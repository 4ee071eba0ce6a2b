#include "actors/replica_actor.hpp"

#include <caf/typed_event_based_actor.hpp>
#include <iterator>

namespace forerun {
namespace {

void flush(ReplicaActor::stateful_pointer<ReplicaState> self) {
  const ReplicaBatch batch = std::move(self->state.waiting);
  self->state.waiting = {};
  if (const auto done = self->state.replica->persist(batch); !done) {
    self->state.ports.fatal(done.error().message);
  }
}

}  // namespace

ReplicaActor::behavior_type replica_actor(ReplicaActor::stateful_pointer<ReplicaState> self,
                                          std::shared_ptr<ReplicaStore> replica,
                                          std::shared_ptr<IdentityStore> identity,
                                          ReplicaPorts ports) {
  self->state.replica = std::move(replica);
  self->state.identity = std::move(identity);
  self->state.ports = std::move(ports);
  return {
      [self](const ReplicaBatch& batch) {
        ReplicaBatch& waiting = self->state.waiting;
        waiting.entries.insert(waiting.entries.end(), batch.entries.begin(), batch.entries.end());
        if (batch.head) {
          waiting.head = batch.head;
        }
        if (batch.epoch) {
          waiting.epoch = batch.epoch;
        }
        if (!self->state.is_flushing) {
          self->state.is_flushing = true;
          self->send(self, Flush{});
        }
      },
      [self](const PersistMarks& message) {
        if (const auto done = self->state.identity->save(message.marks); !done) {
          self->state.ports.fatal(done.error().message);
          return;
        }
        self->state.ports.marks_persisted(message.marks);
      },
      [self](const ReplicaAuditOrder& order) {
        flush(self);
        self->state.ports.audit(order);
      },
      [self](const Flush&) {
        self->state.is_flushing = false;
        flush(self);
      },
  };
}

}  // namespace forerun
