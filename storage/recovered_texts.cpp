#include "storage/recovered_texts.hpp"

#include <iterator>
#include <utility>

namespace forerun {

void RecoveredTexts::add(TextRow row) {
  if (totals_.empty() || totals_.back().run_id != row.run_id) {
    totals_.push_back({row.run_id, 0, 0});
  }
  totals_.back().count = row.place + 1;
  totals_.back().bytes += row.text.size();
  bytes_ += bytes_of(row);
  held_.push_back(std::move(row));
  for (; bytes_ > limit_; held_.pop_front()) {
    bytes_ -= bytes_of(held_.front());
  }
}

void RecoveredTexts::put_into(CoordinatorRecovery& recovery) && {
  recovery.text_totals = std::move(totals_);
  recovery.texts.assign(std::make_move_iterator(held_.begin()),
                        std::make_move_iterator(held_.end()));
}

}  // namespace forerun
