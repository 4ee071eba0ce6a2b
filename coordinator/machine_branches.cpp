#include <algorithm>

#include "base/assert.hpp"
#include "coordinator/machine.hpp"
#include "speculation/planted.hpp"

namespace forerun {

namespace {

/// Nobody notices that a confirmed call waits so long.
constexpr Duration kill_cost_small = std::chrono::milliseconds(20);
/// Whatever a node says: no kill counts as longer.
constexpr Duration kill_time_max = std::chrono::minutes(1);

}  // namespace

void CoordinatorMachine::enqueue(Session& session, OpenStep& step, std::size_t index) {
  step.work.branches[index].state = BranchRun::State::queued;
  const std::string& pool = step.work.plan.tasks[index]->pool;
  PoolQueue& queue = queues_[pool];
  if (queue.branches.empty()) {
    queue.pace.begins(now_);
  }
  queue.branches.push_back({session.run_id, step.number, index, queued_ever_++});
  ++queue.waiting;
  ++queued_;
  confirmed_peak_.note(now_, confirmed_now());
}

/// Confirmed branches that run or wait for a slot.
std::size_t CoordinatorMachine::confirmed_now() const {
  return queued_ + branches_.size() - speculative_.size();
}

/// Where a kill takes long, confirmed work that finds no free slot waits for it. So many are left
/// free for it to grow again to what it was of late.
std::size_t CoordinatorMachine::slots_left_free() const {
  if (settings_.admission.kill_cost <= kill_cost_small) {
    return 0;
  }
  const std::size_t peak = confirmed_peak_.peak(now_);
  return peak - std::min(peak, confirmed_now());
}

bool CoordinatorMachine::pool_is_full(const std::string& pool) const {
  const Pool* limits = settings_.catalog.pool(pool);
  const auto running = pool_running_.find(pool);
  return limits != nullptr && running != pool_running_.end() &&
         running->second >= limits->in_flight_max;
}

/// Of the call that would wait longest for its slots; zero while too little is known, or so few
/// wait in its pools that one more may, whatever their pace.
Duration CoordinatorMachine::expected_wait(const std::vector<Call>& calls) const {
  Duration longest{};
  for (const Call& call : calls) {
    const auto plan = settings_.catalog.plan(call.task());
    for (std::size_t i = 0; plan && i < plan->tasks.size(); ++i) {
      const auto queue = queues_.find(plan->tasks[i]->pool);
      if (queue != queues_.end() && queue->second.waiting >= settings_.confirmed_waiting_free) {
        longest =
            std::max(longest, queue->second.pace.expected_wait(now_, queue->second.branches.size())
                                  .value_or(Duration::zero()));
      }
    }
  }
  return longest;
}

/// The step that a queued branch belongs to; null when it is not wanted any more.
OpenStep* CoordinatorMachine::step_of(const QueuedBranch& queued) {
  const auto at = sessions_.find(queued.run_id);
  OpenStep* step = at == sessions_.end() ? nullptr : at->second.open_step(queued.step);
  return step != nullptr && step->work.branches[queued.index].state == BranchRun::State::queued
             ? step
             : nullptr;
}

/// Of all pools that have room, the one whose next branch has waited longest; null when none has
/// one. What is not wanted any more leaves its queue.
CoordinatorMachine::PoolQueue* CoordinatorMachine::next_queue(
    const std::set<const PoolQueue*>& without) {
  PoolQueue* next = nullptr;
  for (auto& [pool, queue] : queues_) {
    while (!queue.branches.empty() && step_of(queue.branches.front()) == nullptr) {
      queue.branches.pop_front();
      queue.pace.leaves(now_);
    }
    if (queue.branches.empty() || without.contains(&queue) || pool_is_full(pool)) {
      continue;
    }
    if (next == nullptr || queue.branches.front().place < next->branches.front().place) {
      next = &queue;
    }
  }
  return next;
}

/// Gives free slots to confirmed branches, then makes room for those that still wait.
void CoordinatorMachine::pump() {
  std::set<const PoolQueue*> stuck;  // No worker has a slot for their next branch.
  while (PoolQueue* const queue = next_queue(stuck)) {
    const QueuedBranch next = queue->branches.front();
    Session& session = sessions_.at(next.run_id);
    OpenStep& step = *step_of(next);
    const auto worker = place(*step.work.plan.tasks[next.index], session.tenant);
    if (!worker) {
      stuck.insert(queue);
      continue;
    }
    queue->branches.pop_front();
    --queue->waiting;
    --queued_;
    queue->pace.leaves(now_);
    dispatch(session, step.work, next.index, {next.run_id, next.step, {}, next.index}, *worker,
             step.state);
  }
  if (queued_ > 0) {
    yield_rerun_slots();
  }
  if (queued_ > 0 && !speculative_.empty()) {
    preempt_for_queue();
  }
}

/// Confirmed work never waits behind speculation (design.md §4.2): the least valuable speculative
/// branches go.
void CoordinatorMachine::preempt_for_queue() {
  std::size_t on_the_way = stopping_.size();
  for (const auto& [pool, queue] : queues_) {
    for (std::size_t waiting = queue.branches.size(); waiting > 0 && !speculative_.empty();
         --waiting) {
      if (on_the_way > 0) {
        --on_the_way;
        continue;
      }
      const bool is_for_pool = pool_is_full(pool);
      const auto victim =
          std::find_if(speculative_.begin(), speculative_.end(), [&](const auto& candidate) {
            return !is_for_pool || pool_of_.at(candidate.second.value) == pool;
          });
      if (victim == speculative_.end()) {
        break;
      }
      const BranchRef ref = branches_.at(victim->second.value);
      discard(sessions_.at(ref.run_id), ref.speculation, DiscardCause::preempted);
    }
  }
}

/// Equally free workers take turns by a hash of the token that comes next.
std::optional<WorkerId> CoordinatorMachine::place(const Task& task, const std::string& tenant,
                                                  std::span<const NodeId> but) const {
  Membership::Wish wish;
  wish.now = now_;
  wish.draw = next_token_;
  wish.but = but;
  if (task.exec.resident) {
    wish.warm = warm_.of(tenant, task.name);
  }
  return membership_.place(ledger_.size(), wish);
}

/// A slot of this worker, and of the task's pool, until slot_is_free().
BranchToken CoordinatorMachine::take_slot(const Task& task, const WorkerId& worker,
                                          Duration timeout) {
  const BranchToken token{next_token_++};
  has_served_ = true;
  membership_.occupy(worker, token);
  ++pool_running_[task.pool];
  pool_of_[token.value] = task.pool;
  set_deadline(token, timeout);
  return token;
}

/// From now on. Beyond it the node is not believed any more.
void CoordinatorMachine::set_deadline(BranchToken token, Duration timeout) {
  const Instant deadline = now_ + timeout + settings_.result_grace;
  const auto [at, is_new] = deadline_of_.try_emplace(token.value, deadline);
  if (!is_new) {
    deadlines_.erase({at->second, token});
    at->second = deadline;
  }
  deadlines_.emplace(deadline, token);
}

/// Its slot is free when the worker says so; at once when the worker is gone.
void CoordinatorMachine::stop_on_worker(BranchToken token, const WorkerId& worker) {
  if (membership_.worker(worker) == nullptr) {
    slot_is_free(token);
    return;
  }
  stopping_[token] = {worker, now_, nullptr};
  send_to(worker, CancelBranch{ledger_.epoch(), token});
}

void CoordinatorMachine::dispatch(Session& session, Work& work, std::size_t index,
                                  const BranchRef& ref, const WorkerId& worker,
                                  const SessionState& state) {
  const Task& task = *work.plan.tasks[index];
  BranchRun& branch = work.branches[index];
  const Duration timeout = run_times_.timeout(task);
  const BranchToken token = take_slot(task, worker, timeout);
  branch.state = BranchRun::State::running;
  branch.token = token;
  branch.worker = worker;
  branch.started = now_;
  branch.is_speculative = !ref.step;
  ++branch.attempts;
  if (work.began == Instant{}) {
    work.began = now_;
  }
  branches_[token.value] = ref;
  if (branch.is_speculative) {
    speculative_.emplace(branch.value, token);
  } else {
    watch_slowness(branch, task);
  }
  send_to(worker, dispatch_of(session, work, ref, token, worker, state, timeout));
}

Dispatch CoordinatorMachine::dispatch_of(const Session& session, const Work& work,
                                         const BranchRef& ref, BranchToken token,
                                         const WorkerId& worker, const SessionState& state,
                                         Duration timeout) const {
  const Task& task = *work.plan.tasks[ref.index];
  Dispatch message;
  message.epoch = ledger_.epoch();
  message.token = token;
  message.worker = worker;
  message.tenant = session.tenant;
  message.owner.run_id = session.run_id;
  message.owner.step = ref.step;
  if (!ref.step) {
    message.owner.speculation = ref.speculation;
  }
  message.task = task.name;
  message.input = work.call.canonical_input();
  message.state = state.part(task.state).canonical();
  message.speculative = !ref.step;
  message.timeout = timeout;
  if (task.effect == Effect::write) {
    FORERUN_ASSERT(ref.step.has_value());
    message.outside_key = to_hex(session.open[ref.step->value - session.steps.count()].chain);
  }
  if (!session.world.empty()) {
    WorldPosition position;
    position.session = session.world;
    position.committed = session.steps.count();
    if (ref.step) {
      position.step = ref.step->value;
    }
    message.world = std::move(position);
  }
  return message;
}

/// A speculation was asked for: what still runs is confirmed work from now on.
void CoordinatorMachine::confirm_running(Session& session, OpenStep& step) {
  for (std::size_t i = 0; i < step.work.branches.size(); ++i) {
    BranchRun& branch = step.work.branches[i];
    if (branch.state != BranchRun::State::running) {
      continue;
    }
    stop_charging(step.work, branch);
    const Task& task = *step.work.plan.tasks[i];
    branches_[branch.token.value] = {session.run_id, step.number, {}, i};
    const Duration timeout = run_times_.timeout(task);
    set_deadline(branch.token, timeout);
    watch_slowness(branch, task);
    send_to(*branch.worker, ConfirmBranch{ledger_.epoch(), branch.token, step.number, timeout});
  }
}

void CoordinatorMachine::stop_charging(Work& work, BranchRun& branch) {
  if (branch.is_speculative) {
    branch.is_speculative = false;
    speculative_.erase({branch.value, branch.token});
    work.charged += now_ - branch.started;
  }
}

void CoordinatorMachine::forget_token(BranchToken token) {
  branches_.erase(token.value);
  if (const auto at = deadline_of_.find(token.value); at != deadline_of_.end()) {
    deadlines_.erase({at->second, token});
    deadline_of_.erase(at);
  }
}

void CoordinatorMachine::slot_is_free(BranchToken token) {
  if (const auto at = stopping_.find(token); at != stopping_.end()) {
    membership_.release(at->second.worker, token);
    stopping_.erase(at);
  }
  if (const auto pool = pool_of_.find(token.value); pool != pool_of_.end()) {
    --pool_running_[pool->second];
    pool_of_.erase(pool);
  }
}

void CoordinatorMachine::cancel_branch(Work& work, std::size_t index) {
  BranchRun& branch = work.branches[index];
  if (branch.state == BranchRun::State::queued) {
    branch.state = BranchRun::State::idle;  // Its place in the queue is skipped when it comes up.
    --queues_.at(work.plan.tasks[index]->pool).waiting;
    --queued_;
  } else if (branch.state == BranchRun::State::running) {
    if (branch.second) {
      stop_second_attempt(work, index);
    }
    unwatch_slowness(branch);
    run_times_.stopped(work.plan.tasks[index]->name, now_ - branch.started);
    const bool is_waste = branch.is_speculative;
    stop_charging(work, branch);
    forget_token(branch.token);
    // Also on a worker that is gone: whoever took it out goes through all of its tokens.
    stopping_[branch.token] = {*branch.worker, now_, work.plan.tasks[index], is_waste};
    send_to(*branch.worker, CancelBranch{ledger_.epoch(), branch.token});
    branch.state = BranchRun::State::idle;
  }
}

Work* CoordinatorMachine::work_of(const BranchRef& ref) {
  const auto at = sessions_.find(ref.run_id);
  if (at == sessions_.end()) {
    return nullptr;
  }
  if (ref.step) {
    OpenStep* step = at->second.open_step(*ref.step);
    return step == nullptr ? nullptr : &step->work;
  }
  const auto speculation = at->second.speculations.find(ref.speculation);
  return speculation == at->second.speculations.end() ? nullptr : &speculation->second.work;
}

/// How long a stopped function kept its slot.
void CoordinatorMachine::note_stop(const BranchEnded& ended) {
  const Task* task = nullptr;
  if (const auto at = stopping_.find(ended.token); at != stopping_.end()) {
    task = at->second.task;
  } else if (const auto ref = branches_.find(ended.token.value);
             ref != branches_.end() && ended.ending != Ending::returned) {
    const Work* work = work_of(ref->second);
    task = work == nullptr ? nullptr : work->plan.tasks[ref->second.index];
  }
  if (task != nullptr && task->executor == ExecutorKind::native &&
      overdue_.stopped(task->name, ended.freed_after)) {
    out_.log.push_back("task " + task->name + ": its function ignores that it is stopped (" +
                       std::to_string(overdue_max) + " of " + std::to_string(overdue_window) +
                       " stops took " + std::to_string(overdue_after.count() / 1000) +
                       " ms and more): it does not run ahead any more; it must look at its stop "
                       "token every few milliseconds");
  }
}

void CoordinatorMachine::settle(BranchToken token, const BranchEnded& ended) {
  if (const auto stopped = stopping_.find(token); stopped != stopping_.end()) {
    if (stopped->second.is_waste) {
      const Duration held = std::clamp(ended.freed_after, Duration::zero(), kill_time_max);
      budget_.spent(held);
      counters_.wasted += held;
      counters_.wasted_in_kills += held;
    }
    slot_is_free(token);
    return;
  }
  if (settle_rerun(token, ended) || settle_effect(token, ended)) {
    return;
  }
  const auto at = branches_.find(token.value);
  if (at == branches_.end()) {
    return;
  }
  const BranchRef ref = at->second;
  Work* work = work_of(ref);
  FORERUN_ASSERT(work != nullptr);
  if (goes_on_after(ref, *work, token, ended.ending)) {
    return;
  }
  BranchRun& branch = work->branches[ref.index];
  unwatch_slowness(branch);
  stop_charging(*work, branch);
  learn_run_time(sessions_.at(ref.run_id), *work->plan.tasks[ref.index], branch, ended.ending);
  forget_token(token);
  membership_.release(*branch.worker, token);
  slot_is_free(token);
  settle_owner(ref, ended);
}

void CoordinatorMachine::learn_run_time(const Session& session, const Task& task,
                                        const BranchRun& branch, Ending ending) {
  const Duration ran = now_ - branch.started;
  if (ending == Ending::returned || ending == Ending::timed_out) {
    run_times_.ended(task.name, ran);
  } else if (ending == Ending::expired) {
    run_times_.stopped(task.name, ran);
  }
  if (ending == Ending::returned && task.exec.resident) {
    warm_.answered(session.tenant, task.name, *branch.worker);
  }
}

/// The node is gone, or is not believed any more: the branch's run tells nothing about its
/// validity.
void CoordinatorMachine::lost_branch(BranchToken token, const std::string& why) {
  if (lose_rerun(token, why) || lose_effect(token)) {
    return;
  }
  const auto at = branches_.find(token.value);
  FORERUN_ASSERT(at != branches_.end());
  const BranchRef ref = at->second;
  Work* work = work_of(ref);
  FORERUN_ASSERT(work != nullptr);
  BranchRun& branch = work->branches[ref.index];
  if (branch.second) {
    const WorkerId worker = branch.second->token == token ? branch.second->worker : *branch.worker;
    leave_to_other_attempt(ref, *work, token);
    stop_on_worker(token, worker);
    return;
  }
  unwatch_slowness(branch);
  stop_charging(*work, branch);
  forget_token(token);
  stop_on_worker(token, *branch.worker);
  BranchEnded ended;
  ended.token = token;
  ended.ending = Ending::lost;
  ended.cause = why;
  settle_owner(ref, ended);
}

/// Tells the step or the speculation that a branch works for how its run ended.
void CoordinatorMachine::settle_owner(const BranchRef& ref, const BranchEnded& ended) {
  Session& session = sessions_.at(ref.run_id);
  if (ref.step) {
    settle_step_branch(session, *session.open_step(*ref.step), ref.index, ended);
  } else {
    settle_speculative_branch(session, ref.speculation, ref.index, ended);
  }
}

void CoordinatorMachine::record_result(Work& work, std::size_t index, const BranchEnded& ended) {
  BranchRun& branch = work.branches[index];
  branch.state = BranchRun::State::settled;
  branch.latency = ended.latency;
  branch.valid = false;
  branch.cause = json::clean_text(ended.cause, cause_bytes_max);  // It becomes part of a leaf.
  if (ended.ending == Ending::returned) {
    auto output = Output::parse(ended.output);
    auto writes = write_set_of(ended.writes);
    auto effects = effect_list_of(ended.effects, settings_.catalog);
    if (!output) {
      branch.cause = "output: " + output.error().message;
    } else if (!writes) {
      branch.cause = writes.error().message;
    } else if (!effects) {
      branch.cause = json::clean_text(effects.error().message, cause_bytes_max);
    } else if (work.plan.race != nullptr &&
               !output_is_valid(work.plan.race->valid, work.plan.names[index], output->value())) {
      branch.cause = "a `valid` condition of race " + work.plan.race->name + " does not hold";
    } else {
      branch.valid = true;
      branch.output = std::move(*output);
      branch.writes = std::move(*writes);
      branch.effects = std::move(*effects);
    }
  } else if (branch.cause.empty()) {
    branch.cause = "failed without a cause";
  }
  work.arrival.push_back(index);
}

void CoordinatorMachine::settle_step_branch(Session& session, OpenStep& step, std::size_t index,
                                            const BranchEnded& ended) {
  const Task& task = *step.work.plan.tasks[index];
  BranchRun& branch = step.work.branches[index];
  const bool is_own_doing = ended.ending == Ending::returned || ended.ending == Ending::failed ||
                            (ended.ending == Ending::timed_out && task.effect != Effect::write);
  if (!is_own_doing) {
    const bool may_run_again =
        task.effect != Effect::write || task.idempotent || planted(Bug::write_repeated);
    if (may_run_again && branch.attempts < settings_.attempts_max) {
      enqueue(session, step, index);
      return;
    }
    BranchEnded given_up = ended;
    given_up.ending = Ending::failed;
    given_up.cause =
        (may_run_again ? "gave up after " + std::to_string(branch.attempts) + " attempts: "
                       : std::string("unknown: the write may have taken effect: ")) +
        ended.cause;
    record_result(step.work, index, given_up);
  } else {
    record_result(step.work, index, ended);
  }
  decide(session, step);
  if (step.phase == OpenStep::Phase::running) {
    run_idle_branches(session, step);
  }
  after_decision(session);
}

void CoordinatorMachine::settle_speculative_branch(Session& session, SpeculationNumber number,
                                                   std::size_t index, const BranchEnded& ended) {
  Speculation& speculation = session.speculations.at(number);
  if (ended.ending != Ending::returned && ended.ending != Ending::failed) {
    // Not its own doing, so it says nothing; it may be predicted again.
    speculation.work.branches[index].state = BranchRun::State::idle;
    discard(session, number,
            ended.ending == Ending::expired ? DiscardCause::expired : DiscardCause::failed);
    look_ahead_later(session);
    return;
  }
  record_result(speculation.work, index, ended);
  if (!speculation.is_finished()) {
    return;
  }
  const auto& branches = speculation.work.branches;
  if (std::none_of(branches.begin(), branches.end(),
                   [](const BranchRun& b) { return b.valid.value_or(false); })) {
    discard(session, number, DiscardCause::failed);
  } else if (branches.size() == 1) {
    settle_premises(
        session, [number](const Speculation& child) { return child.parent == number; },
        branches.front().output->hash());
    if (branches.front().writes) {
      drop_conflicts(session);
    }
  }
  limit_kept(session);
  look_ahead_later(session);
}

}  // namespace forerun
