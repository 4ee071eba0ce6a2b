#include "simulation/weather.hpp"

#include <string>

#include "base/assert.hpp"

namespace forerun::simulation {
namespace {

struct FaultKind {
  std::string_view name;
  double most;  ///< The highest rate that a seed draws.
};

constexpr std::array<FaultKind, fault_count> kinds{{
    {"lost-message", 0.03},      {"duplicated-message", 0.06},
    {"delayed-message", 0.06},   {"lost-publication", 0.4},
    {"crash-in-step", 0.006},    {"crash-after-write", 0.02},
    {"crashed-branch", 0.1},     {"hanging-branch", 0.03},
    {"failing-receiver", 0.4},   {"leaving-client", 0.2},
    {"cancelling-client", 0.05}, {"vanishing-client", 0.02},
    {"node-crash", 3},           {"coordinator-crash", 2},
    {"broken-link", 2},          {"cut", 1},
    {"one-way-cut", 1.5},        {"slow-link", 1},
    {"failed-sync", 1.5},        {"full-disk", 0.6},
    {"node-disk-failure", 1.5},  {"clock-jump", 0.8},
    {"paused-node", 1},          {"paused-coordinator", 0.6},
    {"dead-worker", 1},          {"skewed-clocks", 0.3},
    {"slow-workers", 1},         {"torn-replica", 1},
    {"older-store", 0.5},
}};

constexpr auto first_event = static_cast<std::size_t>(Fault::node_crash);
constexpr auto last_event = static_cast<std::size_t>(Fault::dead_worker);

std::int64_t up_to(Prng& prng, std::uint64_t most) {
  return static_cast<std::int64_t>(prng.below(most));
}

}  // namespace

std::string_view to_string(Fault fault) {
  return kinds[static_cast<std::size_t>(fault)].name;
}

Result<Fault> fault_from(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < fault_count; ++i) {
    if (kinds[i].name == name) {
      return static_cast<Fault>(i);
    }
    known += known.empty() ? "" : ", ";
    known += kinds[i].name;
  }
  return fail(Errc::not_found,
              "--without: found " + std::string(name) + ", expected one of " + known);
}

Weather draw_weather(Prng& prng, Instant start, const std::set<Fault>& off) {
  Weather weather;
  weather.sync_median = std::chrono::microseconds(200 + up_to(prng, 6000));
  weather.link_median = std::chrono::microseconds(100 + up_to(prng, 3000));
  const bool is_calm = prng.below(8) == 0;
  const Duration length = std::chrono::milliseconds(400 + up_to(prng, 3600));
  weather.fault_every = std::chrono::milliseconds(100 + up_to(prng, 1200));
  for (std::size_t i = 0; i < fault_count; ++i) {
    const bool is_on = prng.chance(0.5);
    const double rate = prng.unit() * kinds[i].most;
    weather.rates[i] = is_on && !is_calm && !off.contains(static_cast<Fault>(i)) ? rate : 0;
  }
  weather.faults_end = is_calm ? start : start + length;
  return weather;
}

bool has_events(const Weather& weather) {
  for (std::size_t i = first_event; i <= last_event; ++i) {
    if (weather.rates[i] > 0) {
      return true;
    }
  }
  return false;
}

Fault draw_event(Prng& prng, const Weather& weather) {
  double sum = 0;
  for (std::size_t i = first_event; i <= last_event; ++i) {
    sum += weather.rates[i];
  }
  FORERUN_ASSERT(sum > 0);
  double left = prng.unit() * sum;
  std::size_t drawn = first_event;
  for (std::size_t i = first_event; i <= last_event; ++i) {
    if (weather.rates[i] > 0) {
      drawn = i;
      left -= weather.rates[i];
      if (left < 0) {
        break;
      }
    }
  }
  return static_cast<Fault>(drawn);
}

}  // namespace forerun::simulation
