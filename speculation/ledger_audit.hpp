#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "speculation/entry.hpp"
#include "speculation/ledger_checker.hpp"
#include "speculation/merkle.hpp"

namespace forerun {

/// What lies beside an entry, as canonical texts. Empty: there is none, or it is not at hand, as
/// when it was erased.
struct EntryTexts {
  std::string_view call{};  ///< C(call).
  std::string_view output{};
  std::string_view writes{};
  std::string_view effects{};
};

/// What is wrong with a commit's texts, "output_hash: found …, expected …"; nothing when each that
/// is at hand is the one it was decided with.
std::optional<std::string> wrong_text(const CommitEntry& commit, const EntryTexts& texts);

/// An auditor's judgement over one whole ledger: every entry by LedgerChecker, every text beside it
/// by its hash, heads and roots of any size, also those that replicas claim. Keeps 32 bytes an
/// entry. Pure. Errors are verification, "PLACE: entry N: field: found …, expected …"; the place is
/// the ledger's, or the claimant's where a claim does not hold. A change that no rule shows, only
/// the next signed root, is somewhere in what that root covers and the one before does not: "PLACE:
/// entries A to B …: root up to them: found …, expected …, as entry C has signed".
class LedgerAudit {
public:
  /// `place` names the ledger in messages. `first_key` is the first term's key when it is pinned.
  explicit LedgerAudit(std::string place, std::optional<PublicKey> first_key = {});

  /// Wants the root of this size later: cheaper when told before the entries are taken.
  void watch(std::uint64_t size) { watched_.try_emplace(size); }
  /// Takes the next leaf. After an error nothing more can be taken; a leaf that holds and lies
  /// beside texts that do not still counts in size() and roots.
  Result<Entry> take(std::string_view leaf, const EntryTexts& texts);

  /// `head` is that of exactly what was taken. Says, where it does not hold, which entries are
  /// still vouched for by a later term, and which may have been changed.
  Result<void> check_whole(const SignedHead& head) const;
  /// A signed head of any size, by whom it was shown: signature, the key of its term, root.
  Result<void> check_signed(std::string_view claimant, const SignedHead& head) const;
  /// A head that is not signed: of a size that was taken, and a prefix of this ledger (root, and
  /// RFC 9162 consistency with the whole).
  Result<void> check_prefix(std::string_view claimant, const LedgerHead& head) const;

  std::uint64_t size() const { return leaves_.size(); }
  /// As LedgerChecker counts; a step also counts as not recomputed when one of its texts is not at
  /// hand.
  const CheckCounts& counts() const { return counts_; }
  /// @pre size <= this->size()
  Digest root_at(std::uint64_t size) const;

private:
  struct Term {
    std::uint64_t first = 0;  ///< Its `epoch` entry.
    PublicKey key;
  };
  /// Of a leaf that was refused: it opens a term and has signed another root than that of what was
  /// taken, so it is the term before that was changed.
  std::optional<std::string> change_before(std::string_view leaf) const;
  /// "entry A: root up to it: found …" of the latest term's entries.
  std::string change_in_latest_term(const Digest& expected, const std::string& signer) const;
  tl::unexpected<Error> wrong(std::string_view claimant, const LedgerHead& head,
                              std::string_view field, const std::string& found,
                              const std::string& expected) const;

  std::string place_;
  LedgerChecker checker_;
  CheckCounts counts_;
  std::vector<Digest> leaves_;
  std::map<Epoch, Term> terms_;
  std::map<std::uint64_t, std::optional<Digest>> watched_;
};

}  // namespace forerun
