#include "actors/ledger_actor.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <utility>

#include "speculation/step_answer.hpp"

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
      [self](const ServeEntries& request) {
        const auto rows = self->state.store->read(request.from, request.count, false);
        if (!rows) {
          self->state.ports.fatal(rows.error().message);
          return;
        }
        Entries entries;
        entries.first = request.from;
        for (const StoredEntry& row : *rows) {
          entries.records.push_back({row.leaf, row.call});
        }
        self->state.ports.send(request.connection, {CoordinatorMessage(std::move(entries))});
      },
      [self](const ServeSession& request) {
        const auto record = self->state.store->session(request.run_id);
        if (!record || record->row.tenant != request.tenant) {
          self->state.ports.reply(
              {request.request,
               RequestFailed{Refusal::not_found,
                             "session " + to_string(request.run_id) + ": no such session",
                             {}}});
          return;
        }
        SessionView view{record->row.run_id, record->row.context,   record->row.mode,
                         record->row.ended,  record->row.next_step, {}};
        for (const StoredEntry& commit : record->commits) {
          if (auto answer = step_answer_of(commit)) {
            view.steps.push_back(std::move(*answer));
          }
        }
        self->state.ports.reply({request.request, std::move(view)});
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
