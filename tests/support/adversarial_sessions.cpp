#include "tests/support/adversarial_sessions.hpp"

#include <algorithm>

#include "backtest/sessions.hpp"
#include "base/prng.hpp"
#include "coordinator/prediction_graph.hpp"

namespace forerun::test {
namespace {

constexpr const char* tenant = "default";

Call call_at(std::size_t place, std::uint64_t way) {
  json::Object input;
  input.set("way", std::to_string(way));
  return Call::make("place" + std::to_string(place), std::move(input));
}

class Writer {
public:
  explicit Writer(const AdversarialSettings& settings) : settings_(settings), prng_(settings.seed) {
    learn_from(listener_, settings_.history);
  }

  std::vector<TraceSession> write() {
    std::vector<TraceSession> sessions;
    for (std::size_t number = 0; number < settings_.sessions; ++number) {
      RunId id;
      id.counter = number;
      TraceSession session;
      session.name = to_string(settings_.trick) + "-" + std::to_string(number);
      session.group = session.name;
      listener_.text(id, tenant, session.context);
      for (std::size_t place = 0; place < settings_.steps; ++place) {
        Call call = next_call(id, number, place);
        json::Value output(std::string(1, static_cast<char>('a' + prng_.below(3))));
        listener_.observe(id, tenant, call, Output::make(output));
        session.steps.push_back(
            {std::move(call), std::move(output), draw_time(), draw_time(), {}, false});
      }
      listener_.end(id);
      sessions.push_back(std::move(session));
    }
    return sessions;
  }

private:
  Duration draw_time() {
    return Duration(200'000 + static_cast<std::int64_t>(prng_.below(1'600'000)));
  }

  /// By way.
  std::vector<double> expected(const RunId& id, std::size_t place) const {
    std::vector<double> probabilities(settings_.ways, 0);
    for (const Prediction& prediction : listener_.predict(id, {})) {
      for (std::uint64_t way = 0; way < settings_.ways; ++way) {
        if (prediction.call == call_at(place, way)) {
          probabilities[way] = prediction.probability;
        }
      }
    }
    return probabilities;
  }

  /// The usual call while it is expected at less than this, else another.
  Call usual_below(const RunId& id, std::size_t place, double threshold) {
    return expected(id, place)[0] < threshold ? call_at(place, 0)
                                              : call_at(place, 1 + prng_.below(settings_.ways - 1));
  }

  Call next_call(const RunId& id, std::size_t number, std::size_t place) {
    switch (settings_.trick) {
      case Trick::earn_and_break:
        return usual_below(id, place, 0.8);
      case Trick::barely_earn:
        return usual_below(id, place, 0.4);
      case Trick::every_guess_wrong: {
        const std::vector<double> probabilities = expected(id, place);
        const auto least = std::min_element(probabilities.begin(), probabilities.end());
        return call_at(place, static_cast<std::uint64_t>(least - probabilities.begin()));
      }
      case Trick::alternate:
        return call_at(place, number % 2);
      case Trick::swap_in_blocks:
        return call_at(place, number / 20 % 2);
      case Trick::wrong_inputs:
        return call_at(place, prng_.next());
      case Trick::random_calls:
        return call_at(prng_.below(40), prng_.next());
    }
    return call_at(place, 0);
  }

  AdversarialSettings settings_;
  Prng prng_;
  PredictionGraph listener_{PredictionSettings{}};
};

}  // namespace

std::vector<TraceSession> adversarial_sessions(const AdversarialSettings& settings) {
  return Writer(settings).write();
}

std::string to_string(Trick trick) {
  switch (trick) {
    case Trick::earn_and_break:
      return "earn_and_break";
    case Trick::barely_earn:
      return "barely_earn";
    case Trick::every_guess_wrong:
      return "every_guess_wrong";
    case Trick::alternate:
      return "alternate";
    case Trick::swap_in_blocks:
      return "swap_in_blocks";
    case Trick::wrong_inputs:
      return "wrong_inputs";
    case Trick::random_calls:
      return "random_calls";
  }
  return "unknown";
}

}  // namespace forerun::test
