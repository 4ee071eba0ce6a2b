#include <algorithm>
#include <system_error>
#include <utility>

#include "base/json.hpp"
#include "demo/workload.hpp"

namespace forerun {
namespace {

std::string toml_string(std::string_view text) {
  std::string quoted;
  json::append_string(quoted,
                      text);  // JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
  std::string result;
  for (const char letter : quoted) {
    if (letter == '\x7f') {
      result += "\\u007f";
    } else {
      result += letter;
    }
  }
  return result;
}

bool lacks_times(const std::vector<TraceSession>& sessions) {
  return std::any_of(sessions.begin(), sessions.end(), [](const TraceSession& session) {
    return std::any_of(session.steps.begin(), session.steps.end(),
                       [](const TraceStep& step) { return !step.latency || !step.think; });
  });
}

std::string stem_of(const std::filesystem::path& file) {
  std::filesystem::path name = file.filename();
  while (name.extension() == ".gz" || name.extension() == ".jsonl") {
    name = name.stem();
  }
  return name.string();
}

}  // namespace

Result<Workload> read_workload(const RecordedSettings& settings) {
  auto sessions = read_traces(settings.file);
  if (!sessions) {
    return tl::unexpected(sessions.error());
  }
  std::erase_if(*sessions, [](const TraceSession& session) { return session.steps.empty(); });
  if (sessions->empty()) {
    return fail(Errc::invalid, settings.file.string() + ": no session with a step");
  }
  const std::size_t count_all = sessions->size();
  if (settings.sessions != 0 && settings.sessions < count_all) {
    sessions->erase(sessions->begin() + static_cast<std::ptrdiff_t>(settings.sessions),
                    sessions->end());
  }
  Workload workload;
  workload.is_upper_bound = settings.read_only.empty();
  ReadOnlyTasks read_only = ReadOnlyTasks::all();
  if (!settings.read_only.empty()) {
    auto parsed = ReadOnlyTasks::parse(settings.read_only, settings.file);
    if (!parsed) {
      return tl::unexpected(parsed.error());
    }
    read_only = std::move(*parsed);
    // The nodes run in folders of their own.
    std::error_code is_pattern;
    const auto list = std::filesystem::canonical(settings.read_only, is_pattern);
    workload.read_only = is_pattern ? settings.read_only : list.string();
  }
  workload.has_modelled_times = lacks_times(*sessions);
  model_missing_times(*sessions, settings.seed);
  for (const TraceSession& session : *sessions) {
    for (const TraceStep& step : session.steps) {
      const std::string& task = step.call.task();
      workload.effects.emplace(task, read_only.contains(task) ? Effect::read : Effect::write);
    }
  }
  workload.file_stem = stem_of(settings.file);
  workload.title = settings.file.filename().string() + ", " + std::to_string(sessions->size()) +
                   " of " + std::to_string(count_all) + " sessions";
  workload.catalog = recorded_catalog(workload.effects);
  workload.sessions = std::move(*sessions);
  return workload;
}

std::string recorded_catalog(const std::map<std::string, Effect, std::less<>>& effects) {
  std::string text = "# Every task is answered by a recorded world.\n";
  for (const auto& [task, effect] : effects) {
    text += "\n[task." + toml_string(task) +
            "]\nexecutor = \"world\"\nscope = \"session\"\ntimeout_ms = 120000\n";
    text += "effect = \"" + std::string(effect == Effect::write ? "write" : "read") + "\"\n";
    if (effect == Effect::write) {
      text += "idempotent = true\n";
    }
  }
  return text;
}

}  // namespace forerun
