#include "backtest/oracle.hpp"

#include <set>

#include "base/json.hpp"

namespace forerun {

namespace {

constexpr double sure = 0.999;

/// Shorter texts and small numbers occur everywhere and tell nothing about where they come from.
constexpr std::size_t telling_bytes = 3;

void collect(const json::Value& value, std::set<std::string>& scalars) {
  if (const json::Array* array = value.array()) {
    for (const json::Value& element : *array) {
      collect(element, scalars);
    }
  } else if (const json::Object* object = value.object()) {
    for (const json::Member& member : *object) {
      scalars.insert(member.name);
      collect(member.value, scalars);
    }
  } else {
    std::string text;
    if (const std::string* string = value.string()) {
      text = *string;
    } else if (value.number() != nullptr) {
      text = json::canonical(value);
    }
    if (text.size() >= telling_bytes) {
      scalars.insert(std::move(text));
    }
  }
}

/// The call needs what only these outputs hold.
bool needs(const TraceSession& record, std::size_t next, const std::vector<std::size_t>& open) {
  if (open.empty()) {
    return false;
  }
  std::set<std::string> fresh;
  for (const std::size_t step : open) {
    collect(record.steps[step].output, fresh);
  }
  std::set<std::string> wanted;
  for (const json::Member& member : record.steps[next].call.input()) {
    collect(member.value, wanted);
  }
  std::erase_if(wanted, [&](const std::string& value) { return !fresh.contains(value); });
  if (wanted.empty()) {
    return false;
  }
  // Known from elsewhere: from the texts, earlier calls, or outputs that are there.
  std::string texts = record.context;
  std::set<std::string> known;
  for (std::size_t i = 0; i <= next; ++i) {
    for (const std::string& text : record.steps[i].texts) {
      texts += '\n';
      texts += text;
    }
    if (i == next) {
      break;
    }
    for (const json::Member& member : record.steps[i].call.input()) {
      collect(member.value, known);
    }
    if (std::find(open.begin(), open.end(), i) == open.end()) {
      collect(record.steps[i].output, known);
    }
  }
  for (const std::string& value : wanted) {
    if (!known.contains(value) && texts.find(value) == std::string::npos) {
      return true;
    }
  }
  return false;
}

}  // namespace

void Oracle::follow(const RunId& session, const TraceSession& record) {
  sessions_[session].record = &record;
}

void Oracle::text(const RunId& session, std::string_view, std::string_view) {
  ++sessions_[session].texts;
}

void Oracle::observe(const RunId& session, std::string_view, const Call&,
                     const std::optional<Output>&) {
  Followed& followed = sessions_[session];
  ++followed.steps;
  followed.texts = 0;
}

std::vector<Prediction> Oracle::predict(const RunId& session, const Question& question) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end() || found->second.record == nullptr) {
    return {};
  }
  const Followed& followed = found->second;
  const TraceSession& record = *followed.record;
  const std::size_t next = followed.steps + question.beyond.size();
  if (next >= record.steps.size()) {
    return {};
  }
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < question.beyond.size(); ++i) {
    if (!(question.beyond[i].call == record.steps[followed.steps + i].call)) {
      return {};
    }
    if (!question.beyond[i].output) {
      open.push_back(followed.steps + i);
    }
  }
  // Text before the very next step has come when it was handed over; any later one has not.
  const bool lacks_text =
      question.beyond.empty()
          ? record.steps[next].texts.size() > followed.texts && followed.steps > 0
          : !record.steps[next].texts.empty();
  const TraceStep& step = record.steps[next];
  if (lacks_text || needs(record, next, open) ||
      (question.wants && !question.wants(step.call.task()))) {
    return {};
  }
  return {{step.call, sure, std::nullopt, 1, {"recorded"}}};
}

}  // namespace forerun
