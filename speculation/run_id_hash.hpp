#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "speculation/ids.hpp"

namespace forerun {

/// For tables that are only looked up in: their order depends on nothing that may be seen.
struct RunIdHash {
  std::size_t operator()(const RunId& run_id) const noexcept {
    std::uint64_t home = 0;
    std::memcpy(&home, run_id.home.uuid.bytes.data(), sizeof home);
    // An odd factor spreads counters, which count up, over all bits.
    return static_cast<std::size_t>(home ^ (run_id.counter * 0x9E3779B97F4A7C15U));
  }
};

}  // namespace forerun
