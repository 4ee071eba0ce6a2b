#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace forerun::simulation {

/// What must always hold, as design.md §8 numbers it; each violation names one.
enum class Rule : std::uint8_t {
  one_decision,        ///< §8.1
  one_ledger,          ///< §8.2
  recomputed_winner,   ///< §8.3
  durable_first,       ///< §8.4
  serial_equivalence,  ///< §8.5
  effects,             ///< §8.6
  run_ids,             ///< §8.7
  acknowledged_kept,   ///< §8.8
  settled_once,        ///< §8.9
  accounted,           ///< §8.10
  all_ends,            ///< §8.12
  assertion,           ///< A brain, or the simulator, found itself in a state that cannot be.
};
std::string_view to_string(Rule rule);

struct Violation {
  Rule rule = Rule::assertion;
  std::string text;
};

}  // namespace forerun::simulation
