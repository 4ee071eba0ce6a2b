#include "node/machine.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "speculation/planted.hpp"

namespace forerun {

NodeMachine::NodeMachine(NodeSettings settings, LedgerChecker replica, Epoch epoch_accepted,
                         std::optional<SignedHead> verified)
    : settings_(std::move(settings)),
      checker_(std::move(replica)),
      epoch_(epoch_accepted),
      verified_head_(std::move(verified)) {}

NodeOutput NodeMachine::step(Instant now, NodeInput input) {
  NodeOutput out;
  take(now, input, out);
  if (!stopped_) {
    out.wake_at = next_wake();
  }
  return out;
}

NodeOutput NodeMachine::step(Instant now, std::vector<NodeInput> inputs) {
  NodeOutput out;
  for (NodeInput& input : inputs) {
    take(now, input, out);
  }
  if (!stopped_) {
    out.wake_at = next_wake();
  }
  return out;
}

void NodeMachine::take(Instant now, NodeInput& input, NodeOutput& out) {
  if (!stopped_) {
    std::visit([&](auto& body) { on(now, body, out); }, input);
  }
}

std::optional<Instant> NodeMachine::next_wake() const {
  Instant wake = joined_ ? heartbeat_sent_.value_or(Instant{}) + settings_.heartbeat
                         : join_sent_.value_or(Instant{}) + settings_.join_retry;
  for (const auto& [token, branch] : branches_) {
    if (branch.deadline && branch.state == Branch::State::running) {
      wake = std::min(wake, *branch.deadline);
    }
  }
  if (joined_ && fetch_sent_) {
    wake = std::min(wake, *fetch_sent_ + settings_.fetch_retry);
  }
  return wake;
}

void NodeMachine::on(Instant now, const TimePassed&, NodeOutput& out) {
  for (auto& [token, branch] : branches_) {
    if (branch.state == Branch::State::running && branch.deadline && *branch.deadline <= now) {
      stop(now, branch, branch.dispatch.speculative ? Ending::expired : Ending::timed_out, out);
    }
  }
  if (!joined_) {
    if (!join_sent_ || now - *join_sent_ >= settings_.join_retry) {
      send_join(now, out);
    }
    return;
  }
  if (fetch_sent_ && now - *fetch_sent_ >= settings_.fetch_retry &&
      !planted(Bug::fetch_not_repeated)) {
    fetch(now, out);
  }
  if (!heartbeat_sent_ || now - *heartbeat_sent_ >= settings_.heartbeat) {
    send_heartbeat(now, out);
  }
}

void NodeMachine::send_join(Instant now, NodeOutput& out) {
  Join join;
  join.version = settings_.version;
  join.name = settings_.name;
  join.instance = settings_.instance;
  join.workers = settings_.workers;
  join.head = checker_.head();
  join.epoch = epoch_;
  join.signed_head = verified_head_;
  out.send.emplace_back(std::move(join));
  join_sent_ = now;
}

void NodeMachine::send_heartbeat(Instant now, NodeOutput& out) {
  Heartbeat beat;
  beat.epoch = epoch_;
  beat.head = checker_.head();
  for (const auto& [token, branch] : branches_) {
    (branch.state == Branch::State::finished ? beat.finished : beat.running).push_back(token);
  }
  out.send.emplace_back(std::move(beat));
  heartbeat_sent_ = now;
}

void NodeMachine::on(Instant now, CoordinatorMessage& message, NodeOutput& out) {
  std::visit([&](auto& body) { handle(now, body, out); }, message);
}

// ---- membership
// ----------------------------------------------------------------------------------------------------

void NodeMachine::handle(Instant now, const Welcome& message, NodeOutput& out) {
  if (message.epoch < epoch_) {
    out.alerts.push_back("ignored a coordinator of epoch " + to_string(message.epoch) + ": epoch " +
                         to_string(epoch_) + " was accepted before");
    return;
  }
  heard_head_ = message.head;
  if (!joined_ || epoch_ != message.epoch) {  // Else the answer to a second Join.
    out.subscribe = message.publish_port;
    out.catalog = message.catalog;
  }
  epoch_ = message.epoch;
  drop_other_epochs(now, out);
  joined_ = true;
  // In the same term the welcome is only older than what was published since; a new term must hold
  // all of the replica.
  if (message.head.head.size < checker_.size() && checker_.head().epoch != message.epoch) {
    diverge("the replica holds " + std::to_string(checker_.size()) +
                " entries, the coordinator only " + std::to_string(message.head.head.size),
            "", out);
    return;
  }
  fetch_sent_.reset();
  fetch_target_ = message.head.head.size;
  if (fetch_target_ > checker_.size()) {
    pending_head_ = message.head;
    fetch(now, out);
  } else {
    check_head(message.head, out);
  }
  if (!stopped_) {
    send_heartbeat(now, out);
  }
}

void NodeMachine::handle(Instant, const JoinRefused& message, NodeOutput& out) {
  if (message.is_final) {
    stopped_ = true;
    out.fatal = Error{Errc::refused, message.why};
  } else if (message.why != refused_for_) {
    refused_for_ = message.why;
    out.alerts.push_back(message.why);
  }
}

void NodeMachine::handle(Instant now, const JoinAgain& message, NodeOutput& out) {
  if (message.epoch < epoch_) {
    return;  // An older coordinator's last words.
  }
  joined_ = false;
  // A coordinator that was away says it to each heartbeat that waited for it.
  if (!join_sent_ || now - *join_sent_ >= settings_.join_retry) {
    send_join(now, out);
  }
}

void NodeMachine::handle(Instant, const ReserveRunIds& message, NodeOutput& out) {
  for (const WorkerOffer& worker : settings_.workers) {
    if (worker.worker == message.worker) {
      if (message.mark > worker.run_mark) {
        out.marks.push_back({message.worker, message.mark});
      } else {
        out.send.emplace_back(MarkStored{message.worker, worker.run_mark});
      }
    }
  }
}

void NodeMachine::on(Instant, const MarkPersisted& persisted, NodeOutput& out) {
  for (WorkerOffer& worker : settings_.workers) {
    if (worker.worker == persisted.worker) {
      worker.run_mark = std::max(worker.run_mark, persisted.mark);
      out.send.emplace_back(MarkStored{persisted.worker, worker.run_mark});
    }
  }
}

// ---- branches
// ------------------------------------------------------------------------------------------------------

void NodeMachine::handle(Instant now, Dispatch& message, NodeOutput& out) {
  if (!joined_ || message.epoch != epoch_) {
    return;
  }
  // A coordinator's tokens rise. One that does not came twice, or later ones overtook it: a branch
  // that has ended must not run again. If it never ran, the next heartbeat says that it is not
  // here.
  const bool came_before = planted(Bug::dispatch_repeated)
                               ? branches_.contains(message.token)
                               : latest_token_ && message.token <= *latest_token_;
  if (came_before) {
    return;
  }
  latest_token_ = message.token;
  const auto offer =
      std::find_if(settings_.workers.begin(), settings_.workers.end(),
                   [&](const WorkerOffer& worker) { return worker.worker == message.worker; });
  const bool is_full = offer == settings_.workers.end() || busy_[message.worker] >= offer->slots;
  const auto frees_soon = [&] {
    return std::any_of(branches_.begin(), branches_.end(), [&](const auto& known) {
      return known.second.dispatch.worker == message.worker &&
             known.second.state == Branch::State::stopping;
    });
  };
  if (is_full && !frees_soon()) {
    BranchEnded ended;
    ended.epoch = message.epoch;
    ended.token = message.token;
    ended.ending = Ending::lost;
    ended.cause = "worker " + to_string(message.worker) + " has no free slot";
    out.send.emplace_back(std::move(ended));
    return;
  }
  by_run_[message.owner.run_id].push_back(message.token);
  Branch& placed = branches_[message.token];
  placed.dispatch = std::move(message);
  placed.state = Branch::State::waiting;
  ++waiting_;
  if (!is_full) {
    launch(now, placed, out);
  }
}

void NodeMachine::launch(Instant now, Branch& branch, NodeOutput& out) {
  ++busy_[branch.dispatch.worker];
  branch.state = Branch::State::running;
  branch.deadline = now + branch.dispatch.timeout;
  --waiting_;
  Dispatch kept;
  kept.epoch = branch.dispatch.epoch;
  kept.token = branch.dispatch.token;
  kept.worker = branch.dispatch.worker;
  kept.owner = branch.dispatch.owner;
  kept.speculative = branch.dispatch.speculative;
  kept.timeout = branch.dispatch.timeout;
  out.start.push_back({std::exchange(branch.dispatch, std::move(kept))});
}

void NodeMachine::launch_waiting(Instant now, const WorkerId& worker, NodeOutput& out) {
  if (waiting_ == 0) {
    return;
  }
  for (auto& [token, branch] : branches_) {
    if (branch.state == Branch::State::waiting && branch.dispatch.worker == worker) {
      launch(now, branch, out);
      return;
    }
  }
}

void NodeMachine::stop(Instant now, Branch& branch, Ending why, NodeOutput& out) {
  branch.state = Branch::State::stopping;
  branch.cancelled_at = now;
  branch.forced = why;
  out.stop.push_back({branch.dispatch.token, branch.dispatch.worker});
}

void NodeMachine::handle(Instant now, const ConfirmBranch& message, NodeOutput& out) {
  const auto at = branches_.find(message.token);
  if (message.epoch != epoch_ || at == branches_.end()) {
    return;
  }
  at->second.dispatch.speculative = false;
  at->second.dispatch.owner.step = message.step;
  at->second.dispatch.timeout = message.timeout;
  at->second.deadline = now + message.timeout;
  if (at->second.state == Branch::State::running) {
    out.confirm.push_back({message.token, at->second.dispatch.worker, message.timeout});
  }
}

void NodeMachine::handle(Instant now, const CancelBranch& message, NodeOutput& out) {
  const auto at = branches_.find(message.token);
  if (message.epoch == epoch_ && at != branches_.end()) {
    destroy(now, at, out);
  }
}

void NodeMachine::handle(Instant, const ResendResult& message, NodeOutput& out) {
  const auto at = branches_.find(message.token);
  if (message.epoch == epoch_ && at != branches_.end() && at->second.result) {
    out.send.emplace_back(*at->second.result);
  }
}

void NodeMachine::on(Instant now, BranchFinished& finished, NodeOutput& out) {
  const auto at = branches_.find(finished.ended.token);
  if (at == branches_.end() ||
      (at->second.state != Branch::State::running && at->second.state != Branch::State::stopping)) {
    return;
  }
  Branch& branch = at->second;
  const WorkerId worker = branch.dispatch.worker;
  --busy_[worker];
  BranchEnded ended = std::move(finished.ended);
  ended.epoch = branch.dispatch.epoch;
  if (ended.ending == Ending::expired && !branch.dispatch.speculative) {
    ended.ending = Ending::lost;  // Confirmed while it gave up: it has its whole time again.
  }
  if (branch.forced) {
    ended.ending = *branch.forced;
    ended.output.clear();
    ended.freed_after = now - branch.cancelled_at;
    ended.cause =
        *branch.forced == Ending::timed_out
            ? timed_out_cause + std::to_string(branch.dispatch.timeout.count() / 1000) + " ms"
            : "stopped";
  }
  if (!ended.cause.empty()) {
    ended.cause = json::clean_text(ended.cause, cause_bytes_max);
  }
  out.send.emplace_back(ended);
  if (ended.ending == Ending::cancelled) {
    forget(at, out);
  } else {
    branch.state = Branch::State::finished;
    branch.deadline.reset();
    branch.result = std::move(ended);
  }
  launch_waiting(now, worker, out);
}

/// Stops what runs and forgets what is finished: nothing of the branch is left.
void NodeMachine::destroy(Instant now, std::map<BranchToken, Branch>::iterator at,
                          NodeOutput& out) {
  Branch& branch = at->second;
  switch (branch.state) {
    case Branch::State::waiting: {
      BranchEnded ended;
      ended.epoch = branch.dispatch.epoch;
      ended.token = at->first;
      ended.ending = Ending::cancelled;
      ended.cause = "stopped before it started";
      out.send.emplace_back(std::move(ended));
      forget(at, out);
      return;
    }
    case Branch::State::running:
      if (planted(Bug::cancel_without_stop)) {
        --busy_[branch.dispatch.worker];
        forget(at, out);
        return;
      }
      stop(now, branch, Ending::cancelled, out);
      return;
    case Branch::State::stopping:
      branch.forced = Ending::cancelled;
      return;
    case Branch::State::finished:
      forget(at, out);
      return;
  }
}

void NodeMachine::forget(std::map<BranchToken, Branch>::iterator at, NodeOutput& out) {
  waiting_ -= at->second.state == Branch::State::waiting ? 1 : 0;
  const auto run = by_run_.find(at->second.dispatch.owner.run_id);
  std::erase(run->second, at->first);
  if (run->second.empty()) {
    by_run_.erase(run);
  }
  out.destroyed.push_back(at->first);
  branches_.erase(at);
}

/// A new term discards everything that older terms left open.
void NodeMachine::drop_other_epochs(Instant now, NodeOutput& out) {
  for (auto at = branches_.begin(); at != branches_.end();) {
    const auto next = std::next(at);
    if (at->second.dispatch.epoch != epoch_) {
      destroy(now, at, out);
    }
    at = next;
  }
}

// ---- ledger
// --------------------------------------------------------------------------------------------------------

void NodeMachine::fetch(Instant now, NodeOutput& out) {
  out.send.emplace_back(FetchEntries{Seq{checker_.size()}});
  fetch_sent_ = now;
}

void NodeMachine::handle(Instant now, Entries& message, NodeOutput& out) {
  if (joined_) {
    follow(now, message, out);
    if (!stopped_) {
      audit_if_reached(out);
    }
  }
}

// ---- audit

void NodeMachine::handle(Instant now, const AuditReplica& message, NodeOutput& out) {
  if (!joined_ || message.epoch != epoch_) {
    return;
  }
  pending_audit_ = message;  // One at a time: a newer one takes the place of one that waits.
  if (!message.sizes.empty() && message.sizes.back() > checker_.size()) {
    fetch_target_ = std::max(fetch_target_, message.sizes.back());
    if (!fetch_sent_) {
      fetch(now, out);
    }
  }
  audit_if_reached(out);
}

void NodeMachine::audit_if_reached(NodeOutput& out) {
  if (pending_audit_ &&
      (pending_audit_->sizes.empty() || pending_audit_->sizes.back() <= checker_.size())) {
    out.audit = ReplicaAuditOrder{std::move(*pending_audit_), checker_.size()};
    pending_audit_.reset();
  }
}

void NodeMachine::on(Instant, ReplicaAudited& audited, NodeOutput& out) {
  if (joined_ && audited.epoch == epoch_) {
    out.send.emplace_back(std::move(audited));
  }
}

// ---- before a term

/// The coordinator that asks has not opened its term, so nobody has joined it yet.
void NodeMachine::handle(Instant, const FetchReplica& message, NodeOutput& out) {
  out.page = ReplicaPageOrder{message.from, verified_head_};
}

void NodeMachine::on(Instant, ReplicaEntries& page, NodeOutput& out) {
  out.send.emplace_back(std::move(page));
}

void NodeMachine::follow(Instant now, Entries& entries, NodeOutput& out) {
  if (entries.head) {
    heard_head_ = entries.head;
  }
  const std::uint64_t end = entries.first.value + entries.records.size();
  fetch_target_ = std::max(fetch_target_, end);
  if (entries.first.value <= checker_.size() && end > checker_.size()) {
    fetch_sent_.reset();  // Progress: what is still missing is asked for below.
    ReplicaBatch& batch = out.persist ? *out.persist : out.persist.emplace();
    for (std::uint64_t seq = checker_.size(); seq < end; ++seq) {
      EntryRecord& record = entries.records[seq - entries.first.value];
      const auto entry = checker_.take(record.leaf, record.call);
      if (!entry) {
        if (batch.entries.empty() && !batch.head) {
          out.persist.reset();
        }
        diverge(entry.error().message, record.leaf, out);
        return;
      }
      StoredEntry& stored = batch.entries.emplace_back();
      stored.seq = Seq{seq};
      stored.epoch = entry->epoch;
      stored.leaf = std::move(record.leaf);
      stored.call = std::move(record.call);
      if (std::holds_alternative<EpochEntry>(entry->body)) {
        batch.epoch = entry->epoch;
      }
      settle_by_entry(now, *entry, out);
    }
  }
  if (entries.head && (!pending_head_ || entries.head->head.size >= pending_head_->head.size)) {
    pending_head_ = entries.head;
    fetch_target_ = std::max(fetch_target_, pending_head_->head.size);
  }
  if (pending_head_ && pending_head_->head.size <= checker_.size()) {
    const SignedHead head = *pending_head_;
    pending_head_.reset();
    check_head(head, out);
  }
  if (!stopped_ && checker_.size() < fetch_target_ && !fetch_sent_ &&
      !planted(Bug::gap_not_fetched)) {
    fetch(now, out);
  }
}

void NodeMachine::check_head(const SignedHead& head, NodeOutput& out) {
  if (head.head.size == 0 || head.head.size > checker_.size() ||
      head.head.epoch < checker_.head().epoch) {
    return;  // Nothing to compare, or of a term whose end the next term's first entry has signed
             // for.
  }
  if (const auto holds = checker_.check_head(head); !holds) {
    heard_head_ = head;
    diverge(holds.error().message, "", out);
    return;
  }
  verified_head_ = head;
  if (!out.persist) {
    out.persist.emplace();
  }
  out.persist->head = head;
}

void NodeMachine::settle_by_entry(Instant now, const Entry& entry, NodeOutput& out) {
  const auto end_branches = [&](const RunId& run_id, const auto& is_ended) {
    const auto run = by_run_.find(run_id);
    if (run == by_run_.end()) {
      return;
    }
    std::vector<BranchToken> tokens = run->second;
    std::sort(tokens.begin(), tokens.end());
    for (const BranchToken token : tokens) {
      const auto at = branches_.find(token);
      if (at->second.dispatch.epoch == entry.epoch && is_ended(at->second.dispatch.owner)) {
        destroy(now, at, out);
      }
    }
  };
  if (const auto* commit = std::get_if<CommitEntry>(&entry.body)) {
    end_branches(commit->run_id, [&](const BranchOwner& owner) {
      return owner.step == commit->step ||
             (commit->hit && owner.speculation == commit->hit->speculation);
    });
  } else if (const auto* discard = std::get_if<DiscardEntry>(&entry.body)) {
    end_branches(discard->run_id, [&](const BranchOwner& owner) {
      return owner.speculation == discard->speculation;
    });
  }
}

void NodeMachine::diverge(const std::string& why, const std::string& entry, NodeOutput& out) {
  const LedgerHead theirs = heard_head_ ? heard_head_->head : LedgerHead{};
  out.diverged = Divergence{why, checker_.head(), verified_head_, heard_head_, entry};
  out.send.emplace_back(Diverged{checker_.head(), theirs, why});
  for (auto& [token, branch] : branches_) {
    if (branch.state == Branch::State::running) {
      stop(Instant{}, branch, Ending::cancelled, out);
    }
  }
  stopped_ = true;
  const LedgerHead own = checker_.head();
  const std::string message =
      "ledger diverged: " + why + "; own head: size " + std::to_string(own.size) + " root " +
      to_hex(own.root) + ", coordinator's: size " + std::to_string(theirs.size) + " root " +
      to_hex(theirs.root) + ": both are kept; start with --resync to take the coordinator's ledger";
  out.fatal = Error{Errc::verification, message};
}

}  // namespace forerun
