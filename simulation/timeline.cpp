#include "simulation/timeline.hpp"

#include <algorithm>
#include <cstdio>

namespace forerun::simulation {

void Timeline::at(Instant when, std::function<void()> happen) {
  events_.emplace(std::pair(std::max(when, now_), order_++), std::move(happen));
}

bool Timeline::run_next() {
  if (violation_ || events_.empty()) {
    return false;
  }
  const auto next = events_.begin();
  events_in_moment_ = next->first.first == now_ ? events_in_moment_ + 1 : 0;
  now_ = next->first.first;
  if (events_in_moment_ > events_per_moment_max) {
    violate(Rule::all_ends, "time stands still: something asks to be woken at once for ever");
    return false;
  }
  const std::function<void()> happen = std::move(next->second);
  events_.erase(next);
  happen();
  return !violation_;
}

void Timeline::note(std::string_view line) {
  const std::size_t start = unhashed_.size();
  unhashed_ += std::to_string(now_.time_since_epoch().count());
  unhashed_ += ' ';
  unhashed_ += line;
  if (prints_trace_) {
    std::printf("%s\n", unhashed_.c_str() + start);
  }
  unhashed_ += '\n';
  if (unhashed_.size() >= unhashed_bytes) {
    hash_ = sha256_concat(hash_.bytes, unhashed_);
    unhashed_.clear();
  }
}

void Timeline::violate(Rule rule, std::string what) {
  if (!violation_) {
    violation_ = Violation{rule, std::move(what)};
    note("VIOLATION (" + std::string(to_string(rule)) + ") " + violation_->text);
  }
}

}  // namespace forerun::simulation
