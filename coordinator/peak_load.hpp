#pragma once

#include <algorithm>
#include <cstddef>

#include "base/time.hpp"

namespace forerun {

/// The most of something that was there at once of late: in this window or the one before. Pure;
/// not thread-safe.
class PeakLoad {
public:
  static constexpr Duration window = std::chrono::seconds(60);

  void note(Instant now, std::size_t load) {
    if (now - since_ >= window) {
      before_ = now - since_ < 2 * window ? peak_ : 0;
      peak_ = 0;
      since_ = now;
    }
    peak_ = std::max(peak_, load);
  }
  std::size_t peak(Instant now) const {
    const Duration passed = now - since_;
    return passed < window ? std::max(peak_, before_) : passed < 2 * window ? peak_ : 0;
  }

private:
  Instant since_{};  ///< The window began.
  std::size_t peak_ = 0;
  std::size_t before_ = 0;  ///< In the window before.
};

}  // namespace forerun
