#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "coordinator/admission.hpp"
#include "coordinator/adoption.hpp"
#include "coordinator/audit.hpp"
#include "coordinator/effect_queue.hpp"
#include "coordinator/hedge_budget.hpp"
#include "coordinator/history_book.hpp"
#include "coordinator/known_nodes.hpp"
#include "coordinator/ledger_writer.hpp"
#include "coordinator/lesson.hpp"
#include "coordinator/membership.hpp"
#include "coordinator/open_past.hpp"
#include "coordinator/opening_keys.hpp"
#include "coordinator/overdue_tasks.hpp"
#include "coordinator/peak_load.hpp"
#include "coordinator/predictor.hpp"
#include "coordinator/queue_pace.hpp"
#include "coordinator/run_ids.hpp"
#include "coordinator/run_times.hpp"
#include "coordinator/session.hpp"
#include "coordinator/settings.hpp"
#include "coordinator/state_writers.hpp"
#include "coordinator/usefulness.hpp"
#include "coordinator/usual_times.hpp"
#include "coordinator/warm_workers.hpp"
#include "coordinator/worker_owners.hpp"
#include "speculation/history.hpp"

namespace forerun {

/// The client of this request is gone: forget its wait.
struct ClientLeft {
  RequestId request;
};
/// A node sent this. `node` comes from the connection's authenticated key.
struct NodeSaid {
  ConnectionId connection;
  NodeId node;
  NodeMessage message;
};
struct NodeUnreachable {
  ConnectionId connection;
};
/// This batch and all before it are durable.
struct Persisted {
  BatchNumber number;
};
/// The keys that may join from now on, with the operator's names for them.
struct NodesAllowed {
  std::map<NodeId, std::string> names;
};
/// What was here when an output asked to look ahead has been done: learn and speculate now.
struct LookAhead {};
/// What ReadEntries asked for, without entries that could not be read.
struct EntriesRead {
  AuditNumber audit;
  std::vector<StoredEntry> entries;
};

using CoordinatorInput =
    std::variant<TimePassed, ClientRequest, ClientLeft, NodeSaid, NodeUnreachable, Persisted,
                 LookAhead, EntriesRead, NodesAllowed, PastRead>;

struct ToNode {
  ConnectionId connection;
  CoordinatorMessage message;
};
/// Read durable entries and send them to a node that lacks them.
struct ServeEntries {
  ConnectionId connection;
  Seq from;
  std::size_t count = 0;
};
/// Answer ShowLedger from the store.
struct ServeLedger {
  RequestId request;
  Seq from;
  std::size_t count = 0;
  SignedHead head;
};
/// Read these durable entries whole and give them back as EntriesRead.
struct ReadEntries {
  AuditNumber audit;
  std::vector<Seq> seqs;
};

/// What the shell must do, in this order. `persist` is one transaction, durable whole or not at
/// all, and comes back as Persisted; nothing else here depends on it.
struct CoordinatorOutput {
  std::optional<CoordinatorBatch> persist;
  std::vector<ToNode> send;
  std::vector<ServeEntries> serve_entries;
  std::optional<Entries> publish;     ///< Durable decisions.
  std::vector<ClientResponse> reply;  ///< Only of decisions that an earlier Persisted has named.
  std::vector<ServeSession> serve_session;
  std::vector<std::string> races;  ///< Log records of races that are durable (race_log.hpp).
  std::vector<ServeLedger> serve_ledger;
  std::vector<ReadEntries> read_entries;
  std::optional<ReadPast> read_past;  ///< Give it back as PastRead.
  std::vector<std::string> log;       ///< Membership and recovery; never per step.
  std::optional<Instant> wake_at;     ///< Ask again then, with TimePassed.
  bool look_ahead = false;  ///< Send LookAhead, once, after every input that is already waiting.
  /// The coordinator must end: to go on would decide again what its own key has signed. Nothing
  /// else comes with it.
  std::optional<Error> fatal;
};

struct CoordinatorCounters {
  std::uint64_t sessions_opened = 0;
  std::uint64_t sessions_expired = 0;
  std::uint64_t steps = 0;
  std::uint64_t hits = 0;
  std::uint64_t late_hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t failed = 0;
  std::uint64_t speculations = 0;
  std::uint64_t useful_calls = 0;
  std::uint64_t wasted_calls = 0;
  std::uint64_t shadow_calls = 0;  ///< That `shadow` sessions would have run ahead.
  std::uint64_t shadow_hits = 0;   ///< Of these, asked for.
  std::uint64_t past_steps =
      0;  ///< Learned from the ledger of older terms and from taught sessions.
  std::uint64_t effects_delivered = 0;
  Duration useful{};
  Duration wasted{};
  Duration wasted_in_kills{};  ///< Of this, what was held until killed branches had ended.
  Duration race_losers{};
  std::uint64_t hedges = 0;      ///< Second attempts started.
  std::uint64_t hedges_won = 0;  ///< That answered before the first ones.
  Duration hedge_losers{};  ///< Slot time of attempts that lost to another one of their branch.
  Duration saved{};
  std::map<std::string, std::uint64_t> discards;     ///< By cause.
  std::map<std::string, std::uint64_t> not_started;  ///< By verdict.
};

/// The coordinator's brain: sessions, races, speculation, membership, run IDs and the ledger. Pure:
/// no clock, socket, file, thread or actor; equal inputs in equal order give equal outputs on every
/// machine. Not thread-safe.
class CoordinatorMachine {
public:
  CoordinatorMachine(CoordinatorSettings settings, SigningKey ledger_key,
                     std::unique_ptr<Predictor> predictor);
  CoordinatorMachine(const CoordinatorMachine&) = delete;
  CoordinatorMachine& operator=(const CoordinatorMachine&) = delete;

