#pragma once

#include <cstddef>
#include <cstdint>

#include "coordinator/argument_bindings.hpp"

/// How rules find values in a session's memory, and what they make of them. For the files of
/// Parameter alone.
namespace forerun::prediction {

/// Values at one place in one document that a rule may count to.
inline constexpr std::size_t nth_max = 4;
inline constexpr std::size_t sources_max = 10;
/// A parameter's steps are routine after so many like ones.
inline constexpr std::uint8_t led_min = 24;

/// The value as a rule gives it; null: it cannot be had so.
json::Value formed(const json::Value& value, As as);
/// Its hash; 0: it cannot be had so.
Key formed_hash(const SeenValue& value, As as);

bool needs_latest(const Binding& rule);
/// The value that a rule gives now; 0: it does not apply. `last` is the latest value at its place,
/// where it needs that.
std::uint32_t resolve(const Surroundings& around, Key name, const Binding& rule,
                      std::uint32_t last);

/// Resolves rules one after another; those of one place stand together.
class Resolver {
public:
  Resolver(const Surroundings& around, Key name) : around_(around), name_(name) {}
  std::uint32_t operator()(const Binding& rule) {
    if (needs_latest(rule) && (!has_latest_ || rule.place != place_)) {
      has_latest_ = true;
      place_ = rule.place;
      latest_ = around_.memory.latest_at(place_);
    }
    return resolve(around_, name_, rule, latest_);
  }

private:
  const Surroundings& around_;
  Key name_;
  bool has_latest_ = false;
  Key place_ = 0;
  std::uint32_t latest_ = 0;
};

/// The value is a text's, behind which another text, or a step, has come.
bool is_stale(const SessionMemory& memory, std::uint32_t at);
/// What the rule gives will be something else once the open output is there.
bool is_open(const Surroundings& around, const Binding& rule, Key side);

}  // namespace forerun::prediction
