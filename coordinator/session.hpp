#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/recent_answers.hpp"
#include "speculation/catalog.hpp"
#include "speculation/client_api.hpp"
#include "speculation/durable.hpp"
#include "speculation/effects.hpp"
#include "speculation/hazard_tags.hpp"
#include "speculation/protocol.hpp"
#include "speculation/session_state.hpp"

/// What the coordinator remembers of a session. Values; the rules are in CoordinatorMachine.
namespace forerun {

/// A second attempt of a branch, beside the first one.
struct SecondAttempt {
  BranchToken token;
  WorkerId worker;
  Instant started{};
};

/// That a branch had a second attempt, for who asks later.
struct SecondAttemptTold {
  WorkerId worker;
  Duration after{};        ///< The first attempt's start.
  bool is_answer = false;  ///< What the branch's end rests on.
};

/// One branch of a call, over all its attempts.
struct BranchRun {
  enum class State : std::uint8_t {
    idle,     ///< Not asked for.
    queued,   ///< Confirmed and waiting for a slot.
    running,  ///< On a worker under `token`.
    settled,  ///< `valid` is known.
  };
  State state = State::idle;
  BranchToken token;
  std::optional<WorkerId> worker;  ///< Of the latest attempt.
  bool is_speculative = false;     ///< The running attempt is charged to the waste budget.
  double value = 0;  ///< Confidence, while speculative: the least is pre-empted first.
  std::uint32_t attempts = 0;
  Instant started{};
  std::optional<Instant> slow_at{};       ///< Confirmed and running: due for a second attempt then.
  std::optional<SecondAttempt> second{};  ///< Runs as well, on another node.
  std::optional<SecondAttemptTold> hedged{};  ///< It had its second attempt.
  Duration latency{};                         ///< On its worker, of the settled attempt.
  std::optional<bool> valid;
  std::optional<Output> output;
  std::optional<Output> writes;
  std::optional<EffectList> effects;
  std::string cause;

  /// Of the running attempt with this token.
  Instant started_of(BranchToken attempt) const {
    return second && second->token == attempt ? second->started : started;
  }
};

/// A call being answered: its branches and what they returned.
struct Work {
  Call call;
  CallPlan plan;  ///< Borrows from the catalog.
  std::vector<BranchRun> branches{};
  std::vector<std::size_t> arrival{};
  Instant began{};     ///< First dispatch of any branch.
  Duration charged{};  ///< Speculative slot time that ended, as charged to the budget.
  Duration hedged{};   ///< Slot time of attempts that lost to another one of their branch.
};

/// How a speculation came about.
struct Foresight {
  std::optional<StepNumber> after_step;    ///< Predicted after this step,
  std::optional<SpeculationNumber> after;  ///< or after this speculation; neither: as first call.
  std::optional<Digest> premise;           ///< Hash of the output that was taken for granted.
  std::vector<std::string> reasons;
};

/// What became of a call that was expected but not run ahead.
struct NotStarted {
  double probability = 0;
  std::string why;
};

/// A confirmed step that is not committed.
struct OpenStep {
  enum class Phase : std::uint8_t {
    blocked,          ///< Waits for an earlier step that it conflicts with.
    awaiting_intent,  ///< A write whose intent is not durable.
    running,
    decided,
  };
  StepNumber number;
  ChainValue chain;
  Work work;
  SessionState state{};  ///< Before the request that it came with.
  TagSet reads{};
  TagSet writes{};
  Phase phase = Phase::blocked;
  Instant confirmed_at{};
  bool has_intent = false;     ///< Its own write intent was asked for; it may have run.
  bool is_foreseen = false;    ///< Its task was in `Session::foreseen` when it was confirmed.
  bool is_one_by_one = false;  ///< A race whose branches start in rank order, each when the one
                               ///< before has settled invalid.
  Origin origin = Origin::miss;
  std::optional<HitRecord> hit{};
  std::optional<Foresight> foresight{};     ///< With `hit`.
  Duration ahead{};                         ///< With `hit`: from its start to its confirmation.
  std::optional<NotStarted> not_started{};  ///< Of a miss that was expected.
  std::optional<std::size_t> winner{};
  bool is_counted = false;  ///< In the counters and the budget.
  Duration losers{};        ///< Slot time of branches that lost.
  const std::vector<std::size_t>* recorded_arrival =
      nullptr;  ///< At replay, of a `first` race. Borrowed from the settings.

