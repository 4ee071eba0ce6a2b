#include "coordinator/remembered_predictions.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace forerun {

namespace {

using prediction::Key;
using prediction::mix;

constexpr Key at_text = 0x21;
constexpr Key at_output = 0x22;
constexpr Key at_failure = 0x23;
constexpr Key at_open = 0x24;

Key key_of(const Digest& digest) {
  Key key = 0;
  for (std::size_t i = 0; i < sizeof key; ++i) {
    key = key << 8U | digest.bytes[i];
  }
  return key;
}

Key key_of(const RunId& session) {
  Key high = 0;
  Key low = 0;
  const auto& bytes = session.home.uuid.bytes;
  for (std::size_t i = 0; i < sizeof high; ++i) {
    high = high << 8U | bytes[i];
    low = low << 8U | bytes[i + sizeof high];
  }
  return mix(high, low, session.counter);
}

}  // namespace

RememberedPredictions::RememberedPredictions(std::unique_ptr<Predictor> predictor)
    : predictor_(std::move(predictor)), places_(sessions_max), answers_(answers_max) {}

void RememberedPredictions::text(const RunId& session, std::string_view tenant,
                                 std::string_view text) {
  Key& place = places_.touch(key_of(session));
  place = mix(place, at_text, prediction::hash_text(text));
  predictor_->text(session, tenant, text);
}

void RememberedPredictions::observe(const RunId& session, std::string_view tenant, const Call& call,
                                    const std::optional<Output>& output) {
  Key& place = places_.touch(key_of(session));
  place =
      mix(place, key_of(call.hash()), output ? mix(at_output, key_of(output->hash())) : at_failure);
  steps_ += learns_ ? 1 : 0;
  predictor_->observe(session, tenant, call, output);
}

void RememberedPredictions::end(const RunId& session) {
  predictor_->end(session);
}

void RememberedPredictions::forget(std::string_view tenant) {
  answers_ = prediction::BoundedTable<Answer>(answers_max);
  predictor_->forget(tenant);
}

void RememberedPredictions::declare(const DeclaredTasks& tasks) {
  answers_ = prediction::BoundedTable<Answer>(answers_max);
  predictor_->declare(tasks);
}

void RememberedPredictions::set_learning(bool learns) {
  learns_ = learns;
  predictor_->set_learning(learns);
}

bool RememberedPredictions::serves(const Answer& answer, const RunId& session,
                                   const Question& question) const {
  return answer.session == session && answer.probability_min <= question.probability_min &&
         answer.limit >= question.limit &&
         steps_ - answer.steps <= steps_min + answer.steps / share;
}

std::vector<Prediction> RememberedPredictions::predict(const RunId& session,
                                                       const Question& question) const {
  const Key run = key_of(session);
  const Key* known = places_.find(run);
  if (known == nullptr || question.explains) {
    return predictor_->predict(session, question);
  }
  Key place = *known;
  for (const ImaginedStep& step : question.beyond) {
    place = mix(place, key_of(step.call.hash()),
                step.output ? mix(at_output, key_of(step.output->hash())) : at_open);
  }
  Answer& answer = answers_.touch(mix(run, place));
  if (!serves(answer, session, question)) {
    Question wider = question;
    wider.probability_min = std::min(question.probability_min, probability_kept);
    answer = {session, steps_, wider.probability_min, wider.limit,
              predictor_->predict(session, wider)};
  }
  std::vector<Prediction> predictions;
  for (const Prediction& each : answer.predictions) {
    if (predictions.size() < question.limit &&
        each.probability * each.premise_probability >= question.probability_min &&
        (!question.wants || question.wants(each.call.task()))) {
      predictions.push_back(each);
    }
  }
  return predictions;
}

}  // namespace forerun
