#include "files/trace_writer.hpp"

#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace forerun {
namespace {

json::Value time_of(const std::optional<Duration>& time) {
  return time ? json::Value(milliseconds_of(*time)) : json::Value();
}

json::Object step_json(const TraceStep& step) {
  json::Object members;
  members.set("task", step.call.task());
  members.set("input", step.call.input());
  members.set("output", step.output);
  members.set("latency_ms", time_of(step.latency));
  members.set("think_ms", time_of(step.think));
  if (!step.texts.empty()) {
    members.set("pre", json::Array(step.texts.begin(), step.texts.end()));
  }
  if (step.beside_previous) {
    members.set("par", true);
  }
  return members;
}

std::string session_line(const TraceSession& session) {
  json::Object members;
  members.set("session", session.name);
  if (!session.group.empty()) {
    members.set("group", session.group);
  }
  if (!session.source.empty()) {
    members.set("source", session.source);
  }
  members.set("context", session.context.empty() ? json::Value() : json::Value(session.context));
  json::Array steps;
  steps.reserve(session.steps.size());
  for (const TraceStep& step : session.steps) {
    steps.emplace_back(step_json(step));
  }
  members.set("steps", std::move(steps));
  std::string line = json::canonical(json::Value(std::move(members)));
  line.push_back('\n');
  return line;
}

Result<void> write_lines(const std::filesystem::path& file, bool packed,
                         std::span<const TraceSession> sessions) {
  errno = 0;
  // zlib writes no time into the header, so equal sessions give equal bytes. T: not packed.
  gzFile out = gzopen(file.c_str(), packed ? "wbe6" : "wbeT");
  if (out == nullptr) {
    return fail(Errc::io, file.string() + ": " + std::strerror(errno));
  }
  bool whole = true;
  for (const TraceSession& session : sessions) {
    const std::string line = session_line(session);
    whole = gzfwrite(line.data(), 1, line.size(), out) == line.size();
    if (!whole) {
      break;
    }
  }
  const int cause = errno;
  if (gzclose(out) != Z_OK || !whole) {
    return fail(Errc::io, file.string() + ": " + std::strerror(whole ? errno : cause));
  }
  return {};
}

}  // namespace

Result<void> write_traces(const std::filesystem::path& file,
                          std::span<const TraceSession> sessions) {
  std::filesystem::path part = file;
  part += ".part";
  std::error_code problem;
  if (const Result<void> written = write_lines(part, file.extension() == ".gz", sessions);
      !written) {
    std::filesystem::remove(part, problem);
    return written;
  }
  std::filesystem::rename(part, file, problem);
  if (problem) {
    const std::string cause = problem.message();
    std::filesystem::remove(part, problem);
    return fail(Errc::io, file.string() + ": " + cause);
  }
  return {};
}

}  // namespace forerun
