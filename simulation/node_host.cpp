#include "simulation/node_host.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <utility>
#include <variant>

#include "base/assert.hpp"
#include "simulation/watched_store.hpp"
#include "speculation/planted.hpp"

namespace forerun::simulation {
namespace {

constexpr Duration node_restart_min = std::chrono::milliseconds(30);
constexpr Duration node_restart_max = std::chrono::milliseconds(3000);
constexpr Duration latency_max = std::chrono::milliseconds(1200);
constexpr Duration stop_median = std::chrono::milliseconds(2);
constexpr AuditNumber recheck{0};    ///< Owns what runs again for no operator's audit.
constexpr double sync_share = 0.02;  ///< Of the replica's writes, which are followed by a sync.

Duration median_of(std::string_view task) {
  return task == "slow" ? std::chrono::milliseconds(120)
                        : std::chrono::milliseconds(task == "middle" ? 60 : 25);
}

bool holds_discard(const Entries& entries) {
  return std::any_of(entries.records.begin(), entries.records.end(), [](const EntryRecord& record) {
    return record.leaf.find("\"kind\":\"discard\"") != std::string::npos;
  });
}

}  // namespace

/// A branch's run. Stopped, it ends a little later, as a killed process does.
class NodeHost::Task final : public RunningTask {
public:
  Task(NodeHost& host, BranchToken token) : host_(host), token_(token) {}
  void stop() override {
    host_.later(host_.env_.around(stop_median),
                [&host = host_, token = token_] { host.end(token, Ending::cancelled, "stopped"); });
  }

private:
  NodeHost& host_;
  BranchToken token_;
};

NodeHost::NodeHost(Environment& environment, Network& network, Identity identity)
    : Host(environment), network_(network), identity_(std::move(identity)) {
  std::vector<MarkRow> rows;
  for (const WorkerId& worker : identity_.workers) {
    rows.push_back({worker, 0});
  }
  FORERUN_ASSERT(marks_.save(rows).has_value());
}

void NodeHost::start() {
  begin_life();
  NodeSettings settings;
  settings.name = name();
  settings.version = "simulated";
  settings.instance = env_.prng.next();
  const NodeIdentity kept = marks_.load().value();
  for (const MarkRow& row : kept.workers) {
    settings.workers.push_back({row.worker, identity_.slots, row.mark});
  }
  LedgerChecker checker(identity_.ledger_key);
  const auto recovery = replica_.recover([&](const StoredEntry& entry) {
    if (const auto taken = checker.take(entry.leaf, entry.call); !taken) {
      env_.time.violate(Rule::one_ledger, name() + ": replica: " + taken.error().message);
    }
  });
  env_.time.note(name() + " starts with " + std::to_string(checker.size()) + " entries");
  machine_ = std::make_shared<NodeMachine>(std::move(settings), std::move(checker), recovery->epoch,
                                           recovery->head);
  network_.node_is_up(identity_.index);
  is_ending_ = false;
  stage_ = std::make_unique<Stage>(now());
  caf::actor_system& system = stage_->system();
  auditor_ = stage_->add(
      system.spawn(audit_actor, std::optional<PublicKey>(identity_.ledger_key), audit_ports()));
  stores_ = stage_->add(system.spawn(
      replica_actor,
      std::make_shared<WatchedReplicaStore>(
          replica_, [this](const ReplicaBatch& batch) { return write(batch); }),
      std::make_shared<WatchedIdentityStore>(
          marks_, [this](std::span<const MarkRow> marks) { return write_marks(marks); }),
      replica_ports()));
  const StartRun start_run = [this](const Dispatch& dispatch, const RunDeadline&, RunDone done) {
    return begin(dispatch, std::move(done));
  };
  node_ = stage_->add(system.spawn(node_actor, machine_, identity_.workers,
                                   SpawnWorker([this, start_run](WorkerId, NodeActor node) {
                                     return stage_->add(stage_->system().spawn(
                                         worker_actor, std::move(node), start_run));
                                   }),
                                   node_ports()));
  run();
}

NodeHost::~NodeHost() {
  end_actors();
}

/// A branch's actor ends with its run, the others with the stage.
void NodeHost::end_actors() {
  is_ending_ = true;
  for (auto& [token, branch] : std::exchange(running_, {})) {
    branch.done(RunEnded{Ending::lost, {}, {}, {}, "the process ended", {}, 0});
  }
  destroy(node_);
  destroy(stores_);
  destroy(auditor_);
  stage_.reset();
}

void NodeHost::crash() {
  if (!is_up()) {
    return;
  }
  env_.time.note(name() + " crashes");
  end_life();
  ++crashes_;
  end_actors();
  machine_.reset();
  failure_.reset();
  env_.coverage.write(DurableStep::replica,
                      replica_.unsynced() > 0 ? WriteFault::crash_before : WriteFault::crash_after);
  replica_.crash(env_.strikes(Fault::torn_replica) ? env_.prng.below(replica_.unsynced() + 1) : 0);
  if (std::exchange(marks_unwritten_, 0) > 0) {
    env_.coverage.write(DurableStep::run_id_mark, WriteFault::crash_before);
  }
  if (std::exchange(marks_unreported_, 0) > 0) {
    env_.coverage.write(DurableStep::run_id_mark, WriteFault::crash_after);
  }
  marks_.crash();
  network_.node_is_down(identity_.index);
  env_.time.after(env_.between(node_restart_min, node_restart_max), [this] { start(); });
}

void NodeHost::receive(const CoordinatorMessage& message) {
  const auto* entries = std::get_if<Entries>(&message);
  if (planted(Bug::lost_discard) && identity_.index == 0 && entries != nullptr &&
      holds_discard(*entries)) {
    return;
  }
  step(message);
}

void NodeHost::jump_ahead(Duration ahead) {
  jump_clock(ahead);
  step(TimePassed{});
}

void NodeHost::pace(double rate) {
  pace_clock(rate);
  step(TimePassed{});
}

void NodeHost::step(const NodeInput& input) {
  if (!is_up()) {
    return;
  }
  if (is_paused()) {
    when_resumed([this, input] { step(input); });
    return;
  }
  caf::anon_send(node_, NodeInputs{{input}});
  run_soon();
}

/// All that the actors have to do now; a crash may come between any two things that they do.
void NodeHost::run() {
  if (!stage_->run(now())) {
    env_.time.violate(Rule::all_ends, name() + ": its actors never come to rest in a moment");
  }
  if (is_ending_) {
    crash();
    return;
  }
  arm(stage_->next(), [this] { run(); });
}

NodePorts NodeHost::node_ports() {
  NodePorts ports;
  ports.persist = [this](ReplicaBatch batch) {
    if (goes_on()) {
      caf::anon_send(stores_, std::move(batch));
    }
  };
  ports.persist_marks = [this](std::vector<MarkRow> marks) {
    ++marks_unwritten_;
    tell_late(stores_, PersistMarks{std::move(marks)});
  };
  ports.audit = [this](ReplicaAuditOrder order) { tell_late(stores_, std::move(order)); };
  ports.page = [this](ReplicaPageOrder order) { tell_late(stores_, std::move(order)); };
  ports.send = [this](std::vector<NodeMessage> messages) {
    for (NodeMessage& message : messages) {
      const bool is_rare = std::holds_alternative<ReplicaEntries>(message);
      if (goes_on(is_rare ? chances_when_rare : 1)) {
        network_.send(identity_.index, std::move(message));
      } else {
        env_.coverage.message(message, MessageFault::unsent);
      }
    }
  };
  ports.subscribe = [this](std::uint16_t) { network_.subscribe(identity_.index); };
  ports.use_catalog = [](const std::string&) {};
  ports.log = [this](const std::string& line) { env_.time.note(name() + ": " + line); };
  ports.diverged = [](const Divergence&) {};
  ports.fatal = [this](const Error& error) { stop_for(error); };
  ports.joined = [] {};
  return ports;
}

ReplicaPorts NodeHost::replica_ports() {
  ReplicaPorts ports;
  ports.marks_persisted = [this](const std::vector<MarkRow>& marks) { marks_persisted(marks); };
  ports.audit = [this](ReplicaAuditOrder order) { caf::anon_send(auditor_, std::move(order)); };
  ports.page_read = [this](ReplicaEntries page) {
    caf::anon_send(node_, NodeInputs{{NodeInput(std::move(page))}});
  };
  ports.fatal = [this](const std::string&) { is_ending_ = true; };
  return ports;
}

AuditPorts NodeHost::audit_ports() {
  AuditPorts ports;
  ports.open = [this]() -> Result<std::unique_ptr<ReplicaStore>> {
    return std::make_unique<WatchedReplicaStore>(
        replica_, [](const ReplicaBatch&) { return fail(Errc::refused, "read-only"); });
  };
  ports.audited = [this](ReplicaAudited audited) {
    caf::anon_send(node_, NodeInputs{{NodeInput(std::move(audited))}});
  };
  return ports;
}

/// A refused node is started again by whoever looks after it; one that found another ledger must
/// never be.
void NodeHost::stop_for(const Error& error) {
  env_.time.note(name() + " ends: " + error.message);
  if (error.code == Errc::verification) {
    env_.time.violate(Rule::one_ledger, name() + ": " + error.message);
    return;
  }
  is_ending_ = true;
}

void NodeHost::fail_next_write(FailedWrite outcome) {
  failure_ = outcome;
  replica_.fail_next_write(outcome);
  marks_.fail_next_write(outcome);
}

WriteFault NodeHost::write_fault() const {
  if (is_disk_full()) {
    return WriteFault::disk_full;
  }
  return failure_ == FailedWrite::is_kept ? WriteFault::failed_kept : WriteFault::failed_lost;
}

Result<void> NodeHost::write(const ReplicaBatch& batch) {
  for (const StoredEntry& entry : batch.entries) {
    env_.auditor.replicated(name(), entry);
  }
  const auto done =
      is_disk_full() ? Result<void>(fail(Errc::io, "the disk is full")) : replica_.persist(batch);
  if (done) {
    if (env_.prng.chance(sync_share)) {
      replica_.sync();
    }
    return done;
  }
  if (done.error().code != Errc::io) {
    env_.time.violate(Rule::one_ledger, name() + ": replica: " + done.error().message);
  }
  env_.coverage.write(DurableStep::replica, write_fault());
  return done;
}

Result<void> NodeHost::write_marks(std::span<const MarkRow> marks) {
  --marks_unwritten_;
  const auto done = is_disk_full()             ? Result<void>(fail(Errc::io, "the disk is full"))
                    : planted(Bug::lost_marks) ? Result<void>()
                                               : marks_.save(marks);
  if (!done) {
    env_.coverage.write(DurableStep::run_id_mark, write_fault());
    return done;
  }
  ++marks_unreported_;
  is_ending_ = is_ending_ || env_.strikes(Fault::crash_after_write);
  return done;
}

/// The brain hears of it a little later: a crash may come in between.
void NodeHost::marks_persisted(const std::vector<MarkRow>& marks) {
  later(env_.around(std::chrono::microseconds(50)), [this, marks] {
    --marks_unreported_;
    NodeInputs inputs;
    for (const MarkRow& mark : marks) {
      inputs.inputs.emplace_back(MarkPersisted{mark.worker, mark.mark});
    }
    caf::anon_send(node_, std::move(inputs));
    run();
  });
}

// ---- workers -----------------------------------------------------------------------------------

std::unique_ptr<RunningTask> NodeHost::begin(const Dispatch& dispatch, RunDone done) {
  const auto [at, is_new] =
      running_.try_emplace(dispatch.token, Running{dispatch, env_.time.now(), {}, done});
  if (!is_new) {
    env_.time.violate(Rule::settled_once,
                      name() + ": branch " + to_string(dispatch.token) + " is started twice");
    done(RunEnded{Ending::lost, {}, {}, {}, "it runs already", {}, 0});
    return nullptr;
  }
  const auto running = std::count_if(running_.begin(), running_.end(), [&](const auto& other) {
    return other.second.dispatch.worker == dispatch.worker;
  });
  env_.auditor.started(dispatch, static_cast<std::size_t>(running), identity_.slots);
  if (planted(Bug::repeated_run) && env_.prng.chance(0.2)) {
    env_.auditor.started(dispatch, static_cast<std::size_t>(running), identity_.slots);
  }
  const Duration latency =
      std::min(env_.around(median_of(dispatch.task) * identity_.slowness), latency_max);
  const Duration touched =
      Duration(static_cast<Duration::rep>(static_cast<double>(latency.count()) * env_.prng.unit()));
  const BranchToken token = dispatch.token;
  const Epoch epoch = dispatch.epoch;
  const auto if_running = [this, token, epoch](std::function<void()> happen) {
    return [this, token, epoch, run = std::move(happen)] {
      const auto branch = running_.find(token);
      if (branch != running_.end() && branch->second.dispatch.epoch == epoch) {
        run();
      }
    };
  };
  later(touched, if_running([this, dispatch] { touch_outside(dispatch); }));
  if (env_.strikes(Fault::crashed_branch)) {
    later(Duration(
              static_cast<Duration::rep>(static_cast<double>(latency.count()) * env_.prng.unit())),
          if_running([this, token] { end(token, Ending::lost, "the worker crashed"); }));
  }
  const bool hangs = env_.time.now() < dead_until_ || env_.strikes(Fault::hanging_branch);
  if (!hangs) {
    later(latency, if_running([this, token] { return_answer(token); }));
  }
  return std::make_unique<Task>(*this, token);
}

/// The one moment at which a branch reads or writes outside.
void NodeHost::touch_outside(const Dispatch& dispatch) {
  if (!dispatch.http.empty()) {
    Running& sending = running_.at(dispatch.token);
    if (env_.strikes(Fault::failing_receiver)) {
      sending.answer = fail(Errc::io, "status 503");
    } else {
      env_.auditor.delivered(dispatch.outside_key);
      sending.answer = "null";
    }
    return;
  }
  const auto input = json::parse(dispatch.input);
  FORERUN_ASSERT(input.has_value() && input->object() != nullptr);
  running_.at(dispatch.token).answer =
      env_.outside.run(*env_.catalog.task(dispatch.task), *input->object(), dispatch.outside_key);
}

void NodeHost::return_answer(BranchToken token) {
  const Running& branch = running_.at(token);
  FORERUN_ASSERT(branch.answer.has_value());
  if (!*branch.answer) {
    end(token, Ending::failed, branch.answer->error().message);
    return;
  }
  end(token, Ending::returned, {});
}

void NodeHost::end(BranchToken token, Ending ending, const std::string& cause) {
  const auto at = running_.find(token);
  if (at == running_.end()) {
    return;
  }
  RunEnded ended;
  ended.ending = ending;
  ended.cause = cause;
  ended.latency = env_.time.now() - at->second.started;
  if (ending == Ending::returned) {
    const Dispatch& dispatch = at->second.dispatch;
    ended.output = **at->second.answer;
    ended.writes = writes_of(dispatch.task, dispatch.state);
    ended.effects = effects_of(dispatch.task, dispatch.input);
    if (identity_.lies && dispatch.owner.audit == recheck) {
      ended.output = R"({"lie":true})";
    }
  }
  const RunDone done = std::move(at->second.done);
  running_.erase(at);
  done(std::move(ended));
  run();
}

}  // namespace forerun::simulation
