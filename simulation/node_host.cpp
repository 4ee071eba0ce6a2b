#include "simulation/node_host.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/assert.hpp"
#include "storage/replica_page.hpp"

namespace forerun::simulation {
namespace {

constexpr Duration node_restart_min = std::chrono::milliseconds(30);
constexpr Duration node_restart_max = std::chrono::milliseconds(3000);
constexpr Duration latency_max = std::chrono::milliseconds(1200);

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
    : env_(environment), network_(network), identity_(std::move(identity)) {
  std::vector<MarkRow> rows;
  for (const WorkerId& worker : identity_.workers) {
    rows.push_back({worker, 0});
  }
  FORERUN_ASSERT(marks_.save(rows).has_value());
}

void NodeHost::later(Duration delay, std::function<void()> happen) {
  env_.time.after(delay, [this, life = life_, run = std::move(happen)] {
    if (life == life_ && is_up()) {
      run();
    }
  });
}

void NodeHost::start() {
  ++life_;
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
      env_.time.violate(name() + ": replica: " + taken.error().message);
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
  ++life_;
  ++crashes_;
  machine_.reset();
  running_.clear();
  armed_.reset();
  replica_.crash();
  marks_.crash();
  network_.node_is_down(identity_.index);
  env_.time.after(env_.between(node_restart_min, node_restart_max), [this] { start(); });
}

void NodeHost::receive(const CoordinatorMessage& message) {
  const auto* entries = std::get_if<Entries>(&message);
  if (env_.plant == Plant::lost_discard && identity_.index == 0 && entries != nullptr &&
      holds_discard(*entries)) {
    return;
  }
  step(message);
}

void NodeHost::step(const NodeInput& input) {
  if (is_up()) {
    perform(machine_->step(env_.time.now(), input));
  }
}

void NodeHost::perform(NodeOutput output) {
  if (output.persist) {
    persist(*output.persist);
  }
  if (!output.marks.empty()) {
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
    network_.send(identity_.index, std::move(message));
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
  arm(output.wake_at);
  if (output.fatal) {
    stop_for(*output.fatal);
  }
}

/// A refused node is started again by whoever looks after it; one that found another ledger must
/// never be.
void NodeHost::stop_for(const Error& error) {
  env_.time.note(name() + " ends: " + error.message);
  if (error.code == Errc::verification) {
    env_.time.violate(name() + ": " + error.message);
    return;
  }
  crash();
}

void NodeHost::persist(const ReplicaBatch& batch) {
  for (const StoredEntry& entry : batch.entries) {
    env_.auditor.replicated(name(), entry);
  }
  if (const auto done = replica_.persist(batch); !done) {
    env_.time.violate(name() + ": replica: " + done.error().message);
  }
  if (env_.prng.chance(0.02)) {
    replica_.sync();
  }
}

void NodeHost::persist_marks(const std::vector<MarkRow>& marks) {
  if (env_.plant != Plant::lost_marks) {
    FORERUN_ASSERT(marks_.save(marks).has_value());
  }
  for (const MarkRow& mark : marks) {
    later(env_.around(std::chrono::microseconds(50)), [this, mark] {
      step(MarkPersisted{mark.worker, mark.mark});
    });
  }
}

// ---- workers -----------------------------------------------------------------------------------

void NodeHost::begin(const Dispatch& dispatch) {
  const auto [at, is_new] =
      running_.try_emplace(dispatch.token, Running{dispatch, env_.time.now(), {}});
  if (!is_new) {
    env_.time.violate(name() + ": branch " + to_string(dispatch.token) + " is started twice");
    return;
  }
  const auto running = std::count_if(running_.begin(), running_.end(), [&](const auto& other) {
    return other.second.dispatch.worker == dispatch.worker;
  });
  env_.auditor.started(dispatch, static_cast<std::size_t>(running), identity_.slots);
  if (env_.plant == Plant::repeated_run && env_.prng.chance(0.2)) {
    env_.auditor.started(dispatch, static_cast<std::size_t>(running), identity_.slots);
  }
  const Duration latency = std::min(env_.around(median_of(dispatch.task)), latency_max);
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
  if (env_.strikes(env_.weather.branch_loss)) {
    later(Duration(
              static_cast<Duration::rep>(static_cast<double>(latency.count()) * env_.prng.unit())),
          if_running([this, token] { end(token, Ending::lost, "the worker crashed"); }));
  }
  if (!env_.strikes(env_.weather.branch_hang)) {
    later(latency, if_running([this, token] { return_answer(token); }));
  }
}

/// The one moment at which a branch reads or writes outside.
void NodeHost::touch_outside(const Dispatch& dispatch) {
  if (!dispatch.http.empty()) {
    Running& sending = running_.at(dispatch.token);
    if (env_.strikes(0.2)) {
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

void NodeHost::arm(std::optional<Instant> wake) {
  if (!wake || (armed_ && *armed_ <= *wake)) {
    return;
  }
  armed_ = wake;
  env_.time.at(*wake, [this, life = life_, at = *wake] {
    if (life == life_ && is_up() && armed_ == at) {
      armed_.reset();
      step(TimePassed{});
    }
  });
}

}  // namespace forerun::simulation
