#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/sha256.hpp"
#include "base/time.hpp"
#include "simulation/rule.hpp"

namespace forerun::simulation {

/// Virtual time: what will happen, in order, and a hash over all that has happened. The first
/// violation of a rule stops it.
class Timeline {
public:
  explicit Timeline(bool prints_trace) : prints_trace_(prints_trace) {}

  Instant now() const { return now_; }
  /// Ties run in the order in which they were planned. A moment that has passed is now.
  void at(Instant when, std::function<void()> happen);
  void after(Duration delay, std::function<void()> happen) { at(now_ + delay, std::move(happen)); }
  /// Runs the next event; false when there is none, or a rule was violated.
  bool run_next();

  /// Adds a line to the trace, with its time.
  void note(std::string_view line);
  Digest trace_hash() const { return sha256_concat(hash_.bytes, unhashed_); }
  std::uint64_t events() const { return order_; }

  /// Only the first one counts.
  void violate(Rule rule, std::string what);
  const std::optional<Violation>& violation() const { return violation_; }

private:
  static constexpr std::uint32_t events_per_moment_max = 20'000;
  static constexpr std::size_t unhashed_bytes = 16U << 10U;  ///< Hashed together.

  bool prints_trace_;
  Instant now_ =
      Instant{} + std::chrono::seconds(1);  // Machines take the zero of time for "never".
  std::uint64_t order_ = 0;
  std::uint32_t events_in_moment_ = 0;
  std::map<std::pair<Instant, std::uint64_t>, std::function<void()>> events_;
  Digest hash_;
  std::string unhashed_;
  std::optional<Violation> violation_;
};

}  // namespace forerun::simulation
