#pragma once

#include <filesystem>

#include "base/result.hpp"
#include "base/time.hpp"

namespace forerun {

/// What a cluster itself costs, as `forerun bench` measures it.
struct MeasuredCosts {
  Duration dispatch{};  ///< From a decision to start a branch until it runs, and back.
  Duration hit{};       ///< To answer from a finished speculation.
  Duration kill{};      ///< From a cancellation until the slot is free.
};

inline constexpr std::size_t costs_bytes_max = 64U << 10U;
inline constexpr Duration cost_max = std::chrono::hours(1);

/// Reads `dispatch_us`, `hit_us` and `kill_us` from TOML, or from JSON when the name ends in
/// ".json"; what is not there costs nothing. Errors: not_found, io, too_large, invalid; they name
/// file and key.
Result<MeasuredCosts> read_costs(const std::filesystem::path& file);

}  // namespace forerun
