#include "speculation/ledger_audit.hpp"

#include <utility>

#include "base/assert.hpp"

namespace forerun {

std::optional<std::string> wrong_text(const CommitEntry& commit, const EntryTexts& texts) {
  const auto check = [](std::string_view field, const std::optional<Digest>& recorded,
                        std::string_view text) -> std::optional<std::string> {
    if (text.empty()) {
      return std::nullopt;
    }
    const Digest hash = sha256(text);
    if (recorded == hash) {
      return std::nullopt;
    }
    return std::string(field) + "_hash: found " + (recorded ? to_hex(*recorded) : "null") +
           ", expected " + to_hex(hash) + ", which is that of its " + std::string(field);
  };
  if (!texts.call.empty() && sha256(texts.call) != commit.input_hash) {
    return "input_hash: found " + to_hex(commit.input_hash) + ", expected " +
           to_hex(sha256(texts.call)) + ", which is that of its call";
  }
  auto wrong = check("output", commit.output_hash, texts.output);
  wrong = wrong ? wrong : check("writes", commit.writes_hash, texts.writes);
  return wrong ? wrong : check("effects", commit.effects_hash, texts.effects);
}

LedgerAudit::LedgerAudit(std::string place, std::optional<PublicKey> first_key)
    : place_(std::move(place)), checker_(std::move(first_key)) {}

Result<Entry> LedgerAudit::take(std::string_view leaf, const EntryTexts& texts) {
  const std::uint64_t recomputed = checker_.counts().recomputed;
  auto entry = checker_.take(leaf, texts.call);
  if (!entry) {
    return fail(Errc::verification,
                place_ + ": " + change_before(leaf).value_or(entry.error().message));
  }
  leaves_.push_back(merkle::leaf_hash(leaf));
  if (const auto at = watched_.find(size()); at != watched_.end()) {
    at->second = checker_.head().root;
  }
  if (const auto* commit = std::get_if<CommitEntry>(&entry->body)) {
    if (const auto wrong = wrong_text(*commit, texts)) {
      return fail(Errc::verification, place_ + ": entry " + to_string(entry->seq) + ": " + *wrong);
    }
    const bool is_whole = (!commit->output_hash || !texts.output.empty()) &&
                          (!commit->writes_hash || !texts.writes.empty()) &&
                          (!commit->effects_hash || !texts.effects.empty());
    ++(checker_.counts().recomputed > recomputed && is_whole ? counts_.recomputed
                                                             : counts_.not_recomputed);
  } else if (const auto* term = std::get_if<EpochEntry>(&entry->body)) {
    terms_[entry->epoch] = {size() - 1, term->public_key};
  }
  return entry;
}

std::optional<std::string> LedgerAudit::change_before(std::string_view leaf) const {
  const auto entry = entry_of(leaf);
  const auto* term = entry ? std::get_if<EpochEntry>(&entry->body) : nullptr;
  const bool is_next = term != nullptr && entry->seq.value == size() && !terms_.empty() &&
                       entry->epoch > terms_.rbegin()->first;
  if (!is_next || !term->root || !term->previous_signature || *term->root == root_at(size())) {
    return std::nullopt;
  }
  const std::string signed_text =
      handover_message(entry->epoch, term->public_key, *term->root, entry->seq);
  if (!verify(terms_.rbegin()->second.key, signed_text, *term->previous_signature)) {
    return std::nullopt;  // Not what was signed, so it says nothing of what came before.
  }
  return change_in_latest_term(*term->root, "entry " + to_string(entry->seq));
}

std::string LedgerAudit::change_in_latest_term(const Digest& expected,
                                               const std::string& signer) const {
  const std::uint64_t first = terms_.rbegin()->second.first;
  const std::uint64_t last = size() - 1;
  const std::string which =
      first == last ? "entry " + std::to_string(last) + ": root up to it"
                    : "entries " + std::to_string(first) + " to " + std::to_string(last) +
                          " (one or more were changed, a root cannot tell which): "
                          "root up to them";
  return which + ": found " + to_hex(root_at(size())) + ", expected " + to_hex(expected) + ", as " +
         signer + " has signed";
}

Digest LedgerAudit::root_at(std::uint64_t size) const {
  FORERUN_ASSERT(size <= leaves_.size());
  if (size == leaves_.size()) {
    return checker_.head().root;
  }
  if (const auto at = watched_.find(size); at != watched_.end() && at->second) {
    return *at->second;
  }
  return merkle::root([this](std::uint64_t i) { return leaves_[i]; }, size);
}

tl::unexpected<Error> LedgerAudit::wrong(std::string_view claimant, const LedgerHead& head,
                                         std::string_view field, const std::string& found,
                                         const std::string& expected) const {
  return fail(Errc::verification, std::string(claimant) + ": head of size " +
                                      std::to_string(head.size) + ": " + std::string(field) +
                                      ": found " + found + ", expected " + expected);
}

Result<void> LedgerAudit::check_whole(const SignedHead& head) const {
  if (head.head.size > size()) {
    return fail(Errc::verification, place_ + ": entry " + std::to_string(size()) +
                                        ": found nothing, expected an entry: the signed head has " +
                                        std::to_string(head.head.size));
  }
  if (head.head.size < size()) {
    return fail(Errc::verification, place_ + ": entry " + std::to_string(head.head.size) +
                                        ": found an entry, expected nothing: the signed head has " +
                                        std::to_string(head.head.size));
  }
  const auto held = check_signed(place_, head);
  if (held || terms_.empty()) {
    return held;
  }
  const auto& [epoch, term] = *terms_.rbegin();
  if (verify_head(head) && head.head.epoch == epoch && head.public_key == term.key) {
    return fail(Errc::verification,
                place_ + ": " + change_in_latest_term(head.head.root, "the head"));
  }
  // What a term's entry has signed stands without the head.
  return fail(Errc::verification,
              held.error().message + (term.first == 0
                                          ? ""
                                          : "; the entries before " + std::to_string(term.first) +
                                                " are as that entry has signed"));
}

Result<void> LedgerAudit::check_signed(std::string_view claimant, const SignedHead& head) const {
  if (!verify_head(head)) {
    return wrong(claimant, head.head, "signature", to_hex(head.signature),
                 "one by key " + to_hex(head.public_key) + " over this head");
  }
  const auto term = terms_.find(head.head.epoch);
  const bool is_of_term =
      term != terms_.end() && term->second.first < head.head.size &&
      (std::next(term) == terms_.end() || head.head.size <= std::next(term)->second.first);
  if (!is_of_term) {
    return wrong(claimant, head.head, "epoch", to_string(head.head.epoch),
                 "the term of its last entry");
  }
  if (term->second.key != head.public_key) {
    return wrong(claimant, head.head, "public_key", to_hex(head.public_key),
                 to_hex(term->second.key));
  }
  return check_prefix(claimant, head.head);
}

Result<void> LedgerAudit::check_prefix(std::string_view claimant, const LedgerHead& head) const {
  if (head.size > size()) {
    return wrong(claimant, head, "size", std::to_string(head.size),
                 "at most " + std::to_string(size()) + ", the entries of " + place_);
  }
  if (const Digest root = root_at(head.size); root != head.root) {
    return wrong(claimant, head, "root", to_hex(head.root), to_hex(root));
  }
  if (head.size == 0 || head.size == size()) {
    return {};
  }
  const auto proof =
      merkle::consistency_proof([this](std::uint64_t i) { return leaves_[i]; }, head.size, size());
  if (!merkle::verify_consistency(head.size, size(), proof, head.root, root_at(size()))) {
    return wrong(claimant, head, "consistency", "a proof that does not hold",
                 "a prefix of " + place_);
  }
  return {};
}

}  // namespace forerun
