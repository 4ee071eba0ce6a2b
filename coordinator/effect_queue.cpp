#include "coordinator/effect_queue.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace forerun {

void EffectQueue::add(EffectRow row, std::vector<TagSet> dirty, bool is_durable) {
  const EffectId id = row.id;
  Item item{std::move(row), std::move(dirty), is_durable};
  if (item.row.is_parked) {
    item.state = State::parked;
    ++parked_;
  }
  FORERUN_ASSERT(items_.emplace(id, std::move(item)).second);
  offer_first(id.run_id);
}

void EffectQueue::durable(const EffectId& id) {
  if (const auto at = items_.find(id); at != items_.end()) {
    at->second.is_durable = true;
    offer_first(id.run_id);
  }
}

/// The first effect of the session is due when it may be; no other is.
void EffectQueue::offer_first(const RunId& run_id) {
  const auto first = items_.lower_bound({run_id, {}, 0});
  if (first != items_.end() && first->first.run_id == run_id && first->second.is_durable &&
      first->second.state == State::waiting) {
    due_.emplace(first->second.due, first->first);
  }
}

std::vector<EffectId> EffectQueue::due(Instant now) const {
  std::vector<EffectId> ids;
  for (const auto& [at, id] : due_) {
    if (at > now) {
      break;
    }
    ids.push_back(id);
  }
  return ids;
}

std::optional<Instant> EffectQueue::next_due() const {
  return due_.empty() ? std::optional<Instant>() : due_.begin()->first;
}

const EffectQueue::Item* EffectQueue::find(const EffectId& id) const {
  const auto at = items_.find(id);
  return at == items_.end() ? nullptr : &at->second;
}

const EffectQueue::Item* EffectQueue::running(BranchToken token) const {
  const auto at = running_.find(token.value);
  return at == running_.end() ? nullptr : find(at->second);
}

void EffectQueue::started(const EffectId& id, BranchToken token, const WorkerId& worker,
                          Instant now) {
  Item& item = items_.at(id);
  FORERUN_ASSERT(due_.erase({item.due, id}) == 1);
  item.state = State::running;
  item.token = token;
  item.worker = worker;
  item.started = now;
  running_.emplace(token.value, id);
}

void EffectQueue::wait_until(Item& item, Instant due) {
  running_.erase(item.token.value);
  item.worker.reset();
  item.state = State::waiting;
  item.due = due;
  offer_first(item.row.id.run_id);
}

void EffectQueue::lost(const EffectId& id, Instant now) {
  wait_until(items_.at(id), now + settings_.retry_first);
}

bool EffectQueue::failed(const EffectId& id, Instant now, std::string cause) {
  Item& item = items_.at(id);
  item.row.cause = std::move(cause);
  if (++item.row.attempts >= settings_.attempts_max) {
    running_.erase(item.token.value);
    item.worker.reset();
    item.state = State::parked;
    item.row.is_parked = true;
    ++parked_;
    return true;
  }
  Duration wait = settings_.retry_first;
  for (std::uint32_t i = 1; i < item.row.attempts && wait < settings_.retry_max; ++i) {
    wait *= 2;
  }
  wait_until(item, now + std::min(wait, settings_.retry_max));
  return false;
}

void EffectQueue::redrive(const EffectId& id, Instant now) {
  Item& item = items_.at(id);
  FORERUN_ASSERT(item.state == State::parked);
  --parked_;
  item.state = State::waiting;
  item.row.is_parked = false;
  item.row.attempts = 0;
  item.due = now;
  offer_first(id.run_id);
}

EffectQueue::Item EffectQueue::take(const EffectId& id) {
  const auto at = items_.find(id);
  FORERUN_ASSERT(at != items_.end());
  Item item = std::move(at->second);
  items_.erase(at);
  due_.erase({item.due, id});
  if (item.state == State::running) {
    running_.erase(item.token.value);
  }
  parked_ -= item.state == State::parked ? 1 : 0;
  offer_first(id.run_id);
  return item;
}

}  // namespace forerun
