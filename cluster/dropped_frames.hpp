#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace forerun {

/// What an operator is told of one peer's frames that cannot be read: each of the first, and of a
/// flood no more than a line now and then, which counts the others. Pure; not thread-safe.
class DroppedFrames {
public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::uint32_t lines_max = 100;  ///< At once; one more each line_every.
  static constexpr std::chrono::seconds line_every{10};

  /// `peer` as it is told: "node n1". The line for the log, if it is told of.
  std::optional<std::string> dropped(std::string_view peer, std::string_view why, Time now);

private:
  std::uint32_t lines_left_ = lines_max;
  Time refilled_{};
  std::uint64_t untold_ = 0;
};

}  // namespace forerun
