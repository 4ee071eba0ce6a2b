#include "speculation/stored_ledger_check.hpp"

#include <variant>

#include "base/assert.hpp"
#include "base/hex.hpp"
#include "speculation/entry.hpp"
#include "speculation/ledger_audit.hpp"

namespace forerun {
namespace {

tl::unexpected<Error> wrong_root(std::uint64_t size, const Digest& found, const Digest& expected,
                                 const std::string& why) {
  const std::string entries = size == 1 ? "entry 0" : "entries 0 to " + std::to_string(size - 1);
  return fail(Errc::verification, entries + ": root: found " + to_hex(found) + ", expected " +
                                      to_hex(expected) + ", " + why);
}

}  // namespace

void StoredLedgerCheck::take(const StoredEntry& entry) {
  FORERUN_ASSERT(entry.seq.value == leaves_.size());
  if (leaves_.empty() || entry.epoch != epoch_) {
    const auto read = entry_of(entry.leaf);
    const auto* term = read ? std::get_if<EpochEntry>(&read->body) : nullptr;
    term_key_ = term != nullptr ? std::optional(term->public_key) : std::nullopt;
    epoch_ = entry.epoch;
  }
  if (!wrong_text_ && entry.run_id && entry.step) {
    const auto read = entry_of(entry.leaf);
    const auto* commit = read ? std::get_if<CommitEntry>(&read->body) : nullptr;
    const auto wrong =
        commit == nullptr
            ? std::nullopt
            : wrong_text(*commit, {entry.call, entry.output, entry.writes, entry.effects});
    if (wrong) {
      wrong_text_ = "entry " + to_string(entry.seq) + ": " + *wrong;
    }
  }
  leaves_.push_back(merkle::leaf_hash(entry.leaf));
  frontier_.append(leaves_.back());
}

Result<void> StoredLedgerCheck::finish(const CoordinatorRecovery& kept,
                                       const PublicKey& key) const {
  if (kept.head) {
    if (const auto sized = check_size(kept.head->size); !sized) {
      return sized;
    }
    if (const Digest root = frontier_.root(); root != kept.head->root) {
      return wrong_root(leaves_.size(), root, kept.head->root,
                        "which was kept with the last of them");
    }
  } else if (kept.signed_head) {
    return fail(Errc::verification,
                "head of all entries: found none, expected one beside that of size " +
                    std::to_string(kept.signed_head->head.size) + ", which is signed");
  }
  if (wrong_text_) {
    return fail(Errc::verification, *wrong_text_);
  }
  if (kept.signed_head) {
    if (const auto held = check_signed(*kept.signed_head); !held) {
      return held;
    }
  }
  if (!leaves_.empty() && term_key_ != key) {
    return fail(Errc::refused,
                "ledger key: found " + to_hex(key) + ", expected " +
                    (term_key_ ? to_hex(*term_key_) : "that of its last epoch entry") +
                    ", which signs the last term: put the keys folder of this ledger back");
  }
  return {};
}

Result<void> StoredLedgerCheck::check_size(std::uint64_t expected) const {
  const std::uint64_t found = leaves_.size();
  if (found < expected) {
    return fail(Errc::verification, "entry " + std::to_string(found) +
                                        ": found nothing, expected an entry: " +
                                        std::to_string(expected) + " were written");
  }
  if (found > expected) {
    return fail(Errc::verification, "entry " + std::to_string(expected) +
                                        ": found an entry, expected nothing: " +
                                        std::to_string(expected) + " were written");
  }
  return {};
}

Result<void> StoredLedgerCheck::check_signed(const SignedHead& head) const {
  const std::uint64_t size = head.head.size;
  if (!verify_head(head)) {
    return fail(Errc::verification, "signed head of size " + std::to_string(size) +
                                        ": signature: found " + to_hex(head.signature) +
                                        ", expected one by key " + to_hex(head.public_key));
  }
  if (size > leaves_.size()) {
    return check_size(size);
  }
  const Digest root = merkle::root([this](std::uint64_t i) { return leaves_[i]; }, size);
  if (root != head.head.root) {
    return wrong_root(size, root, head.head.root, "which was signed");
  }
  return {};
}

}  // namespace forerun
