#include "actors/ledger_actor.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <utility>

#include "storage/ledger_page.hpp"
#include "storage/past_page.hpp"
#include "storage/session_page.hpp"

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
        self->state.ports.reply({request.request, read_session(*self->state.store, request)});
      },
      [self](const ServeLedger& request) {
        self->state.ports.reply({request.request, read_ledger_page(*self->state.store, request.from,
                                                                   request.count, request.head)});
      },
      [self](const ReadEntries& request) {
        EntriesRead answer{request.audit, {}};
        for (const Seq seq : request.seqs) {
          if (auto rows = self->state.store->read(seq, 1, true); rows && !rows->empty()) {
            answer.entries.push_back(std::move(rows->front()));
          }
        }
        self->state.ports.entries_read(std::move(answer));
      },
      [self](const ReadPast& request) {
        auto page = read_past(*self->state.store, request);
        if (!page) {
          self->state.ports.fatal(page.error().message);
          return;
        }
        self->state.ports.past_read(std::move(*page));
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
