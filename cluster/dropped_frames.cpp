#include "cluster/dropped_frames.hpp"

namespace forerun {

std::optional<std::string> DroppedFrames::dropped(std::string_view peer, std::string_view why,
                                                  Time now) {
  const auto more = (now - refilled_) / line_every;
  if (more >= lines_max - lines_left_) {
    lines_left_ = lines_max;
    refilled_ = now;
  } else {
    lines_left_ += static_cast<std::uint32_t>(more);
    refilled_ += more * line_every;
  }
  if (lines_left_ == 0) {
    ++untold_;
    return std::nullopt;
  }
  --lines_left_;
  std::string line = std::string(peer) + ": dropped a frame: " + std::string(why);
  if (untold_ > 0) {
    line += "; " + std::to_string(untold_) + " more since the last one that was told";
    untold_ = 0;
  }
  return line;
}

}  // namespace forerun
