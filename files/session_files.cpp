#include "files/session_files.hpp"

#include <cstdint>
#include <utility>

#include "files/agent_logs.hpp"
#include "files/exported_sessions.hpp"

namespace forerun {
namespace {

void note(std::vector<std::string>& notes, std::uint64_t count, const std::string& what) {
  if (count > 0) {
    notes.push_back(std::to_string(count) + " " + what);
  }
}

Result<SessionFile> read_logs(const std::filesystem::path& path, SessionFormat format) {
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
  SessionFile file;
  file.sessions = std::move(logs->sessions);
  note(file.notes, logs->unanswered, "calls without a result left out");
  note(file.notes, logs->unreadable, "calls without readable arguments left out");
  return file;
}

}  // namespace

Result<SessionFile> read_session_file(const std::filesystem::path& path, SessionFormat format) {
  if (std::filesystem::is_directory(path)) {
    auto exported = read_exported_sessions(path);
    if (!exported) {
      return tl::unexpected(exported.error());
    }
    SessionFile file{std::move(exported->sessions),
                     std::move(exported->read_only),
                     false,
                     std::move(exported->catalog),
                     {}};
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
  SessionFile file;
  file.sessions = std::move(*sessions);
  std::uint64_t non_numbers = 0;
  for (const TraceSession& session : file.sessions) {
    non_numbers += session.non_numbers;
  }
  note(file.notes, non_numbers, "times NaN or Infinity, which JSON lacks, read as text");
  return file;
}

Result<SessionFormat> parse_session_format(const std::string& name) {
  if (name == "traces") {
    return SessionFormat::traces;
  }
  if (name == "openai-messages") {
    return SessionFormat::openai_messages;
  }
  if (name == "otel-genai") {
    return SessionFormat::otel_genai;
  }
  return fail(Errc::invalid,
              "--format: \"" + name + "\", expected traces, openai-messages or otel-genai");
}

/// Names are how the recorded world finds a session.
Result<void> add_sessions(std::vector<TraceSession>& all, std::vector<TraceSession> more,
                          const std::filesystem::path& path, SessionNames& names) {
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

}  // namespace forerun
