#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "files/ledger_export.hpp"
#include "speculation/catalog.hpp"
#include "speculation/hazard_tags.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

/// One decided step of an export.
struct RecordedStep {
  Seq seq;
  CommitEntry entry;
  std::optional<Call> call;  ///< Empty where the input was erased.
  std::optional<Output>
      output;                   ///< Of the winner; empty for a failed step and where it was erased.
  std::string writes;           ///< Of the winner, canonical; empty: none, or erased.
  std::string effects;          ///< The same.
  std::optional<Digest> state;  ///< Hash of the session's state that it was given, unless `{}`.
  bool is_in_list = false;  ///< Given the state before the step before it: one list held them both.
};

/// A session's decided steps, in order, over all terms.
struct RecordedSession {
  RunId run_id;
  std::vector<RecordedStep> steps;
  std::string opened_with;     ///< The state, canonical; empty: `{}`, or not in the export.
  std::size_t replayable = 0;  ///< The first so many can be replayed,
  std::string stopped_by;      ///< and this is why the next one cannot; empty: all can.
};

/// A commit whose leaf cannot be true: its parts do not fit together.
struct BrokenDecision {
  Seq seq;
  std::string run_id;  ///< As far as the leaf says, like `step`.
  std::string step;
  Error problem;
};

struct RecordedSessions {
  std::vector<RecordedSession> sessions;  ///< In the order of their first decisions.
  std::vector<BrokenDecision> broken;     ///< In the ledger's order; not in `sessions`.
};

/// Collects the sessions of an export. A session can be replayed up to the first step whose texts
/// were erased, or that was given another state than what the session was opened with and the
/// write-sets before it make. All calls of a list are given the state before the list, so a step
/// that was given the state of the step before it, and not what that step made of it, was in one
/// list with it; lists whose calls saw the same state alone as together are not told from single
/// calls, and nothing that was decided tells them apart. Signatures and the tree are not checked:
/// `verify` does that. Errors: invalid for a leaf that is no entry, and for a step that stands in
/// the ledger twice.
Result<RecordedSessions> recorded_sessions(const LedgerExport& ledger);

/// The recorded arrival orders of `first` races, by their step; only of those that the catalog
/// still answers by the same branches.
std::map<std::pair<RunId, StepNumber>, std::vector<std::size_t>> recorded_arrivals(
    const RecordedSessions& recorded, const Catalog& catalog);

/// The catalog of a replay. A write never runs, so one that was lost with its node may be asked
/// again; time-outs are recorded facts, so none may come from a slow machine: every limit is ten
/// times as long, and at least replay_timeout_min.
Result<Catalog> replay_catalog(const Catalog& recorded);
inline constexpr Duration replay_timeout_min = std::chrono::minutes(2);

/// Says how a branch is answered at replay (design.md §7). Pure once made, thread-safe.
class ReplayRecord {
public:
  ReplayRecord(std::vector<RecordedSession> sessions, Catalog catalog);

  struct Ruling {
    enum class How {
      run,       ///< Run the task again.
      returned,  ///< `text` is the recorded output, or one that nothing recorded contradicts;
                 ///< writes and effects are those beside it.
      failed,    ///< `text` is the recorded cause.
      lost,      ///< Not answered: later equal steps were answered differently.
    };
    How how = How::lost;
    std::string text;
    Duration latency{};  ///< As recorded; zero where nothing was.
    std::string writes{};
    std::string effects{};
  };
  /// `at.session` is the run ID. Only a deterministic `pure` task that the node `can_run` is run; a
  /// branch that the engine gave up on (a time-out, lost workers) is never measured again. A
  /// confirmed branch is answered as its step records. A speculative one is answered as all equal
  /// later steps agree, up to a write that conflicts; with none it gets a marker, which would show
  /// if it were ever committed. A branch that its decision did not need (`null` in
  /// branch_validities) gets the marker too, because it must not matter: run again, it could hold
  /// its slot longer than anything that was needed.
  Ruling ruling(const Task& task, const Call& call, const WorldPosition& at, bool can_run) const;

private:
  /// What a step records about one of its branches.
  struct Fact {
    enum class Kind { not_needed, valid, returned, failed };  ///< From the least telling on.
    Kind kind = Kind::not_needed;
    bool by_engine = false;  ///< `failed`: a time-out or lost workers.
    std::string text;
    Duration latency{};
    std::string writes{};
    std::string effects{};
  };
  struct Session {
    RecordedSession recorded;
    std::vector<std::pair<Digest, std::uint32_t>> by_input;  ///< Sorted: hash of the input, step.
    std::vector<std::optional<TagSet>> writes;               ///< By step: what a write wrote.
  };
  Session indexed(RecordedSession session) const;
  static bool agrees(const Fact& fact, const Fact& best);
  static Ruling ruling_of(const Fact& fact);
  std::optional<Fact> fact_of(const RecordedStep& step, const Task& task) const;
  std::vector<Fact> later_facts(const Session& session, const Task& task, const Call& call,
                                std::uint32_t committed) const;
  std::string output_meeting_conditions(const std::string& race, const std::string& branch) const;

  std::map<std::string, Session, std::less<>> sessions_;
  Catalog catalog_;
};

/// Reads the export in `folder`, with its catalog. Errors: those of reading an export and a
/// catalog.
Result<ReplayRecord> read_replay_record(const std::filesystem::path& folder);

/// The output that replay gives to what nothing recorded answers.
std::string replay_marker(const Call& call);

/// Whether a recorded cause is the engine's own, which no second run can be expected to repeat.
bool is_engine_cause(std::string_view cause);

}  // namespace forerun