  /// Recovery, before start(): every entry in order, then the rest.
  void restore(const StoredEntry& entry);
  void restore(const CoordinatorRecovery& recovery);
  /// Before that: whether the catalog still has every write that was under way when the last term
  /// ended. Without it nobody could say what became of it. Errors: refused.
  Result<void> check_intents(const CoordinatorRecovery& recovery) const;
  /// Opens the term, at once or (AdoptionSettings::wait) when the nodes were heard. Call once,
  /// first.
  CoordinatorOutput start(Instant now);
  CoordinatorOutput step(Instant now, const CoordinatorInput& input);
  /// Inputs that arrived together, in order: one output, and so at most one batch to persist.
  CoordinatorOutput step(Instant now, std::span<const CoordinatorInput> inputs);

  Epoch epoch() const { return ledger_.epoch(); }
  std::uint64_t ledger_size() const { return ledger_.size(); }
  /// The waste budget starts as at a term's start: what was saved up is gone, or a debt forgiven.
  /// For replays, whose measured part must pay for itself.
  void restart_budget() { budget_ = WasteBudget(settings_.admission); }
  const CoordinatorCounters& counters() const { return counters_; }
  const Membership& membership() const { return membership_; }
  const WasteBudget& budget() const { return budget_; }
  const Usefulness& usefulness() const { return usefulness_; }
  /// `tenant` is who asks: it sees no other's history.
  json::Value status(const std::string& tenant) const;

private:
  /// Where a running branch belongs.
  struct BranchRef {
    RunId run_id;
    std::optional<StepNumber> step;
    SpeculationNumber speculation;  ///< Meaningful without `step`.
    std::size_t index = 0;
  };
  struct QueuedBranch {
    RunId run_id;
    StepNumber step;
    std::size_t index = 0;
    std::uint64_t place = 0;  ///< Among all that ever waited, in whatever pool.
  };
  /// Confirmed branches without a slot, in order, also those that are not wanted any more.
  struct PoolQueue {
    std::deque<QueuedBranch> branches;
    QueuePace pace;
    std::size_t waiting = 0;  ///< Of `branches`, those that are wanted.
  };
  /// A cancelled branch whose slot is not free yet.
  struct Stopping {
    WorkerId worker;
    Instant since{};
    const Task* task = nullptr;  ///< Of the catalog; null: how long it takes says nothing.
    bool is_waste = false;       ///< It ran ahead: until its slot is free, that is wasted too.
  };
  struct WaitingOpen {
    ClientRequest request;
    WorkerId home;
    Digest hash;
    std::size_t bytes = 0;
  };
  /// What a batch releases once it is durable.
  struct Release {
    BatchNumber batch;
    std::vector<ClientResponse> replies;
    struct Steps {
      RunId run_id;
      std::uint32_t count = 0;  ///< Durable up to this,
      SessionState state;       ///< with this state after it.
    };
    std::vector<Steps> steps;
    std::vector<std::pair<RunId, StepNumber>> intents;
    std::vector<MarkRow> marks;
    std::vector<EffectId> effects;
    Seq first;
    std::vector<EntryRecord> records;
    std::vector<std::string> races;
    LedgerHead head;
    std::uint64_t taught_before = 0;  ///< Taught sessions below this number are durable.
  };

