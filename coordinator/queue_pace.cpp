#include "coordinator/queue_pace.hpp"

#include <algorithm>

namespace forerun {

void QueuePace::begins(Instant now) {
  since_ = now;
  grains_.clear();
}

void QueuePace::leaves(Instant now) {
  while (!grains_.empty() && now - grains_.front().begin > window) {
    grains_.pop_front();
  }
  if (grains_.empty() || now - grains_.back().begin >= grain) {
    grains_.push_back({now, 0});
  }
  ++grains_.back().left;
}

std::optional<Duration> QueuePace::expected_wait(Instant now, std::size_t waiting) const {
  const Duration span = std::min(now - since_, window);
  if (span < known_after) {
    return std::nullopt;
  }
  std::uint64_t left = 0;
  for (const Grain& each : grains_) {
    left += now - each.begin <= window ? each.left : 0;
  }
  return Duration(static_cast<Duration::rep>(static_cast<double>(waiting) *
                                             static_cast<double>(span.count()) /
                                             static_cast<double>(std::max<std::uint64_t>(left, 1))));
}

}  // namespace forerun
