#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.hpp"
#include "coordinator/machine.hpp"
#include "speculation/planted.hpp"

/// Second attempts of slow confirmed branches (docs/speculation.md, "Hedging").
namespace forerun {
namespace {

/// Due ones that are looked at after one input: where nodes or pools are full, the rest waits.
constexpr std::size_t due_looked_at_max = 16;

}  // namespace

/// A confirmed attempt runs: from when on is it slow?
void CoordinatorMachine::watch_slowness(BranchRun& branch, const Task& task) {
  if (!hedge_budget_.is_on() || !task.hedge || task.effect == Effect::write || branch.hedged) {
    return;
  }
  hedge_budget_.confirmed();
  if (const auto p95 = run_times_.p95(task.name)) {
    branch.slow_at = branch.started + std::max(*p95, settings_.hedge.after_min);
    slow_.emplace(*branch.slow_at, branch.token);
  }
}

void CoordinatorMachine::unwatch_slowness(BranchRun& branch) {
  if (branch.slow_at) {
    slow_.erase({*branch.slow_at, branch.token});
    branch.slow_at.reset();
  }
}

/// When the next branch becomes slow. Those that are slow already wait for a slot or the budget,
/// which come with other inputs.
std::optional<Instant> CoordinatorMachine::next_slow() const {
  const auto next = slow_.lower_bound({now_ + Duration(1), BranchToken{}});
  return next == slow_.end() ? std::nullopt : std::optional(next->first);
}

/// Second attempts take free slots alone: no confirmed branch waits for one, and no speculation is
/// stopped for them.
void CoordinatorMachine::start_second_attempts() {
  if (slow_.empty() || membership_.nodes().size() < 2) {
    return;
  }
  std::size_t looked_at = 0;
  for (auto at = slow_.begin(); at != slow_.end() && at->first <= now_;) {
    if (queued_ > 0 || membership_.free_slots() == 0 || !hedge_budget_.covers_one() ||
        ++looked_at > due_looked_at_max) {
      return;
    }
    const BranchToken token = at->second;
    ++at;
    start_second_attempt(branches_.at(token.value));
  }
}

void CoordinatorMachine::start_second_attempt(const BranchRef& ref) {
  Session& session = sessions_.at(ref.run_id);
  OpenStep& step = *session.open_step(*ref.step);
  BranchRun& branch = step.work.branches[ref.index];
  const Task& task = *step.work.plan.tasks[ref.index];
  const WorkerSeat* first = membership_.worker(*branch.worker);
  FORERUN_ASSERT(first != nullptr);
  // The deadline is the call's, so the second attempt has what is left of it.
  const Duration left = deadline_of_.at(branch.token.value) - settings_.result_grace - now_;
  if (left <= Duration::zero() || pool_is_full(task.pool)) {
    return;
  }
  const auto worker = place(task, session.tenant, std::span(&first->node, 1));
  if (!worker) {
    return;
  }
  unwatch_slowness(branch);
  hedge_budget_.take();
  branch.hedged = SecondAttemptTold{*worker, now_ - branch.started};
  ++counters_.hedges;
  const BranchToken token = take_slot(task, *worker, left);
  branch.second = SecondAttempt{token, *worker, now_};
  BranchRef& known = branches_[token.value];
  known = ref;
  send_to(*worker, dispatch_of(session, step.work, known, token, *worker, step.state, left));
}

void CoordinatorMachine::stop_second_attempt(Work& work, std::size_t index) {
  BranchRun& branch = work.branches[index];
  const SecondAttempt lost = *std::exchange(branch.second, std::nullopt);
  count_lost_attempt(work, now_ - lost.started);
  forget_token(lost.token);
  // As in cancel_branch(), also on a worker that is gone.
  if (!planted(Bug::loser_not_cancelled)) {
    stopping_[lost.token] = {lost.worker, now_};
    send_to(lost.worker, CancelBranch{ledger_.epoch(), lost.token});
  }
}

/// No speculation's waste and no race's. Nor does it teach how long the task takes: else a slow
/// node, whose runs are the ones that lose, would push the p95 up until none is hedged any more.
void CoordinatorMachine::count_lost_attempt(Work& work, Duration ran) {
  work.hedged += ran;
  counters_.hedge_losers += ran;
}

/// One of two attempts of a branch ended by itself. The first answer of either is the branch's; of
/// any other end only the first attempt's own doing counts, as without a second one. Returns
/// whether the branch goes on: then all is done.
bool CoordinatorMachine::goes_on_after(const BranchRef& ref, Work& work, BranchToken token,
                                       Ending ending) {
  BranchRun& branch = work.branches[ref.index];
  if (!branch.second) {
    return false;
  }
  const bool is_second = branch.second->token == token;
  const bool is_own_doing = ending == Ending::failed || ending == Ending::timed_out;
  if (ending != Ending::returned && (is_second || !is_own_doing)) {
    const WorkerId worker = is_second ? branch.second->worker : *branch.worker;
    leave_to_other_attempt(ref, work, token);
    membership_.release(worker, token);
    slot_is_free(token);
    return true;
  }
  if (is_second) {
    ++counters_.hedges_won;
    branch.hedged->is_answer = true;
    membership_.outrun(*branch.worker, now_);
    std::swap(branch.token, branch.second->token);
    std::swap(*branch.worker, branch.second->worker);
    std::swap(branch.started, branch.second->started);
  }
  stop_second_attempt(work, ref.index);
  return false;
}

/// This attempt says nothing any more; the other one is the branch's only one from now on.
void CoordinatorMachine::leave_to_other_attempt(const BranchRef& ref, Work& work,
                                                BranchToken token) {
  BranchRun& branch = work.branches[ref.index];
  const SecondAttempt second = *std::exchange(branch.second, std::nullopt);
  const StepNumber step = *ref.step;
  forget_token(token);
  if (second.token == token) {
    count_lost_attempt(work, now_ - second.started);
    return;
  }
  count_lost_attempt(work, now_ - branch.started);
  branch.hedged->is_answer = true;
  branch.token = second.token;
  branch.worker = second.worker;
  branch.started = second.started;
  ++branch.attempts;
  // As any attempt that follows a lost one it has the whole time.
  const Duration timeout = run_times_.timeout(*work.plan.tasks[ref.index]);
  set_deadline(branch.token, timeout);
  send_to(*branch.worker, ConfirmBranch{ledger_.epoch(), branch.token, step, timeout});
}

}  // namespace forerun