  // machine.cpp: inputs, time, durability
  void on(const TimePassed&);
  void on(const ClientRequest& request);
  void on(const ClientLeft& left);
  void on(const NodeSaid& said);
  void on(const NodeUnreachable& unreachable);
  void on(const Persisted& persisted);
  void on(const LookAhead&);
  void on(const EntriesRead& read);
  void on(const NodesAllowed& allowed);
  void on(const PastRead& page);
  /// `after` is the highest epoch that was seen.
  void open_term(Epoch after, std::vector<StoredEntry> adopted);
  void begin(Instant now);
  CoordinatorOutput finish();
  void account_time();
  void store_entry(StoredEntry entry);
  void publish_if_due();

  // machine_adoption.cpp: before the term
  void gather(const CoordinatorInput& input);
  void gather(const NodeSaid& said);
  void adopt();
  void end_gathering();
  void take_over(std::vector<StoredEntry> adopted);

  // machine_nodes.cpp: membership
  void handle(ConnectionId connection, const NodeId& node, const Join& message);
  void handle(NodeSeat& seat, const Heartbeat& message);
  void handle(NodeSeat& seat, const BranchEnded& message);
  void handle(NodeSeat& seat, const FetchEntries& message);
  void handle(NodeSeat& seat, const MarkStored& message);
  void handle(NodeSeat& seat, const Diverged& message);
  void handle(NodeSeat& seat, const ReplicaAudited& message);
  void refuse_ahead(ConnectionId connection, const NodeId& node, const Join& message);
  bool refuse_foreign_worker(ConnectionId connection, const NodeId& node, const Join& message);
  bool is_lost_history(const Join& message) const;
  void seat_node(ConnectionId connection, const NodeId& node, const Join& message,
                 bool is_reconnect);
  void lose_node(const NodeId& node, const std::string& why);
  void reserve(const RunIdAllocator::Reservation& reservation);
  void ask_for_marks_again(const NodeSeat& seat);
  void send_to(const WorkerId& worker, CoordinatorMessage message);
  json::Array absent_nodes() const;

