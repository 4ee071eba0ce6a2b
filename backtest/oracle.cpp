#include "backtest/oracle.hpp"

#include <algorithm>

#include "backtest/run_backtest.hpp"
#include "backtest/sessions.hpp"

namespace forerun {

namespace {

using prediction::hash_text;
using prediction::Key;
using prediction::mix;

constexpr double sure = 0.999;

}  // namespace

void Oracle::follow(const RunId& session, const TraceSession& record) {
  Followed& followed = sessions_[session];
  followed.record = &record;
  followed.values = std::make_unique<RecordedValues>(record);
}

void Oracle::text(const RunId& session, std::string_view, std::string_view) {
  ++sessions_[session].texts;
}

void Oracle::observe(const RunId& session, std::string_view tenant, const Call& call,
                     const std::optional<Output>&) {
  Followed& followed = sessions_[session];
  ++followed.steps;
  followed.texts = 0;
  if (learns_) {
    for (const ArgumentValue& value : argument_values(call)) {
      used_.insert(mix(hash_text(tenant), value.place));
    }
  }
}

/// Whether the step's call cannot be known yet, where all calls before it are.
bool Oracle::lacks(const Followed& followed, std::size_t next, const Question& question) const {
  const TraceSession& record = *followed.record;
  // What reached the session before its first step is there from its beginning.
  const auto has_come = [&](std::size_t step, std::size_t text) {
    return step < followed.steps || step == 0 || (step == followed.steps && text < followed.texts);
  };
  if (record.steps[next].call.task() == model_task) {
    // It stands for all that was said.
    for (std::size_t i = followed.steps; i <= next; ++i) {
      if (!record.steps[i].texts.empty() && !has_come(i, record.steps[i].texts.size() - 1)) {
        return true;
      }
    }
    return false;
  }
  const auto is_known = [&](const RecordedValues::Source& source) {
    if (source.text != RecordedValues::Source::output) {
      return has_come(source.step, source.text);
    }
    return source.step < followed.steps ||
           question.beyond[source.step - followed.steps].output.has_value();
  };
  const Key tenant = hash_text(tenant_of(record));
  for (const RecordedValues::Wanted& wanted : followed.values->wanted(next)) {
    if (wanted.value->known_before <= next) {
      continue;
    }
    bool is_to_come = false;
    for (const RecordedValues::Source& source : wanted.value->sources) {
      const bool is_text = source.text != RecordedValues::Source::output;
      if (source.step > next || (source.step == next && !is_text)) {
        break;
      }
      if (is_known(source)) {
        is_to_come = false;
        break;
      }
      is_to_come = is_to_come || is_text || source.is_whole;
    }
    if (is_to_come && !used_.contains(mix(tenant, wanted.place))) {
      return true;
    }
  }
  return false;
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
  for (std::size_t i = 0; i < question.beyond.size(); ++i) {
    if (!(question.beyond[i].call == record.steps[followed.steps + i].call)) {
      return {};
    }
  }
  const TraceStep& step = record.steps[next];
  if (lacks(followed, next, question) || (question.wants && !question.wants(step.call.task()))) {
    return {};
  }
  return {{step.call, sure, std::nullopt, 1, {"recorded"}}};
}

}  // namespace forerun
