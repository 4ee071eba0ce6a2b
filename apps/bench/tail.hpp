#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.hpp"
#include "base/time.hpp"

/// What the slowest answers wait for: confirmed work among speculation, and nodes that are slow.
namespace forerun {

struct TailSettings {
  std::filesystem::path binary;  ///< The `forerun` program, for the nodes.
  std::filesystem::path folder;
  Duration time{};  ///< For each thing that is measured.
};

/// A confirmed no-op, one at a time, where slots are idle and where speculation fills all of them;
/// and all slots busy with confirmed work, without and with speculation.
struct ConfirmedFirst {
  double idle_p50_us = 0;
  double idle_p99_us = 0;
  double busy_p50_us = 0;  ///< From its confirmation until its answer: pre-empting is within.
  double busy_p99_us = 0;
  std::size_t preempting = 0;  ///< Samples of `busy`.
  double full_off_p99_us = 0;  ///< Medians of several turns.
  double full_on_p99_us = 0;
  double full_off_per_s = 0;
  double full_on_per_s = 0;
};
/// Errors: io.
Result<ConfirmedFirst> measure_confirmed_first(const TailSettings& settings);

/// Runs of 5 ms on four nodes of four slots, eight at once; one node stalls for 60 ms about every
/// 120. In turns without second attempts and with the usual share of them; medians of the turns.
struct HedgingTail {
  double off_p50_us = 0;
  double off_p99_us = 0;
  double on_p50_us = 0;
  double on_p99_us = 0;
  double second_share = 0;  ///< Second attempts, of steps.
};
/// Errors: io.
Result<HedgingTail> measure_hedging(const TailSettings& settings);

}  // namespace forerun