  // machine_sessions.cpp: clients, steps, decisions
  void open_session(const ClientRequest& request, const OpenSession& body);
  void open_waiting();
  bool is_control(const RunId& run_id, SpeculationMode mode) const {
    return mode == SpeculationMode::on &&
           is_in_control_share(run_id, settings_.usefulness.control_share);
  }
  void open_at(const ClientRequest& request, const OpenSession& body, RunId run_id,
               const Digest& hash);
  void add_text(const ClientRequest& request, const AddText& body);
  void keep_text(Session& session, const std::string& text);
  void confirm(const ClientRequest& request, const ConfirmCalls& body);
  void confirm_calls(Session& session, const std::vector<Call>& calls, std::size_t skip,
                     ConfirmRequest pending);
  void show(const ClientRequest& request, const ShowSession& body);
  void show(const ClientRequest& request, const ShowPredictions& body);
  void show(const ClientRequest& request, const ShowExplanation& body);
  void end_session(const ClientRequest& request, const EndSession& body);
  void touch(Session& session);
  void count_held(Session& session);
  bool is_in_memory(const ClientRequest& request, const RunId& run_id) const;
  bool knows_tasks(const ClientRequest& request, std::span<const Call> calls);
  void watch_idleness(Session& session);
  void close(Session& session);
  void close_idle_sessions();
  Session* session_for(const ClientRequest& request, const RunId& run_id, bool must_be_open);
  void give_up_partial_requests(Session& session);
  void answer_if_durable(Session& session, ConfirmRequest& pending);
  void drop_old_answers(Session& session);
  OpenStep& add_step(Session& session, const Call& call);
  bool must_wait(const Session& session, const OpenStep& step) const;
  void begin_step(Session& session, OpenStep& step);
  void begin_write(Session& session, OpenStep& step);
  bool take_speculation(Session& session, OpenStep& step);
  void run_idle_branches(Session& session, OpenStep& step);
  void begin_unblocked(Session& session);
  void decide(Session& session, OpenStep& step);
  void measure(const Session& session, const OpenStep& step);
  void commit_ready(Session& session);
  bool take_writes(Session& session, OpenStep& step);
  static bool has_more_of_its_request(const Session& session, const OpenStep& step);
  void commit(Session& session, OpenStep& step);
  static std::string story_of(const OpenStep& step);
  static std::string story_of(const Speculation& speculation, Instant now);
  CommitEntry commit_entry(const Session& session, const OpenStep& step) const;
  SessionRow row_of(const Session& session) const;
  void forget_ended();
  void refuse(RequestId request, Refusal refusal, std::string message, Duration retry_after = {});
  void reply(RequestId request, ResponseBody body);
  void reply_when_durable(RequestId request, ResponseBody body);

  // machine_branches.cpp: slots, queue, results
  void enqueue(Session& session, OpenStep& step, std::size_t index);
  OpenStep* step_of(const QueuedBranch& queued);
  PoolQueue* next_queue(const std::set<const PoolQueue*>& without);
  void pump();
  std::size_t confirmed_now() const;
  std::size_t slots_left_free() const;
  bool pool_is_full(const std::string& pool) const;
  Duration expected_wait(const std::vector<Call>& calls) const;
  std::optional<RequestFailed> refusal_of_size(std::size_t bytes) const;
  void forget_bytes(const OpenStep& step);
  void dispatch(Session& session, Work& work, std::size_t index, const BranchRef& ref,
                const WorkerId& worker, const SessionState& state);
  void confirm_running(Session& session, OpenStep& step);
  void cancel_branch(Work& work, std::size_t index);
  void stop_charging(Work& work, BranchRun& branch);
  void note_stop(const BranchEnded& ended);
  void settle(BranchToken token, const BranchEnded& ended);
  void settle_step_branch(Session& session, OpenStep& step, std::size_t index,
                          const BranchEnded& ended);
  void settle_speculative_branch(Session& session, SpeculationNumber number, std::size_t index,
                                 const BranchEnded& ended);
  void settle_owner(const BranchRef& ref, const BranchEnded& ended);
  void record_result(Work& work, std::size_t index, const BranchEnded& ended);
  void lost_branch(BranchToken token, const std::string& why);
  void give_up_unknown(BranchToken token);
  void slot_is_free(BranchToken token);
  void forget_token(BranchToken token);
  std::optional<WorkerId> place(const Task& task, const std::string& tenant,
                                std::span<const NodeId> but = {}) const;
  BranchToken take_slot(const Task& task, const WorkerId& worker, Duration timeout);
  void set_deadline(BranchToken token, Duration timeout);
  Dispatch dispatch_of(const Session& session, const Work& work, const BranchRef& ref,
                       BranchToken token, const WorkerId& worker, const SessionState& state,
                       Duration timeout) const;
  void learn_run_time(const Session& session, const Task& task, const BranchRun& branch,
                      Ending ending);
  void stop_on_worker(BranchToken token, const WorkerId& worker);
  Work* work_of(const BranchRef& ref);
  void after_decision(Session& session);
  void preempt_for_queue();

