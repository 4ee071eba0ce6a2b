#include "actors/audit_actor.hpp"

#include <caf/typed_event_based_actor.hpp>

namespace forerun {

AuditActor::behavior_type audit_actor(AuditActor::stateful_pointer<AuditState> self,
                                      std::optional<PublicKey> first_key, AuditPorts ports) {
  self->state.first_key = first_key;
  self->state.ports = std::move(ports);
  return {
      [self](const ReplicaAuditOrder& order) {
        ReplicaAuditor auditor(order, self->state.first_key);
        std::optional<SignedHead> head;
        auto store = self->state.ports.open();
        if (!store) {
          auditor.failed(store.error().message);
        } else {
          const auto read =
              (*store)->recover([&auditor](const StoredEntry& entry) { auditor.take(entry); });
          if (read) {
            head = read->head;
          } else {
            auditor.failed(read.error().message);
          }
        }
        self->state.ports.audited(auditor.finish(head));
      },
  };
}

}  // namespace forerun
