#include "actors/reader_actor.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <utility>

#include "storage/ledger_page.hpp"
#include "storage/past_page.hpp"
#include "storage/session_page.hpp"

namespace forerun {
namespace {

using ReaderSelf = ReaderActor::stateful_pointer<ReaderState>;

ResponseBody answer(CoordinatorStore& store, const ServeSession& request) {
  return read_session(store, request);
}

ResponseBody answer(CoordinatorStore& store, const ServeLedger& request) {
  return read_ledger_page(store, request.from, request.count, request.head);
}

/// Behind what already waits in the mailbox: all of it takes its turn.
void read_later(ReaderSelf self) {
  if (!std::exchange(self->state.is_reading, true)) {
    self->send(self, ReadNext{});
  }
}

void put(ReaderSelf self, WaitingReads::Read read) {
  if (auto refusal = self->state.waiting.put(std::move(read))) {
    self->state.ports.reply(std::move(*refusal));
    return;
  }
  read_later(self);
}

}  // namespace

ReaderActor::behavior_type reader_actor(ReaderSelf self, std::shared_ptr<CoordinatorStore> store,
                                        ReaderPorts ports) {
  self->state.store = std::move(store);
  self->state.ports = std::move(ports);
  return {
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
      [self](ServeSession& request) { put(self, std::move(request)); },
      [self](ServeLedger& request) { put(self, std::move(request)); },
      [self](const ReadEntries& request) {
        EntriesRead read{request.audit, {}};
        for (const Seq seq : request.seqs) {
          if (auto rows = self->state.store->read(seq, 1, true); rows && !rows->empty()) {
            read.entries.push_back(std::move(rows->front()));
          }
        }
        self->state.ports.entries_read(std::move(read));
      },
      [self](const ReadPast& request) {
        auto page = read_past(*self->state.store, request);
        if (!page) {
          self->state.ports.fatal(page.error().message);
          return;
        }
        self->state.ports.past_read(std::move(*page));
      },
      [self](const ReadNext&) {
        self->state.is_reading = false;
        const auto next = self->state.waiting.take();
        if (!next) {
          return;
        }
        self->state.ports.reply(std::visit(
            [self](const auto& request) {
              return ClientResponse{request.request, answer(*self->state.store, request)};
            },
            *next));
        read_later(self);
      },
  };
}

}  // namespace forerun