  // machine_hedging.cpp: second attempts
  void watch_slowness(BranchRun& branch, const Task& task);
  void unwatch_slowness(BranchRun& branch);
  std::optional<Instant> next_slow() const;
  void start_second_attempts();
  void start_second_attempt(const BranchRef& ref);
  void stop_second_attempt(Work& work, std::size_t index);
  void count_lost_attempt(Work& work, Duration ran);
  bool goes_on_after(const BranchRef& ref, Work& work, BranchToken token, Ending ending);
  void leave_to_other_attempt(const BranchRef& ref, Work& work, BranchToken token);

  // machine_audit.cpp: replicas read again, steps run again, beside everything else
  void start_audit(const ClientRequest& request, const StartAudit& body);
  void show(const ClientRequest& request, const ShowLedger& body);
  void ask_replica(const NodeSeat& seat);
  void pump_audit();
  bool has_other_node(std::span<const NodeId> than) const;
  void run_again(Reruns& reruns, AuditNumber number);
  std::optional<WorkerId> place_rerun(Rerun& rerun) const;
  void dispatch_rerun(Rerun& rerun, AuditNumber number, const WorkerId& worker);
  struct RunningRerun {
    Reruns* reruns = nullptr;  ///< Null: no rerun has this token.
    Rerun* rerun = nullptr;
  };
  RunningRerun rerun_of(BranchToken token);
  bool settle_rerun(BranchToken token, const BranchEnded& ended);
  bool lose_rerun(BranchToken token, const std::string& why);
  void stop_rerun(Rerun& rerun);
  void stop_reruns(Reruns& reruns);
  void yield_rerun_slots();
  void end_audit(const std::string& why);

  // machine_rechecks.cpp: a share of what was decided is run again, and who lies gets no more work
  void recheck(const Session& session, const OpenStep& step, Seq seq);
  void pump_rechecks();
  void quarantine(const NodeId& node);

  // machine_history.cpp: what was learned before, and elsewhere
  void learn_history(const ClientRequest& request, const LearnHistory& body);
  void forget_history(const ClientRequest& request);
  void drop_history(const std::vector<std::uint64_t>& numbers);
  void restore_history(const CoordinatorRecovery& recovery);
  bool has_past_to_learn() const;
  void learn_past();
  void catch_up(const RunId& run_id, std::size_t lessons_max);
  void teach_past(const Lesson& lesson);
  json::Object learning_status(const std::string& tenant) const;

  // machine_effects.cpp
  std::vector<TagSet> effect_tags(const EffectRow& row, const Task* task,
                                  const json::Object* input) const;
  void add_effects(const Session& session, const OpenStep& step);
  void restore_effect(const EffectRow& row, const std::string* call);
  void pump_effects();
  void dispatch_effect(const EffectId& id, const Task& task, const std::optional<Call>& call,
                       const WorkerId& worker);
  void park_or_retry(const EffectId& id, const std::string& cause);
  void end_effect(const EffectId& id);
  struct RunningEffect {
    EffectId id;
    WorkerId worker;
  };
  std::optional<RunningEffect> forget_running_effect(BranchToken token);
  bool settle_effect(BranchToken token, const BranchEnded& ended);
  bool lose_effect(BranchToken token);
  void show(const ClientRequest& request, const ShowEffects& body);
  void change_effects(const ClientRequest& request, const ChangeEffects& body);

