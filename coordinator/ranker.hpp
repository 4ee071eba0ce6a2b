#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/real.hpp"

namespace forerun::prediction {

/// Numbers that describe one candidate, the more telling the closer to one another in size.
template <std::size_t N>
using Features = std::array<double, N>;

/// A share or odds as a feature: what is next to nothing is all alike.
inline double as_logarithm(double value) {
  return real::log(std::max(value, 1e-4));
}

/// Probabilities of rivals of which at most one comes, from what describes each: a conditional
/// logit (McFadden 1974), learned online with a step of its own for each weight (AdaGrad, Duchi et
/// al. 2011). Before the first lesson it gives what its first weights say. Pure and deterministic.
template <std::size_t N>
class Ranker {
public:
  explicit Ranker(const Features<N>& first) : weights_(first), first_(first) {}

  double score(const Features<N>& features) const {
    double sum = 0;
    for (std::size_t i = 0; i < N; ++i) {
      sum += weights_[i] * features[i];
    }
    return sum;
  }

  /// Scores become probabilities that sum to 1 with that of none of them, whose score is given.
  /// `times`: so many rivals have each score; empty: one. Returns the probability of none.
  static double normalise(std::span<double> scores, double none,
                          std::span<const std::uint32_t> times = {}) {
    double most = none;
    for (const double each : scores) {
      most = std::max(most, each);
    }
    double sum = real::exp(none - most);
    const double nothing = sum;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      scores[i] = real::exp(scores[i] - most);
      sum += times.empty() ? scores[i] : scores[i] * times[i];
    }
    for (double& each : scores) {
      each /= sum;
    }
    return nothing / sum;
  }

  /// What sets one candidate apart from its rivals: log(p / (1 - p)) of its probability p is the
  /// sum of `by`, feature by feature, less `rivals`, the entropy of those, which says how many they
  /// are.
  struct Apart {
    Features<N> by{};
    double rivals = 0;
  };
  /// Another one, or none of them, as likely as it was ranked.
  struct Rival {
    const Features<N>* features;
    double probability;
  };
  /// A feature counts as its weight times how far it is from its mean over the rivals, each as
  /// heavy as it is likely. @pre one of the rivals is possible
  Apart apart(const Features<N>& features, std::span<const Rival> rivals) const {
    double all = 0;
    for (const Rival& each : rivals) {
      all += each.probability;
    }
    Features<N> mean{};
    Apart apart;
    for (const Rival& each : rivals) {
      const double share = each.probability / all;
      for (std::size_t i = 0; i < N; ++i) {
        mean[i] += share * (*each.features)[i];
      }
      apart.rivals -= share > 0 ? share * real::log(share) : 0;
    }
    for (std::size_t i = 0; i < N; ++i) {
      apart.by[i] = weights_[i] * (features[i] - mean[i]);
    }
    return apart;
  }

  /// Takes the gradient of one candidate's log-likelihood: `probability` was stated, `came` says
  /// whether it was the one. Collected until step().
  void note(const Features<N>& features, double probability, bool came) {
    const double error = (came ? 1.0 : 0.0) - probability;
    for (std::size_t i = 0; i < N; ++i) {
      gradient_[i] += error * features[i];
    }
  }
  /// Moves the weights by what was noted.
  void step() {
    for (std::size_t i = 0; i < N; ++i) {
      const double gradient = gradient_[i] - pull * (weights_[i] - first_[i]);
      squares_[i] += gradient * gradient;
      weights_[i] += rate * gradient / std::sqrt(squares_[i] + damping);
      gradient_[i] = 0;
    }
  }
  const Features<N>& weights() const { return weights_; }

private:
  static constexpr double rate = 0.2;
  static constexpr double damping = 1.0;
  static constexpr double pull = 0.0005;  ///< Back to the first weights, where nothing is learned.
  Features<N> weights_;
  Features<N> first_;
  Features<N> gradient_{};
  Features<N> squares_{};
};

}  // namespace forerun::prediction
