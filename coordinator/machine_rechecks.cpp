#include <algorithm>
#include <utility>
#include <vector>

#include "coordinator/machine.hpp"

namespace forerun {
namespace {

/// Owns the runs that no audit asked for: audits count from 1.
constexpr AuditNumber no_audit{0};

}  // namespace

void CoordinatorMachine::recheck(const Session& session, const OpenStep& step, Seq seq) {
  if (!step.winner) {
    return;
  }
  const Task& task = *step.work.plan.tasks[*step.winner];
  const BranchRun& branch = step.work.branches[*step.winner];
  if (!branch.worker || !may_be_rerun(task, !step.state.empty()) ||
      !rechecks_.draws(session.run_id, step.number, task.name)) {
    return;
  }
  const WorkerSeat* seat = membership_.worker(*branch.worker);
  if (seat == nullptr || !has_other_node(std::span(&seat->node, 1))) {
    return;
  }
  Rerun rerun;
  rerun.seq = seq;
  rerun.call = step.work.call;
  rerun.task = &task;
  rerun.whose = session.tenant;
  rerun.recorded_by = branch.worker;
  rerun.recorded_on = seat->node;
  rerun.recorded_node = membership_.find(seat->node)->name;
  rerun.recorded.output = branch.output->hash();
  if (const Output* writes = step.state_writes()) {
    rerun.recorded.writes = writes->hash();
  }
  if (const EffectList* effects = step.effects()) {
    rerun.recorded.effects = effects->whole.hash();
  }
  rechecks_.add(std::move(rerun));
}

/// On idle slots alone, as an audit.
void CoordinatorMachine::pump_rechecks() {
  run_again(rechecks_.reruns(), no_audit);
  const Rechecks::Verdicts verdicts = rechecks_.judge();
  out_.log.insert(out_.log.end(), verdicts.log.begin(), verdicts.log.end());
  for (const NodeId& node : verdicts.liars) {
    quarantine(node);
  }
}

/// What it was running is run elsewhere, what it has run ahead is thrown away. What was decided
/// stays: the ledger tells who answered.
void CoordinatorMachine::quarantine(const NodeId& node) {
  const NodeSeat* seat = membership_.find(node);
  const std::string name = seat == nullptr ? std::string() : seat->name;
  out_.log.push_back("QUARANTINED " + name + " (" + node.name +
                     "): " + std::to_string(settings_.recheck.lies_max) +
                     " of its answers were contradicted by two other nodes: its key is given no "
                     "work any more. `forerun keys renew` gives the node another chance, `forerun "
                     "keys revoke` keeps it out for good; `forerun verify --sample` tells how much "
                     "of the ledger is its");
  batch_.quarantined.push_back(node);
  if (seat == nullptr) {
    membership_.quarantine(node);
    return;
  }
  for (const WorkerId& worker : seat->workers) {
    warm_.lost(worker);
  }
  const auto is_its = [&](const BranchRun& branch) {
    return branch.worker && std::find(seat->workers.begin(), seat->workers.end(), *branch.worker) !=
                                seat->workers.end();
  };
  std::vector<std::pair<RunId, SpeculationNumber>> its;
  for (const auto& [run_id, session] : sessions_) {
    for (const auto& [number, speculation] : session.speculations) {
      const auto& branches = speculation.work.branches;
      if (std::any_of(branches.begin(), branches.end(), is_its)) {
        its.emplace_back(run_id, number);
      }
    }
  }
  for (const auto& [run_id, number] : its) {
    Session& session = sessions_.at(run_id);
    if (session.speculations.contains(number)) {  // Not thrown away with another one.
      discard(session, number, DiscardCause::failed);
    }
  }
  for (const BranchToken token : std::set<BranchToken>(seat->tokens)) {
    if (!stopping_.contains(token)) {
      lost_branch(token, "its node was quarantined");
    }
    slot_is_free(token);  // It does not come back, so nobody waits for it.
  }
  membership_.quarantine(node);
  pump();
}

}  // namespace forerun
