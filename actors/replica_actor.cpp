#include "actors/replica_actor.hpp"

#include <caf/typed_event_based_actor.hpp>
#include <utility>

#include "storage/replica_page.hpp"

namespace forerun {

ReplicaActor::behavior_type replica_actor(ReplicaActor::stateful_pointer<ReplicaState> self,
                                          std::shared_ptr<ReplicaStore> replica,
                                          std::shared_ptr<IdentityStore> identity,
                                          ReplicaPorts ports) {
  self->state.replica = std::move(replica);
  self->state.identity = std::move(identity);
  self->state.ports = std::move(ports);
  return {
      [self](const ReplicaBatch& batch) {
        if (const auto done = self->state.replica->persist(batch); !done) {
          self->state.ports.fatal(done.error().message);
        }
      },
      [self](const PersistMarks& message) {
        if (const auto done = self->state.identity->save(message.marks); !done) {
          self->state.ports.fatal(done.error().message);
          return;
        }
        self->state.ports.marks_persisted(message.marks);
      },
      [self](const ReplicaAuditOrder& order) { self->state.ports.audit(order); },
      [self](const ReplicaPageOrder& order) {
        self->state.ports.page_read(
            {read_replica_page(*self->state.replica, order.from, order.head)});
      },
  };
}

}  // namespace forerun
