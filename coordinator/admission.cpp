#include "coordinator/admission.hpp"

#include <algorithm>
#include <limits>

#include "base/assert.hpp"
#include "base/real.hpp"

namespace forerun {

namespace {

/// The budget counts in millionths of a microsecond, so that a ratio in parts per million has no
/// remainder.
constexpr std::int64_t parts = 1'000'000;
/// One call names at most this much (about 52 days of slot time): twice it still fits the level's
/// integer.
constexpr std::int64_t slot_time_us_max = std::numeric_limits<std::int64_t>::max() / parts / 2;

std::int64_t checked_us(Duration slot_time) {
  FORERUN_ASSERT(slot_time.count() >= 0);
  return std::min<std::int64_t>(slot_time.count(), slot_time_us_max);
}

}  // namespace

WasteBudget::WasteBudget(const AdmissionSettings& settings)
    : ratio_ppm_(static_cast<std::int64_t>(std::clamp(settings.waste_ratio_max, 0.0, 1.0) *
                                           static_cast<double>(parts))),
      size_(checked_us(settings.bucket_max) * parts),
      level_(std::min(checked_us(settings.bucket_first) * parts, size_)) {}

void WasteBudget::add(std::int64_t millionths) {
  // The level never exceeds size_, which is at most half the integer's range: the sum fits. Cutting
  // at the size only forgets credit, so the bound stays a bound.
  level_ = std::min(level_ + millionths, size_);
}

void WasteBudget::committed(Duration slot_time) {
  add(checked_us(slot_time) * ratio_ppm_);
}

void WasteBudget::spent(Duration slot_time) {
  const std::int64_t millionths = checked_us(slot_time) * parts;
  const std::int64_t floor = std::numeric_limits<std::int64_t>::min();
  // A debt beyond the integer's range (104 days) cannot be told from one at its end.
  level_ = level_ < floor + millionths ? floor : level_ - millionths;
}

void WasteBudget::refunded(Duration slot_time) {
  add(checked_us(slot_time) * parts);
}

Duration WasteBudget::level() const {
  std::int64_t us = level_ / parts;
  if (level_ % parts < 0) {
    us -= 1;
  }
  return Duration(us);
}

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::start:
      return "start";
    case Verdict::too_unlikely:
      return "too unlikely";
    case Verdict::no_idle_slot:
      return "no idle slot";
    case Verdict::too_deep:
      return "too deep";
    case Verdict::session_full:
      return "session full";
    case Verdict::cluster_full:
      return "cluster full";
    case Verdict::budget_empty:
      return "budget empty";
    case Verdict::session_ends:
      return "session ends";
  }
  FORERUN_ASSERT(false);
}

const char* to_string(AdmissionPolicy policy) {
  return policy == AdmissionPolicy::value ? "value" : "bands";
}

double price_of_waste(const AdmissionSettings& settings, const WasteBudget& budget,
                      Duration expected, Duration reserved) {
  const auto one = static_cast<double>(std::max<std::int64_t>(expected.count(), 1));
  const double covered = static_cast<double>((budget.level() - reserved).count()) / one;
  const double share = std::clamp(covered / settings.ample, 0.0, 1.0);
  return settings.price_max * real::pow(settings.price_min / settings.price_max, share);
}

double confidence_min(const AdmissionSettings& settings, const WasteBudget& budget,
                      Duration expected, Duration reserved) {
  const double price = price_of_waste(settings, budget, expected, reserved);
  return price / (1 + price);
}

Verdict admit(const AdmissionSettings& settings, const WasteBudget& budget,
              const Candidate& candidate) {
  if (candidate.depth > settings.depth_max) {
    return Verdict::too_deep;
  }
  if (candidate.running_in_session >= settings.per_session_max) {
    return Verdict::session_full;
  }
  if (candidate.running_in_cluster >= settings.in_cluster_max) {
    return Verdict::cluster_full;
  }
  if (!budget.is_open() ||
      budget.level() < candidate.expected + candidate.reserved + settings.kill_cost) {
    return Verdict::budget_empty;
  }
  if (settings.policy == AdmissionPolicy::value) {
    const double price = price_of_waste(settings, budget, candidate.expected, candidate.reserved);
    const auto gain = static_cast<double>((candidate.hidden - settings.hit_cost).count());
    const auto loss = static_cast<double>((candidate.at_stake + settings.kill_cost).count());
    // Written so that a confidence that is no number waits.
    if (!(candidate.confidence * gain > price * (1 - candidate.confidence) * loss)) {
      return Verdict::too_unlikely;
    }
    return candidate.has_idle_slot ? Verdict::start : Verdict::no_idle_slot;
  }
  if (!(candidate.confidence > settings.idle_above)) {
    return Verdict::too_unlikely;
  }
  const bool is_sure = candidate.confidence > settings.start_above;
  const bool has_slot = candidate.has_idle_slot || (is_sure && candidate.has_free_slot);
  return has_slot ? Verdict::start : Verdict::no_idle_slot;
}

}  // namespace forerun
