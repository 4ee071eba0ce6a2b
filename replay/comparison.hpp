#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "files/replay_record.hpp"
#include "node/executors/replay_journal.hpp"

namespace forerun {

/// What a client of the replay got for a step: SHA-256 of the output; empty for a failed step.
using AnswerHash = std::optional<Digest>;
/// By run ID, in step order.
using ReplayAnswers = std::map<RunId, std::vector<AnswerHash>>;

/// One decision as recorded and as replayed.
struct ComparedDecision {
  const RecordedStep* recorded = nullptr;  ///< Borrowed.
  const RecordedStep* replayed = nullptr;  ///< Borrowed; null: it was not replayed.
  std::vector<bool> was_run;               ///< By branch: its task was run again for this step.
  bool is_executed = false;                ///< A branch that the decision needed was run again.
  std::vector<std::string> differing;      ///< "field: expected …, found …"; empty: equal.
};

struct DecisionDifference {
  std::string run_id;
  std::string step;
  std::string task;
  std::string expected;  ///< decision_hash.
  std::string found;
  std::vector<std::string> fields;
};

/// Decisions of one session that were not replayed.
struct NotReplayed {
  std::string run_id;
  std::string from_step;
  std::size_t decisions = 0;
  std::string why;
};

struct ReplayComparison {
  std::vector<ComparedDecision> decisions;  ///< Those of `recorded.sessions`, session by session.
  std::size_t executed = 0;
  std::size_t as_recorded = 0;
  std::vector<DecisionDifference> differences;
  std::vector<NotReplayed> not_replayed;
  std::size_t hits = 0;
  std::size_t late_hits = 0;
  std::size_t misses = 0;

  std::size_t decision_count = 0;  ///< Those that cannot be read included.
  std::size_t not_replayed_count() const;
};

/// Compares what was recorded with what the replay's own ledger holds. `ran` is what the nodes say
/// that they ran again; `errors` tells why a session ended early. Both ledgers must outlive the
/// result.
ReplayComparison compare_replay(const RecordedSessions& recorded, const RecordedSessions& replayed,
                                const std::set<JournalKey>& ran, const ReplayAnswers& answers,
                                const std::map<RunId, std::string>& errors);

/// The members of decision_hash, the chain and the arrival order, where they differ.
std::vector<std::string> differing_fields(const CommitEntry& expected, const CommitEntry& found);

}  // namespace forerun
