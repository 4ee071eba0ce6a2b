#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "base/sha256.hpp"
#include "simulation/coverage.hpp"
#include "simulation/rule.hpp"
#include "simulation/weather.hpp"

namespace forerun::simulation {

/// What a seed may draw at most. Lower ones make a failure shorter; another scenario comes of them.
struct Limits {
  std::uint64_t nodes = 8;
  std::uint64_t clients = 5;
  std::uint64_t sessions = 3;        ///< Of one client.
  std::uint64_t faults_ms = 60'000;  ///< Faults stop after so long.
};

struct SimulationSettings {
  std::uint64_t seed = 0;
  Limits limits{};
  std::set<Fault> off{};  ///< These do not strike.
  bool prints_trace = false;
  /// Another allowed key claims workers that have joined: none may get a seat.
  bool has_imposter = false;
};

/// Trivially copyable; sums over many seeds.
struct Totals {
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
  std::uint64_t imposters = 0;   ///< Joins under another key that were refused.
  std::uint64_t put_back = 0;    ///< Older stores of which all was adopted.
  std::uint64_t serial = 0;      ///< Decisions that came out the same without speculation.
  Coverage coverage{};

  void add(const Totals& other);
};

struct SimulationReport {
  std::optional<Violation> violation;
  Digest trace_hash;
  Totals totals;
};

/// Runs one cluster, its clients and its faults to the end, or to the first rule that is broken.
/// The same settings give the same report, on every machine.
SimulationReport simulate(const SimulationSettings& settings);

}  // namespace forerun::simulation
