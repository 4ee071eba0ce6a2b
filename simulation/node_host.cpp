#include "simulation/node_host.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/assert.hpp"
#include "speculation/planted.hpp"
#include "storage/replica_page.hpp"

namespace forerun::simulation {
namespace {

constexpr Duration node_restart_min = std::chrono::milliseconds(30);
constexpr Duration node_restart_max = std::chrono::milliseconds(3000);
constexpr Duration latency_max = std::chrono::milliseconds(1200);
constexpr std::uint64_t outputs_before_node_crash_max = 4;
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
  machine_ = std::make_unique<NodeMachine>(std::move(settings), std::move(checker), recovery->epoch,
                                           recovery->head);
  network_.node_is_up(identity_.index);
  step(TimePassed{});
}

void NodeHost::crash() {
  if (!is_up()) {
    return;
  }
  env_.time.note(name() + " crashes");
  end_life();
  ++crashes_;
  machine_.reset();
  running_.clear();
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
  perform(machine_->step(now(), input));
}

/// Carries the outputs out in their order; a crash may come between any two of them.
void NodeHost::perform(NodeOutput output) {
  const bool ends_here = env_.strikes(Fault::crash_in_step);
  std::uint64_t left = ends_here ? env_.prng.below(outputs_before_node_crash_max) : UINT64_MAX;
  const auto goes_on = [&left] { return left > 0 && left-- > 0; };
  if (output.persist && goes_on() && !persist(*output.persist)) {
    return;
  }
  if (!output.marks.empty()) {
    ++marks_unwritten_;
    later(env_.around(env_.weather.sync_median),
          [this, marks = std::move(output.marks)] { persist_marks(marks); });
  }
  if (output.audit) {
    later(env_.around(env_.weather.sync_median), [this, order = std::move(*output.audit)] {
      ReplicaAuditor auditor(order, identity_.ledger_key);
      const auto read =
          replica_.recover([&auditor](const StoredEntry& entry) { auditor.take(entry); });
      step(auditor.finish(read ? read->head : std::nullopt));
    });
  }
  if (output.page) {
    later(env_.around(env_.weather.sync_median), [this, order = *output.page] {
      step(ReplicaEntries{read_replica_page(replica_, order.from, order.head)});
    });
  }
  for (NodeMessage& message : output.send) {
    if (goes_on()) {
      network_.send(identity_.index, std::move(message));
    } else {
      env_.coverage.message(message, MessageFault::unsent);
    }
  }
  if (ends_here) {
    crash();
    return;
  }
  if (output.subscribe) {
    network_.subscribe(identity_.index);
  }
  for (const StartBranch& start : output.start) {
    begin(start.dispatch);
  }
  for (const StopBranch& stop : output.stop) {
    later(env_.around(std::chrono::milliseconds(2)),
          [this, token = stop.token] { end(token, Ending::cancelled, "stopped"); });
  }
  for (const std::string& line : output.alerts) {
    env_.time.note(name() + ": " + line);
  }
  arm(output.wake_at, [this] { step(TimePassed{}); });
  if (output.fatal) {
    stop_for(*output.fatal);
  }
}

/// A refused node is started again by whoever looks after it; one that found another ledger must
/// never be.
void NodeHost::stop_for(const Error& error) {
  env_.time.note(name() + " ends: " + error.message);
  if (error.code == Errc::verification) {
    env_.time.violate(Rule::one_ledger, name() + ": " + error.message);
    return;
  }
  crash();
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

/// False when the process ended with it.
bool NodeHost::persist(const ReplicaBatch& batch) {
  for (const StoredEntry& entry : batch.entries) {
    env_.auditor.replicated(name(), entry);
  }
  const auto done =
      is_disk_full() ? Result<void>(fail(Errc::io, "the disk is full")) : replica_.persist(batch);
  if (done) {
    if (env_.prng.chance(sync_share)) {
      replica_.sync();
    }
    return true;
  }
  if (done.error().code != Errc::io) {
    env_.time.violate(Rule::one_ledger, name() + ": replica: " + done.error().message);
  }
  env_.coverage.write(DurableStep::replica, write_fault());
  crash();
  return false;
}

void NodeHost::persist_marks(const std::vector<MarkRow>& marks) {
  --marks_unwritten_;
  const auto done = is_disk_full()             ? Result<void>(fail(Errc::io, "the disk is full"))
                    : planted(Bug::lost_marks) ? Result<void>()
                                               : marks_.save(marks);
  if (!done) {
    env_.coverage.write(DurableStep::run_id_mark, write_fault());
    crash();
    return;
  }
  ++marks_unreported_;
  if (env_.strikes(Fault::crash_after_write)) {
    crash();
    return;
  }
  later(env_.around(std::chrono::microseconds(50)), [this, marks] {
    --marks_unreported_;
    for (const MarkRow& mark : marks) {
      step(MarkPersisted{mark.worker, mark.mark});
    }
  });
}

// ---- workers -----------------------------------------------------------------------------------

void NodeHost::begin(const Dispatch& dispatch) {
  const auto [at, is_new] =
      running_.try_emplace(dispatch.token, Running{dispatch, env_.time.now(), {}});
  if (!is_new) {
    env_.time.violate(Rule::settled_once,
                      name() + ": branch " + to_string(dispatch.token) + " is started twice");
    return;
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
  BranchFinished finished;
  finished.ended.token = token;
  finished.ended.ending = ending;
  finished.ended.cause = cause;
  finished.ended.latency = env_.time.now() - at->second.started;
  if (ending == Ending::returned) {
    const Dispatch& dispatch = at->second.dispatch;
    finished.ended.output = **at->second.answer;
    finished.ended.writes = writes_of(dispatch.task, dispatch.state);
    finished.ended.effects = effects_of(dispatch.task, dispatch.input);
  }
  running_.erase(at);
  step(finished);
}

}  // namespace forerun::simulation
