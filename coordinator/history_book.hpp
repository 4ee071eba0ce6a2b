#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "speculation/durable.hpp"
#include "speculation/history.hpp"

namespace forerun {

struct HistoryLimits {
  std::size_t sessions_max = 20'000;            ///< Kept for one tenant; the oldest go first.
  std::uint64_t bytes_max = 256ULL << 20U;      ///< Of their texts, for one tenant; the same.
  std::size_t learn_again_steps_max = 200'000;  ///< Latest steps that a new term learns again.
  std::size_t open_bytes_max = 256U << 20U;     ///< Of those, what open sessions' steps may hold.
  /// Of the texts that reach one session after its context, what is kept to be learned again.
  std::size_t session_text_bytes_max = 1U << 20U;
  std::size_t session_texts_max = 10'000;
  std::size_t read_steps = 512;      ///< Read from the store at once.
  std::size_t lessons_per_turn = 4;  ///< Taught between two looks at what else waits.
  /// While clients wait for answers: one lesson, then a rest as long as it took, at most this.
  Duration rest_max = std::chrono::milliseconds(20);
};

/// Which sessions were taught and are kept, by tenant and name. Pure.
class HistoryBook {
public:
  explicit HistoryBook(const HistoryLimits& limits) : limits_(limits) {}

  enum class Judgement : std::uint8_t {
    is_new,
    is_known,    ///< The very same session is kept.
    is_another,  ///< One of this name is kept, and it is not the same.
    is_too_large,
  };
  Judgement judge(const std::string& tenant, const std::string& name, const Digest& hash,
                  std::uint64_t bytes) const;
  /// Keeps one, and returns the numbers of those that go for it. Sets its number unless it has one
  /// (from a store). @pre judge() says that it is new.
  std::vector<std::uint64_t> add(HistoryEntry& entry);
  /// Drops all of a tenant's; returns their numbers.
  std::vector<std::uint64_t> forget(const std::string& tenant);

  struct Totals {
    std::size_t sessions = 0;
    std::uint64_t steps = 0;
    std::uint64_t bytes = 0;
  };
  Totals totals(const std::string& tenant) const;
  const std::map<std::uint64_t, HistoryEntry>& entries() const { return entries_; }
  /// All numbers so far are below it.
  std::uint64_t next_number() const { return next_number_; }

private:
  struct Shelf {
    std::map<std::string, std::uint64_t, std::less<>> numbers;  ///< By name.
    std::deque<std::uint64_t> order;
    Totals totals;
  };

  const HistoryLimits limits_;
  std::map<std::uint64_t, HistoryEntry> entries_;
  std::map<std::string, Shelf, std::less<>> shelves_;  ///< By tenant.
  std::uint64_t next_number_ = 1;
};

/// Which of the past is to be read next, so that a new term learns what older ones knew, in the
/// order in which it happened: taught sessions stand between the commits where they were taught.
/// Then follows what is taught from now on. Pure.
class PastReading {
public:
  explicit PastReading(const HistoryLimits& limits) : limits_(limits) {}

  /// A commit of the ledger that is recovered; in order.
  void commit(Seq seq);
  /// Everything is recovered: chooses what the limit allows, the latest of both kinds.
  void begin(const HistoryBook& book, std::uint64_t ledger_size);
  /// What was taught before this number is durable.
  void durable(std::uint64_t number) { durable_ = std::max(durable_, number); }

  /// What to read now; nothing while a page is out, or when there is none.
  std::optional<ReadPast> next(const HistoryBook& book);
  void arrived(const PastRead& page);

  bool is_ledger_read() const { return ledger_at_ >= ledger_end_; }
  /// What was there when the term began has been read.
  bool is_recovered(const HistoryBook& book) const;
  /// Steps that were not read yet.
  std::uint64_t left(const HistoryBook& book) const;

private:
  const HistoryLimits limits_;
  std::deque<std::uint64_t> commits_;  ///< Entries not read yet, at most the limit.
  std::uint64_t ledger_at_ = 0;
  std::uint64_t ledger_end_ = 0;
  std::uint64_t next_ = 0;       ///< Taught session to read next.
  std::uint64_t recovered_ = 0;  ///< Numbers below this were there when the term began.
  std::uint64_t durable_ = 0;
  bool is_out_ = false;
};

}  // namespace forerun
