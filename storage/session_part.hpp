#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "storage/store.hpp"

namespace forerun {

/// Collects a part of a session from its entries in the ledger's order. What is not of the part is
/// not read. Pure but for `read`.
class SessionPartReader {
public:
  using Read = std::function<Result<StoredEntry>(Seq)>;
  SessionPartReader(SessionRow row, const CoordinatorStore::SessionPart& part, Read read)
      : part_(part), read_(std::move(read)), record_{std::move(row), {}, {}, {}} {}

  /// The next entry: a commit of `step`, or a discard. False once the part is whole, or after an
  /// error.
  bool add(Seq seq, std::optional<StepNumber> step);
  /// The part. Errors: as of `read`.
  Result<CoordinatorStore::SessionRecord> take();

private:
  bool add_commit(Seq seq, StepNumber step);
  /// Reads an entry into `entries`; false after an error.
  bool read_into(std::vector<StoredEntry>& entries, Seq seq);
  bool read_discards();

  CoordinatorStore::SessionPart part_;
  Read read_;
  CoordinatorStore::SessionRecord record_;
  std::vector<Seq> discards_;  ///< Behind the last commit that was added; not read yet.
  std::size_t bytes_ = 0;
  bool has_more_ = false;  ///< A commit that is not of the part follows.
  std::optional<Error> error_;
};

}  // namespace forerun
