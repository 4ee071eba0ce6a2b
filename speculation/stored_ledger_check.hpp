#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "speculation/durable.hpp"
#include "speculation/merkle.hpp"

namespace forerun {

/// Says whether the entries that a store gives back are those that were written, by the heads that
/// it keeps beside them, whether the texts that come with them are theirs, and whether a key may
/// sign on from them. Cheap: one hash an entry, and 32 bytes held; what an entry says is
/// LedgerAudit's to judge. Pure; not thread-safe.
class StoredLedgerCheck {
public:
  /// @pre entries come in order, from the first.
  void take(const StoredEntry& entry);

  /// After the last entry, with what the store kept of heads. `key` is the one that is to sign.
  /// Errors: verification, "entry N: …: found …, expected …"; refused when another key than `key`
  /// signs the last term.
  Result<void> finish(const CoordinatorRecovery& kept, const PublicKey& key) const;

  /// Of what was taken.
  LedgerHead head() const { return {frontier_.size(), frontier_.root(), epoch_}; }
  /// Leaf hashes, for proofs.
  const std::vector<Digest>& leaves() const { return leaves_; }

private:
  Result<void> check_size(std::uint64_t expected) const;
  Result<void> check_signed(const SignedHead& head) const;

  merkle::Frontier frontier_;
  std::vector<Digest> leaves_;
  Epoch epoch_;
  std::optional<std::string> wrong_text_;  ///< The first: where it is, and what is wrong.
  std::optional<PublicKey> term_key_;      ///< Of the last term whose entry could be read.
};

}  // namespace forerun
