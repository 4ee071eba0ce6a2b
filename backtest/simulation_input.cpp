#include "backtest/simulation_input.hpp"

#include <algorithm>
#include <cstdio>

#include "files/catalog_file.hpp"
#include "files/exported_sessions.hpp"

namespace forerun {
namespace {

std::string listed(const std::vector<std::filesystem::path>& paths) {
  std::string text;
  for (const std::filesystem::path& path : paths) {
    const auto name = path.has_filename() ? path.filename() : path.parent_path().filename();
    text += (text.empty() ? "" : ", ") + name.string();
  }
  return text;
}

bool lacks_times(const std::vector<TraceSession>& sessions) {
  return std::any_of(sessions.begin(), sessions.end(), [](const TraceSession& session) {
    return std::any_of(session.steps.begin(), session.steps.end(),
                       [](const TraceStep& step) { return !step.latency || !step.think; });
  });
}

std::string tool_to_think(const std::vector<TraceSession>& sessions) {
  double tool = 0;
  double think = 0;
  for (const TraceSession& session : sessions) {
    for (const TraceStep& step : session.steps) {
      tool += static_cast<double>(step.latency->count());
      think += static_cast<double>(step.think->count());
    }
  }
  if (think <= 0) {
    return "without thinking";
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.2f : 1", tool / think);
  return text;
}

}  // namespace

Result<DeclaredTasks> read_declared(const std::filesystem::path& catalog) {
  return read_catalog(catalog).map(
      [](const CatalogFile& file) { return declared_tasks(file.catalog); });
}

Result<SimulationInput> read_simulation_input(const SimulationSource& source) {
  SimulationInput input;
  std::optional<Catalog> catalog;
  if (!source.catalog.empty()) {
    auto file = read_catalog(source.catalog);
    if (!file) {
      return tl::unexpected(file.error());
    }
    catalog = std::move(file->catalog);
  }
  SessionNames names;
  SessionNames reads;
  SessionNames writes;
  std::vector<std::string> notes;
  for (const std::filesystem::path& path : source.traces) {
    auto file = read_session_file(path, source.format);
    if (!file) {
      return tl::unexpected(file.error());
    }
    if (!source.read_only.empty()) {
      auto parsed = ReadOnlyTasks::parse(source.read_only, path);
      if (!parsed) {
        return tl::unexpected(parsed.error());
      }
      file->read_only = std::move(*parsed);
      file->is_upper_bound = false;
    } else if (!source.catalog.empty()) {
      file->read_only = read_only_tasks(*catalog);
      file->is_upper_bound = false;
    }
    if (!catalog) {
      catalog = std::move(file->catalog);
    }
    for (const TraceSession& session : file->sessions) {
      for (const TraceStep& step : session.steps) {
        const std::string& task = step.call.task();
        (file->read_only.contains(task) ? reads : writes).insert(task);
      }
    }
    input.is_upper_bound = input.is_upper_bound || file->is_upper_bound;
    std::move(file->notes.begin(), file->notes.end(), std::back_inserter(notes));
    if (auto added = add_sessions(input.sessions, std::move(file->sessions), path, names); !added) {
      return tl::unexpected(added.error());
    }
  }
  if (input.sessions.empty()) {
    return fail(Errc::invalid, listed(source.traces) + ": no session with a step");
  }
  const bool is_pattern = !source.read_only.empty() && !source.read_only.ends_with(".json");
  if (is_pattern && reads.empty()) {
    return fail(Errc::invalid, "--read-only: \"" + source.read_only + "\" names none of the " +
                                   std::to_string(writes.size()) + " tasks in " +
                                   listed(source.traces) + ", such as \"" + *writes.begin() +
                                   "\"; expected a name, or a pattern with * in it");
  }
  std::erase_if(reads, [&writes](const std::string& task) { return writes.contains(task); });
  input.read_only = ReadOnlyTasks::of(std::move(reads));
  if (catalog) {
    input.declared = declared_tasks(*catalog);
  }
  if (!source.train.empty()) {
    auto file = read_session_file(source.train, source.format);
    if (!file) {
      return tl::unexpected(file.error());
    }
    input.history = std::move(file->sessions);
  }
  if (lacks_times(input.sessions)) {
    notes.emplace_back("modelled times");
  }
  model_missing_times(input.sessions, source.seed, source.times);
  model_missing_times(input.history, source.seed, source.times);
  input.heading =
      input.is_upper_bound ? "upper bound: every task taken as one that only reads; " : "";
  input.heading += "recorded sessions: " + listed(source.traces) + "; tool to think time " +
                   tool_to_think(input.sessions);
  for (const std::string& each : notes) {
    input.heading += "; " + each;
  }
  return input;
}

}  // namespace forerun
