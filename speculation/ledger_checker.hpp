#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
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
  std::uint64_t recomputed =
      0;  ///< Commits whose seed, rank and winner were recomputed from the call.
  std::uint64_t not_recomputed = 0;  ///< Commits whose call or chain predecessor was not available.
};

/// Follows a ledger from its first entry and refuses what does not hold: sequence, terms and their
/// hand-over signatures, input hashes, seed chains, ranks, winners, decision hashes. Pure; not
/// thread-safe. Every process that judges a ledger (node, auditor, simulator) uses this class, so
/// there is one copy of the rule.
class LedgerChecker {
public:
  /// Sessions whose last chain value is remembered; the least recently stepped is forgotten beyond
  /// it, and its next commit counts as not recomputed.
  static constexpr std::size_t sessions_max = 100'000;

  /// Sizes back from the newest at which a signed head can still be checked.
  static constexpr std::size_t head_window = 16'384;

  /// `pinned` is the first term's key when the caller knows it; otherwise the first term is trusted
  /// on first use. `sessions` is smaller in tests only. @pre sessions > 0.
  explicit LedgerChecker(std::optional<PublicKey> pinned = {}, std::size_t sessions = sessions_max)
      : pinned_(std::move(pinned)), sessions_max_(sessions) {}

  /// Takes the next leaf, with C(call) for a commit (empty: not available). Errors: verification,
  /// "entry N: field: found …, expected …"; the checker is unchanged then.
  Result<Entry> take(std::string_view leaf, std::string_view canonical_call);

  /// Checks a signed head against what was taken. Errors: verification (signature, key of another
  /// term, root); refused when the head is ahead of what was taken, or behind by more than
  /// head_window.
  Result<void> check_head(const SignedHead& head) const;

  std::uint64_t size() const { return frontier_.size(); }
  LedgerHead head() const;
  const std::optional<PublicKey>& key() const { return key_; }
  const CheckCounts& counts() const { return counts_; }

private:
  struct SessionTrail {
    std::uint32_t next_step = 0;
    ChainValue chain;
    std::uint64_t touched = 0;  ///< Sequence number of its latest commit.
  };
  static constexpr std::size_t checkpoint_interval = 64;

  Result<void> check(const Entry& entry, std::string_view call, bool& recomputed) const;
  Result<void> check_epoch(const Entry& entry, const EpochEntry& body) const;
  Result<void> check_commit(const CommitEntry& body, std::string_view call, bool& recomputed) const;
  void follow(Seq seq, const CommitEntry& body);
  void append(const Digest& leaf_hash);
  std::optional<Digest> root_at(std::uint64_t size) const;

  std::optional<PublicKey> pinned_;
  std::size_t sessions_max_;
  std::optional<PublicKey> key_;  ///< Of the current term; empty before the first entry.
  Epoch epoch_;
  merkle::Frontier frontier_;
  std::map<RunId, SessionTrail> trails_;
  std::map<std::uint64_t, RunId> by_touch_;
  bool forgot_ = false;  ///< A trail was forgotten, so an unknown session need not be a new one.
  CheckCounts counts_;
  /// The tree's edge at every checkpoint_interval-th size, and the leaves from the oldest of them
  /// on: roots of recent sizes are made from these when a head asks, which costs less than keeping
  /// a root for each.
  std::deque<merkle::Frontier> checkpoints_;
  std::deque<Digest> recent_leaves_;
};

}  // namespace forerun
