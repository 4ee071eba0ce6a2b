#include "storage/past_page.hpp"

#include <utility>

namespace forerun {
namespace {

Result<void> read_taught(CoordinatorStore& store, const ReadPast& request, PastRead& page) {
  auto rows = store.history(request.first, request.last, request.steps);
  if (!rows) {
    return tl::unexpected(rows.error());
  }
  page.next = rows->empty() ? request.last : rows->back().entry.number + 1;
  for (HistoryRow& row : *rows) {
    if (auto session = parse_history_text(row.text)) {
      page.sessions.push_back({row.entry.number, std::move(row.entry.tenant), std::move(*session)});
    }
  }
  return {};
}

Result<void> read_commits(CoordinatorStore& store, const ReadPast& request, PastRead& page) {
  auto records = store.commits(request.from, request.until, request.steps);
  if (!records) {
    return tl::unexpected(records.error());
  }
  page.next_seq = records->empty() ? request.until : Seq{records->back().seq.value + 1};
  for (CoordinatorStore::CommitRecord& record : *records) {
    PastStep step{record.run_id,
                  record.step,
                  record.is_last,
                  std::move(record.tenant),
                  std::move(record.context),
                  {},
                  {}};
    if (auto call = Call::parse(record.call)) {
      step.call = std::move(*call);
      if (auto output = Output::parse(record.output)) {
        step.output = std::move(*output);
      }
    }
    page.steps.push_back(std::move(step));
  }
  return {};
}

}  // namespace

Result<PastRead> read_past(CoordinatorStore& store, const ReadPast& request) {
  PastRead page;
  page.next = request.first;
  page.next_seq = request.from;
  auto read = request.first < request.last ? read_taught(store, request, page)
                                           : read_commits(store, request, page);
  return read ? std::move(page) : Result<PastRead>(tl::unexpected(read.error()));
}

}  // namespace forerun