  // machine_speculation.cpp
  void learn_later(Lesson lesson);
  void learn();
  void teach(const Lesson& lesson);
  void look_ahead_later(Session& session);
  void speculate(Session& session);
  bool may_speculate(const std::string& task) const { return speculable_.contains(task); }
  struct ImaginedNode;
  struct Weighed;
  /// What a speculation of this call would be, and what admission thinks of it now. Changes
  /// nothing.
  Weighed weigh(const Session& session, const ImaginedNode& node, const Call& call,
                double joint) const;
  /// Which branches start ahead, and what they read.
  void plan_ahead(const Session& session, const Call& call, Weighed& weighed) const;
  ImaginedNode root_of(const Session& session) const;
  json::Object prediction_report(const Session& session, const ImaginedNode& root,
                                 const Prediction& prediction) const;
  /// Says why it was not started; nothing when it was.
  std::optional<std::string> start_speculation(Session& session, const ImaginedNode& node,
                                               const Prediction& prediction, double joint);
  void foresee(Session& session, const ImaginedNode& node, const Prediction& prediction,
               double joint);
  void apply_turns();
  void discard(Session& session, SpeculationNumber number, DiscardCause cause);
  void drop_conflicting(const TagSet& writes);
  SessionState imagined_state(const Session& session, std::optional<StepNumber> after_step,
                              std::optional<SpeculationNumber> after) const;
  bool is_state_open(const Session& session, std::optional<SpeculationNumber> after,
                     const StatePaths& paths) const;
  void drop_conflicts(Session& session);
  bool is_dirty(const TagSet& reads) const;
  Duration usual(const std::string& task) const;
  Duration typical(const Task& task) const { return expected_of(usual(task.name)); }
  Duration usual_gap(const std::string& after) const;
  void learn_gap(const Session& session);
  Duration until_asked(const Session& session) const;
  double least_confidence() const;
  Duration still_to_run() const;
  void learn_latency(const Task& task, Duration latency);
  static const std::string& stands_after(const Session& session);
  void mark_dirty(const TagSet& writes);
  void mark_clean(const TagSet& writes);
  void settle_premises(Session& session, const std::function<bool(const Speculation&)>& hangs_under,
                       const std::optional<Digest>& output);
  static bool is_above(const Session& session, SpeculationNumber number,
                       std::optional<SpeculationNumber> below);
  static const Speculation* same_call(const Session& session, const Call& call,
                                      std::optional<SpeculationNumber> after);
  static Speculation* same_call(Session& session, const Call& call,
                                std::optional<SpeculationNumber> after);
  std::optional<DiscardCause> why_not_taken(const Speculation& speculation,
                                            const OpenStep& step) const;
  static std::optional<Digest> premise_of(const Prediction& prediction);
  void also_expected(Speculation& speculation, const Prediction& prediction);
  void hang_under_root(Session& session, const ImaginedNode& root,
                       const std::vector<Prediction>& predictions);
  void drop_overtaken(Session& session, const std::map<Digest, double>& expected);
  void limit_kept(Session& session);
  void stop_when_budget_is_empty();
  void remove_speculation(Session& session, SpeculationNumber number);

  const CoordinatorSettings settings_;
  std::unique_ptr<Predictor> predictor_;
  LedgerWriter ledger_;
  Membership membership_;
  KnownNodes known_nodes_;
  std::set<NodeId> refused_ahead_;  ///< The operator was told.
  WorkerOwners owners_;
  std::set<NodeId> refused_owners_;  ///< The operator was told.
  RunIdAllocator run_ids_;
  WasteBudget budget_;
  Usefulness usefulness_;
  RunTimes run_times_;
  HedgeBudget hedge_budget_;
  WarmWorkers warm_;
  OverdueTasks overdue_;
  CoordinatorCounters counters_;
  std::string catalog_text_;
  const Task http_effect_;  ///< For the slots and deadlines of effects that are requests.
  EffectQueue effects_;
  const std::set<std::string> speculable_;  ///< Tasks and races whose calls may run unconfirmed.

  std::map<RunId, Session> sessions_;
  std::deque<RunId> ended_;  ///< Ended sessions still in memory, oldest first.
  std::size_t open_sessions_ = 0;
  std::size_t open_bytes_ = 0;                       ///< What these hold, as count_held() has it.
  std::set<std::pair<Instant, RunId>> by_idleness_;  ///< Open sessions by `idle_since`.
  std::deque<WaitingOpen> openings_;
  OpeningKeys opening_keys_;
  std::size_t waiting_bytes_ = 0;  ///< Of calls that are not committed, and of openings_.
  std::uint64_t homes_given_ = 0;
  /// Of the ledger that is recovered, until it is: latest answers, and calls of steps with effects.
  std::map<RunId, RecentAnswers> restored_answers_;
  std::map<RunId, std::map<StepNumber, std::string>> restored_effects_;
  std::unordered_map<std::uint64_t, RunId>
      waiting_in_;  ///< Session that a waiting request belongs to; looked up only.

