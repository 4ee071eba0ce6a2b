#include "storage/past_page.hpp"

#include <utility>
#include <variant>

#include "speculation/entry.hpp"
#include "speculation/protocol.hpp"

namespace forerun {
namespace {

/// The runs that tell how long their tasks take. Of a branch that failed the entry does not say
/// whether it was its own doing.
std::vector<PastRun> runs_of(const std::string& leaf) {
  std::vector<PastRun> runs;
  const auto entry = entry_of(leaf);
  const auto* commit = entry ? std::get_if<CommitEntry>(&entry->body) : nullptr;
  if (commit == nullptr) {
    return runs;
  }
  for (std::size_t i = 0; i < commit->branch_names.size(); ++i) {
    const auto& cause = commit->branch_causes[i];
    const bool is_told = commit->branch_validities[i].value_or(false) ||
                         (cause && cause->starts_with(timed_out_cause));
    if (is_told && commit->branch_latencies[i]) {
      runs.push_back({commit->branch_names[i], *commit->branch_latencies[i]});
    }
  }
  return runs;
}

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
                  std::move(record.texts),
                  {},
                  {},
                  runs_of(record.leaf)};
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
