#include "backtest/accuracy.hpp"

#include <algorithm>
#include <cmath>

namespace forerun {

namespace {

constexpr std::size_t top = 3;
constexpr double sure_from = 0.9;

}  // namespace

void Accuracy::count(const Expectation& expected, const Call& came) {
  ++steps;
  for (std::size_t i = 0; i < std::min(top, expected.tasks.size()); ++i) {
    if (expected.tasks[i].task == came.task()) {
      task_top1 += i == 0 ? 1 : 0;
      task_top3 += 1;
    }
  }
  const std::vector<Prediction>& made = expected.calls;
  for (std::size_t i = 0; i < made.size(); ++i) {
    const Prediction& prediction = made[i];
    const bool is_right = prediction.call == came;
    if (is_right) {
      call_top1 += i == 0 ? 1 : 0;
      call_top3 += i < top ? 1 : 0;
    }
    count_stated(prediction.probability, is_right);
  }
}

void Accuracy::count_end(const std::vector<Prediction>& made) {
  for (const Prediction& prediction : made) {
    count_stated(prediction.probability, false);
  }
}

void Accuracy::count_stated(double stated, bool is_right) {
  const double error = stated - (is_right ? 1 : 0);
  squared_error += error * error;
  ++predictions;
  if (stated >= sure_from) {
    ++sure;
    sure_came += is_right ? 1 : 0;
  }
  const auto at = static_cast<std::size_t>(stated * static_cast<double>(bins));
  Bin& bin = reliability[std::min(at, bins - 1)];
  bin.stated += stated;
  bin.count += 1;
  bin.came += is_right ? 1 : 0;
}

double Accuracy::brier() const {
  return predictions == 0 ? 0 : squared_error / static_cast<double>(predictions);
}

double Accuracy::ece() const {
  double sum = 0;
  for (const Bin& bin : reliability) {
    sum += std::abs(bin.stated - static_cast<double>(bin.came));
  }
  return predictions == 0 ? 0 : sum / static_cast<double>(predictions);
}

}  // namespace forerun
