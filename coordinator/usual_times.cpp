#include "coordinator/usual_times.hpp"

namespace forerun {

void UsualTimes::learn(const std::string& name, Duration sample) {
  smooth(name, sample);
  smooth({}, sample);
}

Duration UsualTimes::of(const std::string& name) const {
  auto found = times_.find(name);
  if (found == times_.end()) {
    found = times_.find(std::string());
  }
  return found == times_.end() ? Duration::zero() : found->second;
}

void UsualTimes::smooth(const std::string& name, Duration sample) {
  const auto [at, is_new] = times_.try_emplace(name, sample);
  if (!is_new) {
    at->second += (sample - at->second) / 8;
  }
}

}  // namespace forerun
