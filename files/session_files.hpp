#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "files/traces.hpp"
#include "speculation/catalog.hpp"

namespace forerun {

/// In what form sessions are written.
enum class SessionFormat { traces, openai_messages, otel_genai };
/// "traces", "openai-messages" or "otel-genai". Errors: invalid.
Result<SessionFormat> parse_session_format(const std::string& name);

struct SessionFile {
  std::vector<TraceSession> sessions;
  ReadOnlyTasks read_only = ReadOnlyTasks::all();
  bool is_upper_bound = true;      ///< Nobody said which tasks only read.
  std::optional<Catalog> catalog;  ///< Of an export.
  std::vector<std::string> notes;  ///< What a reader of a result must know: what was left out.
};

/// Reads one file of sessions; a folder is a ledger's export, whatever the format. Errors: those of
/// the readers; invalid where logs hold no call.
Result<SessionFile> read_session_file(const std::filesystem::path& path, SessionFormat format);

using SessionNames = std::set<std::string, std::less<>>;
/// Adds sessions that have a step. Of equal names in several files the later ones get their file's
/// name in front. Errors: invalid when that is taken too.
Result<void> add_sessions(std::vector<TraceSession>& all, std::vector<TraceSession> more,
                          const std::filesystem::path& path, SessionNames& names);

}  // namespace forerun
