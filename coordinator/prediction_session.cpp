#include "coordinator/prediction_session.hpp"

#include <algorithm>

namespace forerun::prediction {

void Session::forget(SessionMemory::Dropped dropped) {
  const std::size_t end = dropped.from + dropped.count;
  const auto at = [&](std::size_t n) {
    return forms.begin() + static_cast<std::ptrdiff_t>(std::min(n, forms.size()));
  };
  forms.erase(at(dropped.from), at(end));
  turn_from = turn_from >= end ? turn_from - dropped.count : std::min(turn_from, dropped.from);
}

PastSession Session::done_from(std::size_t first) const {
  PastSession past;
  const std::vector<SeenStep>& steps = memory.steps();
  const std::size_t end = std::min(steps.size(), forms.size());
  for (std::size_t i = first; i < end && past.tasks.size() < PastSessions::steps_max; ++i) {
    past.tasks.push_back(steps[i].task);
    past.forms.push_back(forms[i]);
  }
  return past;
}

Session* Sessions::find(const RunId& id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &*found->second;
}

Session* Sessions::use(const RunId& id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) {
    return nullptr;
  }
  sessions_.splice(sessions_.begin(), sessions_, found->second);
  return &sessions_.front();
}

Session& Sessions::add(const RunId& id, Key tenant, std::string tenant_name) {
  sessions_.push_front(Session{id, tenant, std::move(tenant_name), SessionMemory(limits_.each)});
  by_id_.emplace(id, sessions_.begin());
  return sessions_.front();
}

void Sessions::count_bytes(Session& session) {
  bytes_ -= session.bytes;
  session.bytes = session.memory.bytes();
  bytes_ += session.bytes;
  while (sessions_.size() > 1 && (sessions_.size() > limits_.sessions || bytes_ > limits_.bytes)) {
    erase(std::prev(sessions_.end()));
  }
}

void Sessions::erase(const RunId& id) {
  if (const auto found = by_id_.find(id); found != by_id_.end()) {
    erase(found->second);
  }
}

void Sessions::erase_all_of(std::string_view tenant_name) {
  for (auto session = sessions_.begin(); session != sessions_.end();) {
    session = session->tenant_name == tenant_name ? erase(session) : std::next(session);
  }
}

Sessions::List::iterator Sessions::erase(List::iterator at) {
  bytes_ -= at->bytes;
  by_id_.erase(at->id);
  return sessions_.erase(at);
}

}  // namespace forerun::prediction
