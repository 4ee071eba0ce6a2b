#include "backtest/simulation_input.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

#include "files/agent_logs.hpp"
#include "files/exported_sessions.hpp"

namespace forerun {
namespace {

using Names = std::set<std::string, std::less<>>;

struct ReadFile {
  std::vector<TraceSession> sessions;
  ReadOnlyTasks read_only = ReadOnlyTasks::all();
  bool is_upper_bound = true;
  std::vector<std::string> notes;
};

void note(std::vector<std::string>& notes, std::uint64_t count, const std::string& what) {
  if (count > 0) {
    notes.push_back(std::to_string(count) + " " + what);
  }
}

Result<ReadFile> read_logs(const std::filesystem::path& path, SessionFormat format) {
  const bool is_spans = format == SessionFormat::otel_genai;
  auto logs = is_spans ? read_otel_genai(path) : read_openai_messages(path);
  if (!logs) {
    return tl::unexpected(logs.error());
  }
  if (logs->sessions.empty()) {
    const std::string lacking = is_spans && logs->unreadable > 0
                                    ? "gen_ai.tool.call.arguments is missing in all of " +
                                          std::to_string(logs->unreadable) +
                                          " tool spans: let the agent record it"
                                : is_spans ? "no span has gen_ai.tool.name"
                                           : "no conversation has a tool call with its result";
    return fail(Errc::invalid, path.string() + ": " + lacking);
  }
  ReadFile file;
  file.sessions = std::move(logs->sessions);
  note(file.notes, logs->unanswered, "calls without a result left out");
  note(file.notes, logs->unreadable, "calls without readable arguments left out");
  return file;
}

Result<ReadFile> read_sessions(const std::filesystem::path& path, SessionFormat format) {
  if (std::filesystem::is_directory(path)) {
    auto exported = read_exported_sessions(path);
    if (!exported) {
      return tl::unexpected(exported.error());
    }
    ReadFile file{std::move(exported->sessions), std::move(exported->read_only), false, {}};
    note(file.notes, exported->cut, "erased or broken steps left out");
    return file;
  }
  if (format != SessionFormat::traces) {
    return read_logs(path, format);
  }
  auto sessions = read_traces(path);
  if (!sessions) {
    return tl::unexpected(sessions.error());
  }
  ReadFile file;
  file.sessions = std::move(*sessions);
  std::uint64_t non_numbers = 0;
  for (const TraceSession& session : file.sessions) {
    non_numbers += session.non_numbers;
  }
  note(file.notes, non_numbers, "times NaN or Infinity, which JSON lacks, read as text");
  return file;
}

/// Names are how the recorded world finds a session.
Result<void> add_sessions(std::vector<TraceSession>& all, std::vector<TraceSession> more,
                          const std::filesystem::path& path, Names& names) {
  for (TraceSession& session : more) {
    if (!names.insert(session.name).second) {
      session.name = path.filename().string() + "/" + session.name;
      if (!names.insert(session.name).second) {
        return fail(Errc::invalid, path.string() + ": session \"" + session.name +
                                       "\" was read already, expected each file once");
      }
    }
    if (!session.steps.empty()) {
      all.push_back(std::move(session));
    }
  }
  return {};
}

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

Result<SimulationInput> read_simulation_input(const SimulationSource& source) {
  SimulationInput input;
  Names names;
  Names reads;
  Names writes;
  std::vector<std::string> notes;
  for (const std::filesystem::path& path : source.traces) {
    auto file = read_sessions(path, source.format);
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
  std::erase_if(reads, [&writes](const std::string& task) { return writes.contains(task); });
  input.read_only = ReadOnlyTasks::of(std::move(reads));
  if (!source.train.empty()) {
    auto file = read_sessions(source.train, source.format);
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
