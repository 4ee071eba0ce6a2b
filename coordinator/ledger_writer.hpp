#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/ed25519.hpp"
#include "speculation/durable.hpp"
#include "speculation/entry.hpp"
#include "speculation/merkle.hpp"

namespace forerun {

/// Turns decisions into the ledger's entries: numbers them, keeps the tree's edge and signs heads.
/// Pure (Ed25519 is deterministic). What it returns is not durable; the caller sees to that.
class LedgerWriter {
public:
  explicit LedgerWriter(SigningKey key) : key_(std::move(key)) {}

  /// Takes an entry that a store already holds. @pre entries come in order, before the first
  /// append.
  void restore(const StoredEntry& entry);
  /// Opens a term: its entry hands over from the key before.
  StoredEntry open_term(Epoch epoch, std::string cause, std::string version);
  StoredEntry append(const CommitEntry& commit, const Digest& decision_hash);
  StoredEntry append(DiscardEntry discard);

  std::uint64_t size() const { return frontier_.size(); }
  const merkle::Frontier& tree() const { return frontier_; }
  Epoch epoch() const { return epoch_; }
  LedgerHead head() const { return {frontier_.size(), frontier_.root(), epoch_}; }
  SignedHead sign(const LedgerHead& head) const { return sign_head(key_, head); }
  /// What nobody can know who has not the key, for draws that no node may foresee.
  Digest secret(std::string_view purpose) const;
  const PublicKey& public_key() const { return key_.public_key(); }

private:
  StoredEntry store(std::string leaf);
  StoredEntry add(std::variant<EpochEntry, CommitEntry, DiscardEntry, UnknownEntry> body);

  SigningKey key_;
  merkle::Frontier frontier_;
  Epoch epoch_;
};

}  // namespace forerun
