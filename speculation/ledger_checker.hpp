#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "speculation/entry.hpp"
#include "speculation/merkle.hpp"

namespace forerun {

/// Counts of what a checker could and could not recompute.
struct CheckCounts {
  std::uint64_t recomputed = 0;     ///< Commits whose seed, rank and winner were recomputed from the call.
  std::uint64_t not_recomputed = 0; ///< Commits whose call or chain predecessor was not available.
};

/// Follows a ledger from its first entry and refuses what does not hold: sequence, terms and their hand-over
/// signatures, input hashes, seed chains, ranks, winners, decision hashes. Pure; not thread-safe. Every process that
/// judges a ledger (node, auditor, simulator) uses this class, so there is one copy of the rule.
class LedgerChecker {
public:
  /// Sessions whose last chain value is remembered; the least recently stepped is forgotten beyond it, and its next
  /// commit counts as not recomputed.
  static constexpr std::size_t sessions_max = 100'000;

  /// `pinned` is the first term's key when the caller knows it; otherwise the first term is trusted on first use.
  explicit LedgerChecker(std::optional<PublicKey> pinned = {}) : pinned_(std::move(pinned)) {}

  /// Takes the next leaf, with C(call) for a commit (empty: not available). Errors: verification, "entry N: field:
  /// found …, expected …"; the checker is unchanged then.
  Result<Entry> take(std::string_view leaf, std::string_view canonical_call);

  /// Checks a signed head against what was taken. Errors: verification (signature, key of another term, root);
  /// refused when the head is ahead of what was taken.
  Result<void> check_head(const SignedHead& head) const;

  std::uint64_t size() const { return frontier_.size(); }
  LedgerHead head() const;
  const std::optional<PublicKey>& key() const { return key_; }
  const CheckCounts& counts() const { return counts_; }

private:
  struct SessionTrail {
    std::uint32_t next_step = 0;
    ChainValue chain;
    std::uint64_t touched = 0; ///< Sequence number of its latest commit.
  };
  Result<void> check_epoch(const Entry& entry, const EpochEntry& body) const;
  Result<void> check_commit(const Entry& entry, const CommitEntry& body, std::string_view call, bool& recomputed) const;
  void forget_oldest();

  std::optional<PublicKey> pinned_;
  std::optional<PublicKey> key_;
  Epoch epoch_;
  merkle::Frontier frontier_;
  std::map<RunId, SessionTrail> trails_;
  std::map<std::uint64_t, RunId> by_touch_;
  CheckCounts counts_;
  /// Roots at recent sizes, so that a head signed a moment ago can still be checked.
  std::map<std::uint64_t, Digest> recent_roots_;
};

} // namespace forerun
