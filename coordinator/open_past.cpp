#include "coordinator/open_past.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace forerun {

void OpenPast::commit(const StoredEntry& entry) {
  Step step{*entry.step, entry.call, entry.output};
  bytes_ += step.bytes();
  ++step_count_;
  sessions_[*entry.run_id].steps.push_back(std::move(step));
  order_.push_back(*entry.run_id);
  while (step_count_ > limits_.steps_max || bytes_ > limits_.bytes_max) {
    drop_oldest();
  }
}

void OpenPast::drop_oldest() {
  const auto session = sessions_.find(order_.front());
  take_step(session->second);
  if (session->second.steps.empty()) {
    sessions_.erase(session);
  }
  order_.pop_front();
}

OpenPast::Step OpenPast::take_step(Session& session) {
  Step step = std::move(session.steps.front());
  session.steps.pop_front();
  --step_count_;
  bytes_ -= step.bytes();
  return step;
}

void OpenPast::open(const SessionRow& session, std::vector<TextRow> texts) {
  Session& past = sessions_[session.run_id];
  past.is_open = true;
  past.tenant = session.tenant;
  past.context = session.context;
  past.texts.assign(std::make_move_iterator(texts.begin()), std::make_move_iterator(texts.end()));
}

void OpenPast::settle() {
  order_ = {};
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    Session& session = at->second;
    while (!session.is_open && !session.steps.empty()) {
      take_step(session);
    }
    at = session.is_open ? std::next(at) : sessions_.erase(at);
  }
}

void OpenPast::add(Lesson lesson) {
  step_count_ += is_step(lesson) ? 1 : 0;
  sessions_.at(lesson.run_id).since.push_back(std::move(lesson));
}

std::uint64_t OpenPast::steps(const RunId& run_id) const {
  const auto at = sessions_.find(run_id);
  if (at == sessions_.end()) {
    return 0;
  }
  const Session& session = at->second;
  return session.steps.size() + static_cast<std::uint64_t>(std::count_if(
                                    session.since.begin(), session.since.end(), is_step));
}

std::optional<Lesson> OpenPast::next() {
  while (!sessions_.empty()) {
    if (auto lesson = next(RunId(sessions_.begin()->first))) {
      return lesson;
    }
  }
  return std::nullopt;
}

std::optional<Lesson> OpenPast::next(const RunId& run_id) {
  const auto at = sessions_.find(run_id);
  if (at == sessions_.end()) {
    return std::nullopt;
  }
  Session& session = at->second;
  if (session.context) {
    Lesson lesson{run_id, session.tenant, std::move(*session.context)};
    session.context.reset();
    return lesson;
  }
  for (;;) {
    const bool has_text = !session.texts.empty();
    if (has_text &&
        (session.steps.empty() || session.texts.front().before <= session.steps.front().number)) {
      Lesson lesson{run_id, session.tenant, std::move(session.texts.front().text)};
      session.texts.pop_front();
      return lesson;
    }
    if (session.steps.empty() && !session.since.empty()) {
      Lesson lesson = std::move(session.since.front());
      session.since.pop_front();
      step_count_ -= is_step(lesson) ? 1 : 0;
      return lesson;
    }
    if (session.steps.empty()) {
      sessions_.erase(at);
      return std::nullopt;
    }
    const Step step = take_step(session);
    if (auto call = Call::parse(step.call)) {
      auto output = Output::parse(step.output);
      return Lesson{run_id, session.tenant,
                    Lesson::Step{std::move(*call),
                                 output ? std::optional(std::move(*output)) : std::nullopt}};
    }
  }
}

}  // namespace forerun
