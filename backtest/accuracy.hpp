#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/predictor.hpp"
#include "files/traces.hpp"

namespace forerun {

/// How often a predictor named the next call of recorded sessions before it came, and how far its
/// probabilities can be believed. Every prediction it made counts for the latter, not the best
/// alone: admission looks at all of them.
struct Accuracy {
  static constexpr std::size_t bins = 15;
  struct Bin {
    double stated = 0;  ///< Sum of the probabilities.
    std::uint64_t count = 0, came = 0;
  };
  std::uint64_t steps = 0;
  std::uint64_t task_top1 = 0, task_top3 = 0;
  std::uint64_t call_top1 = 0, call_top3 = 0;
  double squared_error = 0;
  std::uint64_t predictions = 0;
  std::uint64_t sure = 0, sure_came = 0;  ///< Stated at 0.9 and more.
  std::array<Bin, bins> reliability{};

  /// One step: what was expected and what came. A task counts whether or not its arguments were
  /// known.
  void count(const Expectation& expected, const Call& came);
  /// A session's end: what was predicted did not come. No step; it counts for what can be believed.
  void count_end(const std::vector<Prediction>& predictions);
  /// Mean squared error of the stated probabilities (Brier 1950).
  double brier() const;
  /// Expected calibration error over equal bins (Guo et al. 2017, eq. 3).
  double ece() const;

private:
  void count_stated(double stated, bool is_right);
};

}  // namespace forerun
