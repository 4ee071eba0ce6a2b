#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/sha256.hpp"

namespace forerun::simulation {

/// A bug put in on purpose, to see that the checks find it.
enum class Plant : std::uint8_t {
  none,
  skip_hazards,  ///< Writes drop no speculation that read what they write.
  early_reply,   ///< The store says "durable" before it is.
  lost_discard,  ///< One node never gets an entry that discards.
  lost_marks,    ///< Run-ID blocks are not kept on either side.
  lost_intent,   ///< Write intents are not kept.
  repeated_run,  ///< A worker runs a write twice.
};
/// Errors: not_found, naming the plants that there are.
Result<Plant> plant_from(std::string_view name);

struct SimulationSettings {
  std::uint64_t seed = 0;
  Plant plant = Plant::none;
  bool prints_trace = false;
};

struct SimulationReport {
  std::optional<std::string> violation;
  Digest trace_hash;
  std::uint64_t events = 0;
  std::uint64_t steps = 0;
  std::uint64_t hits = 0;  ///< Late ones included.
  std::uint64_t discards = 0;
  std::uint64_t entries = 0;
  std::uint64_t coordinator_crashes = 0;
  std::uint64_t node_crashes = 0;
  std::uint64_t audits = 0;      ///< Answered.
  std::uint64_t hedges = 0;      ///< Second attempts started,
  std::uint64_t hedges_won = 0;  ///< and those that answered first.
};

/// Runs one cluster, its clients and its faults to the end, or to the first rule that is broken.
/// The same settings give the same report.
SimulationReport simulate(const SimulationSettings& settings);

}  // namespace forerun::simulation
