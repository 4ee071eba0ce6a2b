#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace forerun {

/// The flags of `forerun simulate`.
struct SimulateSettings {
  std::vector<std::filesystem::path> traces;
  std::string format = "traces";  ///< traces, openai-messages or otel-genai.
  std::filesystem::path train;    ///< Empty: none.
  std::optional<double> train_share;
  std::size_t warm_up = 0;
  std::string policy = "value";  ///< value or bands.
  std::uint32_t slots = 16;
  std::uint32_t concurrency = 1;  ///< Sessions side by side, on the same slots.
  std::uint32_t depth = 8;
  double budget = 0.15;
  double control_share = 0;  ///< Of sessions that run nothing ahead; they are counted too.
  bool model_steps = false;
  std::string think, tool;  ///< Time models; empty: the default ones.
  std::string read_only;
  std::filesystem::path catalog;  ///< Empty: none, or an export's own.
  std::filesystem::path costs;    ///< Empty: the cluster costs nothing.
  bool has_oracle = true;         ///< Perfect prediction is run too.
  bool sweep = false;
  std::filesystem::path html;  ///< Empty: none. Brings the sweep and the budgets with it.
  std::uint64_t seed = 1;
  bool is_json = false;
};

inline constexpr std::uint32_t simulate_slots_max = 4096;
inline constexpr std::uint32_t simulate_concurrency_max = 10'000;
inline constexpr std::uint32_t simulate_depth_max = 64;

/// Reads the sessions, replays them in virtual time, writes the page and prints the report to
/// `out`; `progress` gets what is being done, one line each. Errors: those of reading and running;
/// io when the page cannot be written; invalid for a setting out of range.
Result<void> run_simulate(const SimulateSettings& settings, std::ostream& out,
                          std::ostream& progress);

}  // namespace forerun
