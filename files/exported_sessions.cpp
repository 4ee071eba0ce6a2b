#include "files/exported_sessions.hpp"

#include <algorithm>

#include "files/catalog_file.hpp"
#include "files/replay_record.hpp"

namespace forerun {
namespace {

std::optional<Duration> latency_of(const CommitEntry& entry) {
  std::optional<Duration> slowest;
  for (std::size_t i = 0; i < entry.branch_latencies.size(); ++i) {
    if (entry.branch_validities[i] && entry.branch_latencies[i]) {
      slowest = std::max(slowest.value_or(Duration{}),
                         std::clamp(*entry.branch_latencies[i], Duration{}, trace_time_max));
    }
  }
  return slowest;
}

bool is_there(const RecordedStep& step, std::size_t expected) {
  return step.entry.step.value == expected && step.call && (!step.entry.winner || step.output);
}

}  // namespace

ReadOnlyTasks read_only_tasks(const Catalog& catalog) {
  std::set<std::string, std::less<>> ahead;
  for (const auto& [name, task] : catalog.tasks()) {
    if (task.effect != Effect::write) {
      ahead.insert(name);
    }
  }
  for (const auto& [name, race] : catalog.races()) {
    ahead.insert(name);
  }
  return ReadOnlyTasks::of(std::move(ahead));
}

Result<ExportedSessions> exported_sessions(const LedgerExport& ledger, const Catalog& catalog) {
  const auto recorded = recorded_sessions(ledger);
  if (!recorded) {
    return tl::unexpected(recorded.error());
  }
  ExportedSessions result;
  result.catalog = catalog;
  result.read_only = read_only_tasks(catalog);
  result.cut = recorded->broken.size();
  for (const RecordedSession& from : recorded->sessions) {
    TraceSession session;
    session.name = to_string(from.run_id);
    session.group = session.name;
    for (const RecordedStep& step : from.steps) {
      if (!is_there(step, session.steps.size())) {
        break;
      }
      session.steps.push_back({*step.call,
                               step.output ? step.output->value() : json::Value(),
                               latency_of(step.entry),
                               {},
                               {},
                               false});
    }
    result.cut += from.steps.size() - session.steps.size();
    if (!session.steps.empty()) {
      result.sessions.push_back(std::move(session));
    }
  }
  return result;
}

Result<ExportedSessions> read_exported_sessions(const std::filesystem::path& folder) {
  const auto ledger = read_ledger_export(folder);
  if (!ledger) {
    return tl::unexpected(ledger.error());
  }
  const auto catalog = parse_catalog(ledger->catalog, (folder / "catalog.toml").string());
  if (!catalog) {
    return tl::unexpected(catalog.error());
  }
  auto result = exported_sessions(*ledger, *catalog);
  if (result && result->sessions.empty()) {
    return fail(Errc::invalid,
                folder.string() + ": no session with a step whose input and output are there");
  }
  return result;
}

}  // namespace forerun