  std::unordered_map<std::uint64_t, BranchRef> branches_;  ///< By token; looked up only.
  std::map<BranchToken, Stopping> stopping_;
  std::set<std::pair<Instant, BranchToken>> deadlines_;
  std::unordered_map<std::uint64_t, Instant> deadline_of_;  ///< Looked up only.
  std::set<std::pair<Instant, BranchToken>> slow_;  ///< Watched branches by `BranchRun::slow_at`.
  std::unordered_map<std::uint64_t, std::string>
      pool_of_;                              ///< Of running and stopping branches; looked up only.
  std::map<std::string, PoolQueue> queues_;  ///< By pool.
  std::size_t queued_ = 0;                   ///< Sum of PoolQueue::waiting.
  std::uint64_t queued_ever_ = 0;
  PeakLoad confirmed_peak_;  ///< Of confirmed_now().
  std::map<std::string, std::uint32_t> pool_running_;
  std::set<std::pair<double, BranchToken>>
      speculative_;  ///< Running speculative branches, least valuable first.
  std::map<std::string, std::set<std::pair<RunId, SpeculationNumber>>>
      readers_;                                       ///< Speculations by the space they read.
  std::map<std::string, std::vector<TagSet>> dirty_;  ///< By space.
  StateWriters state_writers_;
  UsualTimes latencies_;  ///< Of confirmed branches, by task.
  UsualTimes gaps_;       ///< From an answer to the next call, by stands_after().
  std::deque<Lesson> lessons_;
  HistoryBook history_;
  PastReading reading_;
  std::optional<Instant> past_began_;  ///< The latest lesson of the past, until its time is known.
  Instant past_rests_until_{};         ///< While clients wait.
  std::deque<Lesson> past_;            ///< Read, to be taught when nothing waits.
  OpenPast open_past_;                 ///< To be taught after all that is past.
  std::set<RunId> open_at_start_;      ///< Until the past is read, which holds their steps too.
  std::uint64_t open_steps_read_ = 0;  ///< Of theirs.
  std::set<RunId> past_runs_;          ///< Of the ledger, begun and not ended.
  std::deque<RunId> ahead_;            ///< Sessions to look ahead in.
  std::uint64_t next_token_ = 0;
  std::uint64_t opened_size_ = 0;           ///< Entries when the term had been opened.
  bool has_served_ = false;                 ///< A session was opened, or a branch sent out, since.
  std::optional<Adoption> adoption_;        ///< Until the term opens.
  bool is_gathering_ = false;               ///< Until it is open, and its entry is durable.
  std::map<ConnectionId, NodeSaid> joins_;  ///< Meanwhile: the latest of each.
  std::vector<CoordinatorInput> deferred_;  ///< And everything that must wait for it.
  std::optional<Audit> audit_;              ///< One at a time.
  std::uint64_t next_audit_ = 1;
  Rechecks rechecks_;

  Instant now_{};
  Instant accounted_at_{};
  CoordinatorOutput out_;
  CoordinatorBatch batch_;
  Release release_;
  std::deque<Release> releases_;
  std::uint64_t next_batch_ = 1;
  std::optional<LedgerHead> durable_head_;
  std::optional<Entries> unpublished_;  ///< Durable, for the next publication.
  std::optional<Instant> published_at_;
  std::optional<SignedHead> latest_head_;
  std::uint64_t signed_size_ = 0;
  std::uint64_t kept_head_size_ = 0;  ///< Of the latest signed head that was given to the store.
  std::optional<Instant> signed_at_;
};

}  // namespace forerun