  /// The order in which `first` counts the branches.
  std::vector<std::size_t> arrival() const {
    return recorded_arrival == nullptr ? work.arrival
                                       : replayed_arrival(*recorded_arrival, work.arrival);
  }
  /// What its winner asks to be done outside; null: nothing, or it is not decided.
  const EffectList* effects() const {
    return winner && work.branches[*winner].effects ? &*work.branches[*winner].effects : nullptr;
  }
  /// What its winner changes in the state; null: nothing, or it is not decided.
  const Output* state_writes() const {
    return winner && work.branches[*winner].writes ? &*work.branches[*winner].writes : nullptr;
  }
};

struct Speculation {
  SpeculationNumber number;
  std::optional<StepNumber>
      parent_step;  ///< The step that it was predicted to follow; none: the first call.
  std::optional<SpeculationNumber> parent;  ///< Or the speculation.
  std::optional<Digest> premise;            ///< Hash of the parent's predicted output.
  std::uint32_t depth = 1;
  double confidence = 0;  ///< Joint, when it started.
  Work work;
  TagSet reads;
  StatePaths state_paths{};  ///< What its branches get of the state.
  Digest state_hash{};       ///< Of what they got.
  Foresight foresight{};
  /// All that was started of it has settled.
  bool is_finished() const {
    for (const BranchRun& branch : work.branches) {
      if (branch.state == BranchRun::State::running) {
        return false;
      }
    }
    return true;
  }
  /// What it would change in the state; null: nothing, or it is not known.
  const Output* state_writes() const {
    return work.branches.size() == 1 && work.branches.front().writes
               ? &*work.branches.front().writes
               : nullptr;
  }
};

/// A request to confirm calls, until its steps are durable.
struct ConfirmRequest {
  std::string key;
  Digest hash;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  bool is_list = false;
  std::vector<RequestId> waiting;
};

struct KeyRecord {
  Digest hash;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

struct Session {
  RunId run_id;
  std::string tenant;
  std::string context;
  SpeculationMode mode = SpeculationMode::on;
  bool is_control = false;  ///< `on`, but in the control share: nothing runs ahead in it.
  std::string world;
  SessionState state;                      ///< After `steps`.
  std::optional<SessionState> list_state;  ///< Before the list of calls that is partly committed.
  bool is_ended = false;
  std::size_t held_bytes = 0;  ///< By context and state, as counted last.
  Instant answered{};          ///< When it was opened, or its latest step decided.
  Instant touched{};           ///< When a client last asked for it.
  Instant idle_since{};        ///< As far as the machine has looked: at or before `touched`.
  RecentAnswers steps;         ///< Committed.
  std::uint32_t durable_steps = 0;
  std::uint32_t texts = 0;     ///< Kept, beside the context.
  std::size_t text_bytes = 0;  ///< Of these.
  SessionState durable_state;  ///< After that many.
  ChainValue committed_chain;
  std::deque<OpenStep> open;                         ///< Confirmed, in step order, beyond `steps`.
  std::map<std::uint32_t, ConfirmRequest> requests;  ///< By first step.
  std::map<std::string, KeyRecord> keys;
  bool has_partial_request =
      false;  ///< A crash has cut a list: its key promises steps that nobody confirmed.
  std::map<SpeculationNumber, Speculation> speculations;
  std::uint32_t speculation_count = 0;
  bool is_ahead_due = false;              ///< It waits to be looked ahead in.
  std::map<Digest, NotStarted> expected;  ///< Next calls that the latest look ahead did not start.
  std::set<Digest> shadow;                ///< `shadow` mode: calls that would have been run.
  /// Tasks that were worth running ahead as the next call, since the latest confirmation: they run,
  /// or in the control share would run.
  std::set<std::string> foreseen;

  bool looks_ahead() const { return mode != SpeculationMode::off; }
  bool runs_ahead() const { return mode == SpeculationMode::on && !is_control; }

  std::uint32_t confirmed() const {
    return steps.count() + static_cast<std::uint32_t>(open.size());
  }
  OpenStep* open_step(StepNumber number) {
    const std::size_t base = steps.count();
    return number.value < base || number.value - base >= open.size() ? nullptr
                                                                     : &open[number.value - base];
  }
};

}  // namespace forerun
