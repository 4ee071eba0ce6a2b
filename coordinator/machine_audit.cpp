#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "coordinator/machine.hpp"

namespace forerun {
namespace {

/// No tenant's name begins like this: what is run again shares no process with anybody's work.
constexpr const char* audit_tenant = "(audit) ";

}  // namespace

void CoordinatorMachine::start_audit(const ClientRequest& request, const StartAudit& body) {
  if (audit_) {
    refuse(request.id, Refusal::conflict, "audit: one runs already, expected none: ask again later",
           std::chrono::seconds(1));
    return;
  }
  const LedgerHead head = durable_head_.value_or(LedgerHead{});
  const bool is_rising =
      std::is_sorted(body.sizes.begin(), body.sizes.end()) &&
      std::adjacent_find(body.sizes.begin(), body.sizes.end()) == body.sizes.end();
  if (body.sizes.size() > audit_sizes_max || !is_rising ||
      (!body.sizes.empty() && body.sizes.back() > head.size)) {
    refuse(request.id, Refusal::invalid,
           "audit: sizes: expected at most " + std::to_string(audit_sizes_max) +
               " rising ones up to the ledger's, " + std::to_string(head.size));
    return;
  }
  audit_.emplace(AuditNumber{next_audit_++}, request.id, body, ledger_.sign(head), now_);
  for (const auto& [id, seat] : membership_.nodes()) {
    audit_->asked(seat);
    ask_replica(seat);
  }
}

void CoordinatorMachine::ask_replica(const NodeSeat& seat) {
  out_.send.push_back(
      {seat.connection, AuditReplica{ledger_.epoch(), audit_->number(), audit_->sizes()}});
}

void CoordinatorMachine::show(const ClientRequest& request, const ShowLedger& body) {
  out_.serve_ledger.push_back({request.id, body.from, std::min(body.count, ledger_page_entries_max),
                               ledger_.sign(durable_head_.value_or(LedgerHead{}))});
}

void CoordinatorMachine::handle(NodeSeat& seat, const ReplicaAudited& message) {
  if (audit_ && message.epoch == ledger_.epoch() && message.audit == audit_->number()) {
    audit_->answered(seat.id, message);
  }
}

void CoordinatorMachine::on(const EntriesRead& read) {
  if (audit_ && read.audit == audit_->number()) {
    audit_->read(read.entries, settings_.catalog);
  }
}

/// Goes on with the audit where slots are idle: confirmed work is served first, and it alone may
/// take a slot back.
void CoordinatorMachine::pump_audit() {
  if (!audit_) {
    return;
  }
  if (now_ >= audit_->deadline()) {
    end_audit("the audit's deadline passed");
    return;
  }
  if (auto seqs = audit_->draw(); !seqs.empty()) {
    out_.read_entries.push_back({audit_->number(), std::move(seqs)});
  }
  run_again(audit_->reruns(), audit_->number());
  if (audit_->is_done()) {
    end_audit("");
  }
}

void CoordinatorMachine::run_again(Reruns& reruns, AuditNumber number) {
  for (Rerun& rerun : reruns.all()) {
    if (queued_ > 0 || membership_.free_slots() == 0) {
      break;
    }
    if (rerun.state == Rerun::State::waiting && !pool_is_full(rerun.task->pool)) {
      if (const auto worker = place_rerun(rerun)) {
        dispatch_rerun(rerun, number, *worker);
      }
    }
  }
}

/// One that may be given work.
bool CoordinatorMachine::has_other_node(std::span<const NodeId> than) const {
  return std::any_of(membership_.nodes().begin(), membership_.nodes().end(), [&](const auto& node) {
    return !membership_.is_quarantined(node.first) &&
           std::find(than.begin(), than.end(), node.first) == than.end();
  });
}

/// Another node than the one that ran it, while there is another one; the third run only there.
std::optional<WorkerId> CoordinatorMachine::place_rerun(Rerun& rerun) const {
  const WorkerSeat* recorded = rerun.recorded_by ? membership_.worker(*rerun.recorded_by) : nullptr;
  if (!rerun.is_third) {
    rerun.not_on.clear();
  }
  // At a third run it is among them, unless it was away when the second one was placed.
  if (recorded != nullptr &&
      std::find(rerun.not_on.begin(), rerun.not_on.end(), recorded->node) == rerun.not_on.end()) {
    rerun.not_on.push_back(recorded->node);
  }
  if (!has_other_node(rerun.not_on)) {
    if (rerun.is_third) {
      Reruns::give_up(rerun);
      return std::nullopt;
    }
    rerun.not_on.clear();
  }
  return place(*rerun.task, {}, rerun.not_on);
}

void CoordinatorMachine::dispatch_rerun(Rerun& rerun, AuditNumber number, const WorkerId& worker) {
  rerun.state = Rerun::State::running;
  const Duration timeout = run_times_.timeout(*rerun.task);
  rerun.token = take_slot(*rerun.task, worker, timeout);
  rerun.worker = worker;
  const NodeId node = membership_.worker(worker)->node;
  rerun.ran_on = node;
  rerun.node = membership_.find(node)->name;
  if (const WorkerSeat* recorded =
          rerun.recorded_by ? membership_.worker(*rerun.recorded_by) : nullptr) {
    rerun.recorded_on = recorded->node;
    rerun.recorded_node = membership_.find(recorded->node)->name;
  }
  // Should its answer differ, the third one comes from elsewhere.
  if (!rerun.is_third) {
    rerun.not_on.push_back(node);
  }
  rerun.started = now_;
  ++rerun.attempts;

  Dispatch message;
  message.epoch = ledger_.epoch();
  message.token = rerun.token;
  message.worker = worker;
  message.tenant = audit_tenant + rerun.whose;
  message.owner.audit = number;
  message.task = rerun.task->name;
  message.input = rerun.call->canonical_input();
  message.state = "{}";
  message.timeout = timeout;
  send_to(worker, std::move(message));
}

CoordinatorMachine::RunningRerun CoordinatorMachine::rerun_of(BranchToken token) {
  if (Rerun* rerun = audit_ ? audit_->reruns().running(token) : nullptr) {
    return {&audit_->reruns(), rerun};
  }
  if (Rerun* rerun = rechecks_.reruns().running(token)) {
    return {&rechecks_.reruns(), rerun};
  }
  return {};
}

bool CoordinatorMachine::settle_rerun(BranchToken token, const BranchEnded& ended) {
  const RunningRerun running = rerun_of(token);
  if (running.rerun == nullptr) {
    return false;
  }
  const WorkerId worker = *running.rerun->worker;
  forget_token(token);
  membership_.release(worker, token);
  slot_is_free(token);
  // No entry will name it, so the node is told to forget its result.
  send_to(worker, CancelBranch{ledger_.epoch(), token});
  running.reruns->settle(*running.rerun, ended);
  return true;
}

/// Takes a run back; it says nothing.
void CoordinatorMachine::stop_rerun(Rerun& rerun) {
  forget_token(rerun.token);
  stop_on_worker(rerun.token, *rerun.worker);
}

bool CoordinatorMachine::lose_rerun(BranchToken token, const std::string& why) {
  const RunningRerun running = rerun_of(token);
  if (running.rerun == nullptr) {
    return false;
  }
  stop_rerun(*running.rerun);
  BranchEnded ended;
  ended.token = token;
  ended.ending = Ending::lost;
  ended.cause = why;
  running.reruns->settle(*running.rerun, ended);
  return true;
}

/// Confirmed work waits: runs beside it make room before any speculation does.
void CoordinatorMachine::yield_rerun_slots() {
  if (audit_) {
    stop_reruns(audit_->reruns());
  }
  stop_reruns(rechecks_.reruns());
}

void CoordinatorMachine::stop_reruns(Reruns& reruns) {
  for (Rerun& rerun : reruns.all()) {
    if (rerun.state == Rerun::State::running) {
      stop_rerun(rerun);
      rerun.state = Rerun::State::waiting;
      --rerun.attempts;
    }
  }
}

void CoordinatorMachine::end_audit(const std::string& why) {
  stop_reruns(audit_->reruns());
  json::Value report = audit_->report(why);
  report.object()->set("absent", absent_nodes());
  reply(audit_->request(), JsonReport{std::move(report)});
  audit_.reset();
}

}  // namespace forerun
