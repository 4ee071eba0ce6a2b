#include "actors/ledger_actor.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <utility>

namespace forerun {

LedgerActor::behavior_type ledger_actor(LedgerActor::stateful_pointer<LedgerState> self,
                                        std::shared_ptr<CoordinatorStore> store,
                                        LedgerPorts ports) {
  self->state.store = std::move(store);
  self->state.ports = std::move(ports);
  return {
      [self](CoordinatorBatch& batch) {
        self->state.waiting.push_back(std::move(batch));
        if (self->state.waiting.size() == 1) {
          self->send(self, Flush{});
        }
      },
      [self](const Flush&) {
        const std::vector<CoordinatorBatch> batches = std::move(self->state.waiting);
        self->state.waiting.clear();
        if (const auto done = self->state.store->persist(batches); !done) {
          self->state.ports.fatal(done.error().message);
          return;
        }
        self->state.ports.persisted(batches.back().number);
      },
  };
}

}  // namespace forerun
