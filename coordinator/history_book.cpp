#include "coordinator/history_book.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace forerun {

HistoryBook::Judgement HistoryBook::judge(const std::string& tenant, const std::string& name,
                                          const Digest& hash, std::uint64_t bytes) const {
  if (const auto shelf = shelves_.find(tenant); shelf != shelves_.end()) {
    if (const auto known = shelf->second.numbers.find(name); known != shelf->second.numbers.end()) {
      return entries_.at(known->second).hash == hash ? Judgement::is_known : Judgement::is_another;
    }
  }
  return bytes > limits_.bytes_max ? Judgement::is_too_large : Judgement::is_new;
}

std::vector<std::uint64_t> HistoryBook::add(HistoryEntry& entry) {
  if (entry.number == 0) {
    entry.number = next_number_;
  }
  FORERUN_ASSERT(entry.number >= next_number_);
  next_number_ = entry.number + 1;
  Shelf& shelf = shelves_[entry.tenant];
  std::vector<std::uint64_t> gone;
  while (!shelf.order.empty() && (shelf.order.size() >= limits_.sessions_max ||
                                  shelf.totals.bytes + entry.bytes > limits_.bytes_max)) {
    const auto oldest = entries_.find(shelf.order.front());
    shelf.order.pop_front();
    shelf.numbers.erase(oldest->second.name);
    shelf.totals.steps -= oldest->second.steps;
    shelf.totals.bytes -= oldest->second.bytes;
    gone.push_back(oldest->first);
    entries_.erase(oldest);
  }
  const bool is_new = shelf.numbers.emplace(entry.name, entry.number).second;
  FORERUN_ASSERT(is_new);
  shelf.order.push_back(entry.number);
  shelf.totals.steps += entry.steps;
  shelf.totals.bytes += entry.bytes;
  entries_.emplace(entry.number, entry);
  return gone;
}

std::vector<std::uint64_t> HistoryBook::forget(const std::string& tenant) {
  std::vector<std::uint64_t> gone;
  if (const auto shelf = shelves_.find(tenant); shelf != shelves_.end()) {
    gone.assign(shelf->second.order.begin(), shelf->second.order.end());
    shelves_.erase(shelf);
  }
  for (const std::uint64_t number : gone) {
    entries_.erase(number);
  }
  return gone;
}

HistoryBook::Totals HistoryBook::totals(const std::string& tenant) const {
  const auto shelf = shelves_.find(tenant);
  if (shelf == shelves_.end()) {
    return {};
  }
  Totals totals = shelf->second.totals;
  totals.sessions = shelf->second.order.size();
  return totals;
}

void PastReading::commit(Seq seq) {
  commits_.push_back(seq.value);
  if (commits_.size() > limits_.learn_again_steps_max) {
    commits_.pop_front();
  }
}

void PastReading::begin(const HistoryBook& book, std::uint64_t ledger_size) {
  recovered_ = book.next_number();
  durable_ = recovered_;
  next_ = recovered_;
  ledger_end_ = ledger_size;
  // Backwards through both, the later one first.
  std::size_t steps = 0;
  std::size_t kept = 0;
  auto taught = book.entries().rbegin();
  auto commit = commits_.rbegin();
  while (steps < limits_.learn_again_steps_max) {
    const bool has_taught = taught != book.entries().rend();
    if (has_taught && (commit == commits_.rend() || taught->second.at.value > *commit)) {
      steps += taught->second.steps;
      next_ = taught->first;
      ++taught;
    } else if (commit != commits_.rend()) {
      ++steps;
      ++kept;
      ++commit;
    } else {
      break;
    }
  }
  commits_.erase(commits_.begin(), commits_.end() - static_cast<std::ptrdiff_t>(kept));
  ledger_at_ = commits_.empty() ? ledger_end_ : commits_.front();
}

std::optional<ReadPast> PastReading::next(const HistoryBook& book) {
  if (is_out_) {
    return std::nullopt;
  }
  ReadPast read;
  read.steps = limits_.read_steps;
  const auto taught = book.entries().lower_bound(next_);
  const bool has_taught = taught != book.entries().end() && taught->first < durable_;
  const bool has_commits = ledger_at_ < ledger_end_;
  if (has_taught && (!has_commits || taught->second.at.value <= ledger_at_)) {
    read.first = taught->first;
    read.last = read.first;
    for (auto at = taught; at != book.entries().end() && at->first < durable_ &&
                           (!has_commits || at->second.at.value <= ledger_at_);
         ++at) {
      read.last = at->first + 1;
    }
  } else if (has_commits) {
    read.from = Seq{ledger_at_};
    read.until = Seq{ledger_end_};
    if (has_taught) {
      read.until = Seq{std::min(ledger_end_, taught->second.at.value)};
    }
  } else {
    return std::nullopt;
  }
  is_out_ = true;
  return read;
}

void PastReading::arrived(const PastRead& page) {
  is_out_ = false;
  next_ = std::max(next_, page.next);
  ledger_at_ = std::max(ledger_at_, page.next_seq.value);
  while (!commits_.empty() && commits_.front() < ledger_at_) {
    commits_.pop_front();
  }
}

bool PastReading::is_recovered(const HistoryBook& book) const {
  const auto taught = book.entries().lower_bound(next_);
  return is_ledger_read() && (taught == book.entries().end() || taught->first >= recovered_);
}

std::uint64_t PastReading::left(const HistoryBook& book) const {
  std::uint64_t steps = commits_.size();
  for (auto at = book.entries().lower_bound(next_); at != book.entries().end(); ++at) {
    steps += at->second.steps;
  }
  return steps;
}

}  // namespace forerun
