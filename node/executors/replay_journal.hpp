#pragma once

#include <compare>
#include <filesystem>
#include <set>
#include <string>

#include "base/result.hpp"
#include "base/sha256.hpp"
#include "node/executors/child_process.hpp"
#include "node/executors/replay_executor.hpp"

namespace forerun {

/// In a node's data directory: what it ran again, a line of JSON a run.
inline constexpr const char* replay_journal_name = "replay.jsonl";

/// Writes the journal. Thread-safe: a line is one write, appended.
class ReplayJournal {
public:
  /// Errors: io.
  static Result<ReplayJournal> open(const std::filesystem::path& file);
  Result<void> add(const ReplayedRun& run);

private:
  explicit ReplayJournal(Descriptor file) : file_(std::move(file)) {}
  Descriptor file_;
};

/// A run that a journal names.
struct JournalKey {
  std::string run_id;
  std::string task;
  Digest input;  ///< SHA-256 of the input's canonical text.
  friend auto operator<=>(const JournalKey&, const JournalKey&) = default;
};
/// Adds the runs of a journal to `runs`; a last line that was cut by kill -9 is left out. A file
/// that is not there holds none. Errors: io; invalid for any other line that is not one.
Result<void> read_replay_journal(const std::filesystem::path& file, std::set<JournalKey>& runs);

}  // namespace forerun
