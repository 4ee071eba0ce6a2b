#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

#include "base/prng.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

namespace forerun::simulation {

/// Everything that can go wrong. A seed draws which of them do, and how often.
enum class Fault : std::uint8_t {
  // A message at a time: the rate is a probability.
  lost_message,
  duplicated_message,
  delayed_message,  ///< Later ones overtake it.
  lost_publication,
  crash_in_step,      ///< A process ends between two outputs of one step,
  crash_after_write,  ///< or when what it wrote is durable and it has not heard so.
  crashed_branch,
  hanging_branch,
  failing_receiver,   ///< Of effects.
  leaving_client,     ///< It asks again.
  cancelling_client,  ///< It gives its session up, and goes on with another one.
  vanishing_client,   ///< It never comes back.
  // From time to time: the rate is a weight.
  node_crash,
  coordinator_crash,
  broken_link,
  cut,
  one_way_cut,
  slow_link,
  failed_sync,
  full_disk,
  node_disk_failure,
  clock_jump,
  paused_node,
  paused_coordinator,
  dead_worker,
  // All along: the rate says how much.
  skewed_clocks,
  slow_workers,
  torn_replica,  ///< Of what a crashed node had not synced, a part survives.
  older_store,   ///< Once all is at rest, an older copy of the coordinator's is put back.
};
inline constexpr std::size_t fault_count = static_cast<std::size_t>(Fault::older_store) + 1;

std::string_view to_string(Fault fault);
/// Errors: not_found, naming the faults that there are.
Result<Fault> fault_from(std::string_view name);

/// How hard one seed's world is.
struct Weather {
  Instant faults_end{};
  Duration fault_every = std::chrono::milliseconds(800);  ///< Mean.
  std::array<double, fault_count> rates{};
  Duration sync_median = std::chrono::milliseconds(2);
  Duration link_median = std::chrono::microseconds(400);

  double rate(Fault fault) const { return rates[static_cast<std::size_t>(fault)]; }
};

/// Draws the mix of faults (swarm testing: each is absent from about half of the seeds, so that
/// none always hides another). One seed in eight is calm. Without those in `off` the others stay as
/// they were.
Weather draw_weather(Prng& prng, Instant start, const std::set<Fault>& off);
/// One of the faults that come from time to time, by weight. @pre one of them has a rate.
Fault draw_event(Prng& prng, const Weather& weather);
bool has_events(const Weather& weather);

}  // namespace forerun::simulation
