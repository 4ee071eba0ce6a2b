#include <algorithm>
#include <utility>

#include "base/assert.hpp"
#include "coordinator/machine.hpp"
#include "speculation/effects.hpp"
#include "speculation/planted.hpp"

namespace forerun {
namespace {

const char* name_of(EffectQueue::State state) {
  switch (state) {
    case EffectQueue::State::waiting:
      return "waiting";
    case EffectQueue::State::running:
      return "running";
    case EffectQueue::State::parked:
      return "parked";
  }
  FORERUN_ASSERT(false);
}

std::string place_of(const EffectId& id) {
  return "effect " + std::to_string(id.index) + " of step " + to_string(id.step) + " of " +
         to_string(id.run_id);
}

json::Value value_of(const EffectQueue::Item& item) {
  json::Object out;
  out.set("run_id", to_string(item.row.id.run_id));
  out.set("step", std::uint64_t{item.row.id.step.value});
  out.set("index", std::uint64_t{item.row.id.index});
  out.set("key", item.row.key);
  out.set("state", name_of(item.state));
  out.set("attempts", std::uint64_t{item.row.attempts});
  out.set("cause", item.row.cause);
  out.set("effect", json::parse(item.row.effect).value_or(json::Value()));
  return out;
}

}  // namespace

/// What may change outside until the effect is delivered: what its step writes, and what its task
/// does. Of a request that no write asked for nobody knows.
std::vector<TagSet> CoordinatorMachine::effect_tags(const EffectRow& row, const Task* task,
                                                    const json::Object* input) const {
  const std::string run_id = to_string(row.id.run_id);
  std::vector<TagSet> tags;
  TagSet everything;
  everything.space = "tenant:" + row.tenant;
  everything.everything = true;
  if (task != nullptr && task->effect == Effect::write && input != nullptr) {
    tags.push_back(write_tags(*task, *input, row.tenant, run_id));
  }
  const auto effect = json::parse(row.effect);
  const auto call = effect ? task_effect_of(*effect) : std::nullopt;
  const Task* called = call ? settings_.catalog.task(call->task()) : nullptr;
  if (called != nullptr) {
    tags.push_back(write_tags(*called, call->input(), row.tenant, run_id));
  } else if (tags.empty()) {
    tags.push_back(std::move(everything));
  }
  return tags;
}

/// Those of a step that is being committed: durable with its decision, tried after it.
void CoordinatorMachine::add_effects(const Session& session, const OpenStep& step) {
  const EffectList* effects = step.effects();
  if (effects == nullptr || !settings_.effects.delivers) {
    return;
  }
  const Task* task = step.work.plan.tasks.front();
  for (std::uint32_t i = 0; i < effects->items.size(); ++i) {
    EffectRow row{{session.run_id, step.number, i},
                  session.tenant,
                  effect_key(step.chain, i),
                  effects->items[i].canonical(),
                  false,
                  0,
                  {}};
    std::vector<TagSet> dirty = effect_tags(row, task, &step.work.call.input());
    for (const TagSet& tags : dirty) {
      mark_dirty(tags);
      drop_conflicting(tags);
    }
    release_.effects.push_back(row.id);
    batch_.effects.push_back(row);
    effects_.add(std::move(row), std::move(dirty), planted(Bug::effect_before_decision));
  }
}

/// An effect that a term before this one did not see delivered. `entry` is its step's, if there is
/// one.
void CoordinatorMachine::restore_effect(const EffectRow& row, const std::string* call_text) {
  if (planted(Bug::effect_forgotten)) {
    return;
  }
  const auto call = call_text == nullptr ? Result<Call>(fail(Errc::not_found, "no entry"))
                                         : Call::parse(*call_text);
  const Task* task = call ? settings_.catalog.task(call->task()) : nullptr;
  std::vector<TagSet> dirty = effect_tags(row, task, call ? &call->input() : nullptr);
  for (const TagSet& tags : dirty) {
    mark_dirty(tags);
  }
  effects_.add(row, std::move(dirty), true);
}

/// Effects come before new steps, in a share of the slots, so that neither starves.
void CoordinatorMachine::pump_effects() {
  const std::size_t most = std::max<std::size_t>(1, membership_.total_slots() / 4);
  for (const EffectId& id : effects_.due(now_)) {
    if (effects_.running_count() >= most) {
      return;
    }
    const auto effect = json::parse(effects_.find(id)->row.effect);
    const auto call = effect ? task_effect_of(*effect) : std::nullopt;
    const Task* task = call ? settings_.catalog.task(call->task()) : &http_effect_;
    if (!effect || task == nullptr) {
      park_or_retry(id, "the catalog has no such task any more");
      continue;
    }
    if (pool_is_full(task->pool)) {
      continue;
    }
    const auto worker = place(*task, effects_.find(id)->row.tenant);
    if (!worker) {
      yield_rerun_slots();
      if (stopping_.empty() && !speculative_.empty()) {
        const BranchRef ref = branches_.at(speculative_.begin()->second.value);
        discard(sessions_.at(ref.run_id), ref.speculation, DiscardCause::preempted);
      }
      return;
    }
    dispatch_effect(id, *task, call, *worker);
  }
}

void CoordinatorMachine::dispatch_effect(const EffectId& id, const Task& task,
                                         const std::optional<Call>& call, const WorkerId& worker) {
  const EffectRow& row = effects_.find(id)->row;
  Dispatch message;
  message.epoch = ledger_.epoch();
  message.timeout = run_times_.timeout(task);
  message.token = take_slot(task, worker, message.timeout);
  message.worker = worker;
  message.tenant = row.tenant;
  message.owner.effect = true;
  if (call) {
    message.task = call->task();
    message.input = call->canonical_input();
  } else {
    message.http = row.effect;
    message.input = "{}";
  }
  message.state = "{}";
  message.outside_key = row.key;
  if (planted(Bug::effect_key_changes)) {
    message.outside_key += "-" + std::to_string(row.attempts);
  }
  effects_.started(id, message.token, worker, now_);
  send_to(worker, std::move(message));
}

void CoordinatorMachine::park_or_retry(const EffectId& id, const std::string& cause) {
  if (effects_.failed(id, now_, json::clean_text(cause, cause_bytes_max))) {
    batch_.effects.push_back(effects_.find(id)->row);
    out_.log.push_back(place_of(id) + ": parked after " +
                       std::to_string(settings_.effects.attempts_max) + " attempts: " + cause +
                       ": see `forerun effects list`, then redrive or drop it");
  }
}

/// Delivered or dropped: what it may have changed outside is settled.
void CoordinatorMachine::end_effect(const EffectId& id) {
  const EffectQueue::Item item = effects_.take(id);
  for (const TagSet& tags : item.dirty) {
    mark_clean(tags);
  }
  batch_.effects_ended.push_back(id);
}

/// The effect that runs under this token, which names it no more.
std::optional<CoordinatorMachine::RunningEffect> CoordinatorMachine::forget_running_effect(
    BranchToken token) {
  const EffectQueue::Item* item = effects_.running(token);
  if (item == nullptr) {
    return std::nullopt;
  }
  const RunningEffect effect{item->row.id, *item->worker};
  forget_token(token);
  return effect;
}

bool CoordinatorMachine::settle_effect(BranchToken token, const BranchEnded& ended) {
  const auto effect = forget_running_effect(token);
  if (!effect) {
    return false;
  }
  membership_.release(effect->worker, token);
  slot_is_free(token);
  // No entry will name it, so the node is told to forget its result.
  send_to(effect->worker, CancelBranch{ledger_.epoch(), token});
  switch (ended.ending) {
    case Ending::returned:
      ++counters_.effects_delivered;
      end_effect(effect->id);
      break;
    case Ending::failed:
    case Ending::timed_out:
      park_or_retry(effect->id, ended.cause.empty() ? "failed without a cause" : ended.cause);
      break;
    case Ending::expired:
    case Ending::cancelled:
    case Ending::lost:
      effects_.lost(effect->id, now_);
      break;
  }
  return true;
}

/// Its node is gone, or is not believed any more: it may have been delivered, so it is again.
bool CoordinatorMachine::lose_effect(BranchToken token) {
  const auto effect = forget_running_effect(token);
  if (!effect) {
    return false;
  }
  stop_on_worker(token, effect->worker);
  effects_.lost(effect->id, now_);
  return true;
}

void CoordinatorMachine::show(const ClientRequest& request, const ShowEffects&) {
  json::Array list;
  std::uint64_t waiting = 0;
  std::uint64_t parked = 0;
  for (const auto& [id, item] : effects_.items()) {
    const bool is_shown = item.is_durable || planted(Bug::effect_shown_too_early);
    if (item.row.tenant != request.tenant || !is_shown) {
      continue;  // What a crash may undo nobody is told.
    }
    ++(item.state == EffectQueue::State::parked ? parked : waiting);
    if (list.size() < settings_.effects.shown_max) {
      list.push_back(value_of(item));
    }
  }
  json::Object report;
  report.set("waiting", waiting);
  report.set("parked", parked);
  report.set("left_out", waiting + parked - std::uint64_t{list.size()});
  report.set("effects", std::move(list));
  reply(request.id, JsonReport{std::move(report)});
}

void CoordinatorMachine::change_effects(const ClientRequest& request, const ChangeEffects& body) {
  const bool drops = body.change == ChangeEffects::Change::drop;
  std::vector<EffectId> ids;
  if (body.id) {
    const EffectQueue::Item* item = effects_.find(*body.id);
    if (item == nullptr || item->row.tenant != request.tenant) {
      refuse(request.id, Refusal::not_found,
             place_of(*body.id) + ": not there: delivered, dropped, or never asked for");
      return;
    }
    if (item->state != EffectQueue::State::parked) {
      refuse(request.id, Refusal::conflict,
             place_of(*body.id) + ": " + name_of(item->state) + ", expected one that is parked");
      return;
    }
    ids.push_back(*body.id);
  } else {
    for (const auto& [id, item] : effects_.items()) {
      if (item.row.tenant == request.tenant && item.state == EffectQueue::State::parked) {
        ids.push_back(id);
      }
    }
  }
  for (const EffectId& id : ids) {
    if (drops) {
      out_.log.push_back(place_of(id) + ": dropped by an operator");
      end_effect(id);
    } else {
      effects_.redrive(id, now_);
      if (!planted(Bug::redrive_not_kept)) {
        batch_.effects.push_back(effects_.find(id)->row);
      }
    }
  }
  json::Object report;
  report.set(drops ? "dropped" : "redriven", std::uint64_t{ids.size()});
  reply_when_durable(request.id, JsonReport{std::move(report)});
}

}  // namespace forerun
