#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "speculation/durable.hpp"

namespace forerun {

/// What a start needs of open sessions' texts: how many each has, and the last ones themselves, as
/// many as may be held. Those of the sessions that were opened last stay. Pure.
class RecoveredTexts {
public:
  static constexpr std::size_t bytes_max = std::size_t{64} << 20U;

  explicit RecoveredTexts(std::size_t bytes = bytes_max) : limit_(bytes) {}
  /// By session and place.
  void add(TextRow row);
  void put_into(CoordinatorRecovery& recovery) &&;

private:
  static std::size_t bytes_of(const TextRow& row) { return sizeof(TextRow) + row.text.size(); }

  std::size_t limit_;
  std::size_t bytes_ = 0;  ///< Of held_.
  std::deque<TextRow> held_;
  std::vector<TextTotals> totals_;
};

}  // namespace forerun
