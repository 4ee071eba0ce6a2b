#include "simulation/guesser.hpp"

#include <algorithm>

#include "base/prng.hpp"
#include "simulation/world.hpp"

namespace forerun::simulation {
namespace {

json::Object keyed(const std::string& key) {
  json::Object input;
  input.set("key", key);
  return input;
}

std::optional<double> value_of(const std::optional<Output>& output) {
  const json::Value* value = output ? output->value().find("value") : nullptr;
  const double* number = value == nullptr ? nullptr : value->number();
  return number == nullptr ? std::nullopt : std::optional(*number);
}

Call classification(const std::string& key, double value) {
  json::Object input = keyed(key);
  input.set("value", value);
  return Call::make("classify", std::move(input));
}

}  // namespace

void Guesser::text(const RunId& session, std::string_view, std::string_view text) {
  sessions_[session].key = text.substr(text.rfind(' ') + 1);
}

void Guesser::advance(Place& place, const Call& call, const std::optional<Output>& output) {
  place.key = key_of(call.input());
  place.task = call.task();
  place.output = output;
  ++place.steps;
}

void Guesser::observe(const RunId& session, std::string_view, const Call& call,
                      const std::optional<Output>& output) {
  advance(sessions_[session], call, output);
}

std::vector<Prediction> Guesser::predict(const RunId& session, const Question& question) const {
  const auto known = sessions_.find(session);
  if (known == sessions_.end()) {
    return {};
  }
  Place place = known->second;
  for (const ImaginedStep& step : question.beyond) {
    advance(place, step.call, step.output);
  }
  Prng prng(session.counter * 1000 + place.steps);
  std::vector<Prediction> guesses;
  const auto guess = [&](Call call, double probability) {
    Prediction prediction{std::move(call), probability * (0.6 + 0.4 * prng.unit()), {}, 1, {}};
    if (!question.wants || question.wants(prediction.call.task())) {
      guesses.push_back(std::move(prediction));
    }
  };
  if (place.task == "lookup") {
    guess(Call::make(race_, keyed(place.key)), 0.9);
    if (const auto value = value_of(place.output)) {
      guess(classification(place.key, *value), 0.8);
    } else if (!question.beyond.empty()) {
      // Its output is open: go on from what it may be.
      json::Object output = keyed(place.key);
      output.set("value", static_cast<std::int64_t>(prng.below(3)));
      guess(classification(place.key, *output.find("value")->number()), 0.9);
      if (!guesses.empty() && guesses.back().call.task() == "classify") {
        guesses.back().premise = *Output::parse(json::canonical(output));
        guesses.back().premise_probability = 0.9;
      }
    }
    guess(Call::make("scan", keyed(place.key)), 0.6);
  } else {
    guess(Call::make("lookup", keyed(place.key)), 0.95);
    guess(Call::make("scan", keyed(place.key)), 0.5);
    guess(Call::make(race_, keyed(place.key)), place.task == "classify" ? 0.7 : 0.4);
  }
  guess(Call::make("lookup", keyed(place.key + "-other")), 0.5);
  std::erase_if(guesses, [&](const Prediction& each) {
    return each.probability * each.premise_probability < question.probability_min;
  });
  std::stable_sort(guesses.begin(), guesses.end(), [](const Prediction& a, const Prediction& b) {
    return a.probability > b.probability;
  });
  if (guesses.size() > question.limit) {
    guesses.erase(guesses.begin() + static_cast<std::ptrdiff_t>(question.limit), guesses.end());
  }
  return guesses;
}

}  // namespace forerun::simulation
