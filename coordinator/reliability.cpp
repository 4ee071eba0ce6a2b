#include "coordinator/reliability.hpp"

#include <algorithm>
#include <cmath>

namespace forerun::prediction {

namespace {

constexpr double reliability_prior = 4;
constexpr double reliability_memory = 250;
constexpr double doubted_from = 0.86;
constexpr double doubted_whole = 0.9;
constexpr double lower_bound_errors = 1.282;
constexpr double sure_min = 0.95;
constexpr double sure_errors =
    1.25;  ///< Standard errors: what teaches is seldom like what is asked.
constexpr double sure_memory = 1'000;
constexpr double just_below_sure = 0.899;

}  // namespace

double Reliability::Bin::correction() const {
  return (came + reliability_prior) / (expected + reliability_prior);
}

void Reliability::Bin::learn(double probability, bool has_come) {
  expected += probability;
  came += has_come ? 1 : 0;
  if (expected + came > reliability_memory) {
    expected *= 0.5;
    came *= 0.5;
  }
}

std::size_t Reliability::bin_of(double probability) {
  const auto bin = static_cast<std::size_t>(probability * static_cast<double>(bins));
  return std::min(bin, bins - 1);
}

double Reliability::corrected(double probability) const {
  // Upwards at most half of what is missing: a few lucky sessions make nobody certain.
  return std::min(probability * bins_[bin_of(probability)].correction(),
                  probability + (1 - probability) / 2);
}

void SureRecord::learn(double probability, bool has_come) {
  Bin& bin = bins_[bin_of(probability)];
  bin.tries += 1;
  bin.came += has_come ? 1 : 0;
  if (bin.tries > sure_memory) {
    bin.tries *= 0.5;
    bin.came *= 0.5;
  }
}

bool SureRecord::holds(double probability) const {
  const Bin& bin = bins_[bin_of(probability)];
  return bin.tries > 0 &&
         bin.came >=
             sure_min * bin.tries + sure_errors * std::sqrt(sure_min * (1 - sure_min) * bin.tries);
}

double doubted(double probability, double calls) {
  const double share = (probability - doubted_from) / (doubted_whole - doubted_from);
  const double error = std::sqrt(probability * (1 - probability) / (calls + 1));
  return probability - std::clamp(share, 0.0, 1.0) * lower_bound_errors * error;
}

Stating state(double ranked, double calls, double allowed_by_calls, const Reliability& reliability,
              const SureRecord& sure) {
  Stating stating;
  stating.corrected = reliability.corrected(ranked);
  stating.bounded = doubted(stating.corrected, calls);
  stating.allowed = std::min(stating.bounded, std::min(allowed_by_calls, probability_max));
  stating.stated = stating.allowed < sure_from || sure.holds(stating.allowed) ? stating.allowed
                                                                              : just_below_sure;
  return stating;
}

}  // namespace forerun::prediction
