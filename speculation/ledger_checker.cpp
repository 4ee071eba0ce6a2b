#include "speculation/ledger_checker.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/json.hpp"

namespace forerun {
namespace {

tl::unexpected<Error> differs(std::string_view field, const std::string& found,
                              const std::string& expected) {
  return fail(Errc::verification,
              std::string(field) + ": found " + found + ", expected " + expected);
}

std::string text_of(const std::vector<std::optional<bool>>& validities) {
  std::string text = "[";
  for (const auto& valid : validities) {
    text += text.size() == 1 ? "" : ",";
    text += valid ? (*valid ? "true" : "false") : "null";
  }
  return text + "]";
}

std::string text_of(const std::optional<std::size_t>& winner) {
  return winner ? std::to_string(*winner) : "-1";
}

/// The call is the text that the hash names. Cheap checks of its shape suffice to tie it to the
/// task: the same hash is in the signed leaf, so nobody but the signer could have chosen another
/// text.
Result<void> check_call(const CommitEntry& body, std::string_view call) {
  const Digest hash = call_hash(call);
  if (hash != body.input_hash) {
    return differs("input_hash", to_hex(body.input_hash), to_hex(hash));
  }
  std::string tail = ",\"task\":";
  json::append_string(tail, body.task);
  tail.push_back('}');
  if (!call.starts_with("{\"input\":{") || !call.ends_with(tail)) {
    return differs("task", "a call of another task", "\"" + body.task + "\"");
  }
  return {};
}

/// The recorded winner and validities are what the rule makes of the chain.
Result<void> check_winner(const CommitEntry& body) {
  const Selection selection = select(body.select, body.chain, body.branch_names,
                                     body.branch_validities, body.arrival_order);
  if (selection.state == Selection::State::undecided) {
    return differs("branch_validities", text_of(body.branch_validities), "a decided race");
  }
  std::optional<std::size_t> winner;
  if (selection.state == Selection::State::winner) {
    winner = selection.index;
  }
  if (body.winner != winner) {
    return differs("winning_branch_index", text_of(body.winner), text_of(winner));
  }
  const auto recorded = recorded_validities(body.select, body.chain, body.branch_names,
                                            body.branch_validities, body.arrival_order, winner);
  if (recorded != body.branch_validities) {
    return differs("branch_validities", text_of(body.branch_validities), text_of(recorded));
  }
  if (body.select != SelectRule::first) {
    return {};
  }
  const auto settled =
      std::count_if(recorded.begin(), recorded.end(), [](const auto& v) { return v.has_value(); });
  if (recorded_arrival(body.arrival_order, winner) != body.arrival_order ||
      static_cast<std::size_t>(settled) != body.arrival_order.size()) {
    return differs("arrival_order", std::to_string(body.arrival_order.size()) + " branches",
                   "the " + std::to_string(settled) + " that settled, the winner last");
  }
  return {};
}

/// A failed step has no answer; every other one has.
Result<void> check_hashes(const CommitEntry& body) {
  if (body.winner.has_value() != body.output_hash.has_value()) {
    return differs("output_hash", body.output_hash ? to_hex(*body.output_hash) : "null",
                   body.winner ? "a digest" : "null");
  }
  if (!body.winner && (body.writes_hash || body.effects_hash)) {
    return differs(body.writes_hash ? "writes_hash" : "effects_hash", "a digest", "null");
  }
  return {};
}

}  // namespace

Result<Entry> LedgerChecker::take(std::string_view leaf, std::string_view canonical_call) {
  const auto refused = [this](const Error& error) {
    return fail(Errc::verification, "entry " + std::to_string(size()) + ": " + error.message);
  };
  auto entry = entry_of(leaf);
  if (!entry) {
    return refused(entry.error());
  }
  bool recomputed = false;
  if (const auto held = check(*entry, canonical_call, recomputed); !held) {
    return refused(held.error());
  }
  if (const auto* epoch = std::get_if<EpochEntry>(&entry->body)) {
    epoch_ = entry->epoch;
    key_ = epoch->public_key;
  } else if (const auto* commit = std::get_if<CommitEntry>(&entry->body)) {
    ++(recomputed ? counts_.recomputed : counts_.not_recomputed);
    follow(entry->seq, *commit);
  }
  append(merkle::leaf_hash(leaf));
  return entry;
}

Result<void> LedgerChecker::check(const Entry& entry, std::string_view call,
                                  bool& recomputed) const {
  if (entry.seq.value != size()) {
    return differs("seq", to_string(entry.seq), std::to_string(size()));
  }
  if (const auto* epoch = std::get_if<EpochEntry>(&entry.body)) {
    return check_epoch(entry, *epoch);
  }
  if (!key_) {
    return differs("kind", "another", "epoch, which opens a ledger");
  }
  if (entry.epoch != epoch_) {
    return differs("epoch", to_string(entry.epoch), to_string(epoch_));
  }
  if (const auto* commit = std::get_if<CommitEntry>(&entry.body)) {
    return check_commit(*commit, call, recomputed);
  }
  return {};
}

Result<void> LedgerChecker::check_epoch(const Entry& entry, const EpochEntry& body) const {
  if (entry.epoch <= epoch_) {
    return differs("epoch", to_string(entry.epoch), "more than " + to_string(epoch_));
  }
  if (!key_) {
    if (pinned_ && body.public_key != *pinned_) {
      return differs("public_key", to_hex(body.public_key), to_hex(*pinned_));
    }
    if (body.root || body.previous_signature) {
      return differs(body.root ? "root" : "previous_signature", "one", "none in the first term");
    }
    return {};
  }
  if (!body.root || !body.previous_signature) {
    return differs(body.root ? "previous_signature" : "root", "none",
                   "one from the second term on");
  }
  if (const Digest root = frontier_.root(); *body.root != root) {
    return differs("root", to_hex(*body.root), to_hex(root));
  }
  const std::string message = handover_message(entry.epoch, body.public_key, *body.root, entry.seq);
  if (!verify(*key_, message, *body.previous_signature)) {
    return differs("previous_signature", to_hex(*body.previous_signature),
                   "one by key " + to_hex(*key_));
  }
  return {};
}

Result<void> LedgerChecker::check_commit(const CommitEntry& body, std::string_view call,
                                         bool& recomputed) const {
  const auto trail = trails_.find(body.run_id);
  const bool is_known = trail != trails_.end();
  const std::uint32_t next_step = is_known ? trail->second.next_step : 0;
  // Beyond sessions_max a session's trail may have been forgotten; before that, none can be
  // missing.
  const bool may_be_forgotten = !is_known && forgot_;
  if (body.step.value != next_step && !may_be_forgotten) {
    return differs("step", to_string(body.step), std::to_string(next_step));
  }
  if (!call.empty()) {
    if (const auto held = check_call(body, call); !held) {
      return held;
    }
    if (is_known || body.step.value == 0) {
      const ChainValue chain = is_known ? chain_next(trail->second.chain, call)
                                        : chain_start(call, to_string(body.run_id));
      if (body.chain != chain) {
        return differs("seed_chain", to_hex(body.chain), to_hex(chain));
      }
      recomputed = true;
    }
  }
  if (const auto held = check_winner(body); !held) {
    return held;
  }
  return check_hashes(body);
}

void LedgerChecker::follow(Seq seq, const CommitEntry& body) {
  SessionTrail& trail = trails_[body.run_id];
  if (trail.next_step != 0) {
    by_touch_.erase(trail.touched);
  }
  trail = SessionTrail{body.step.value + 1, body.chain, seq.value};
  by_touch_.emplace(seq.value, body.run_id);
  if (trails_.size() > sessions_max_) {
    trails_.erase(by_touch_.begin()->second);
    by_touch_.erase(by_touch_.begin());
    forgot_ = true;
  }
}

void LedgerChecker::append(const Digest& leaf_hash) {
  if (frontier_.size() % checkpoint_interval == 0) {
    checkpoints_.push_back(frontier_);
    if (checkpoints_.size() > head_window / checkpoint_interval + 1) {
      checkpoints_.pop_front();
      recent_leaves_.erase(recent_leaves_.begin(), recent_leaves_.begin() + checkpoint_interval);
    }
  }
  recent_leaves_.push_back(leaf_hash);
  frontier_.append(leaf_hash);
}

std::optional<Digest> LedgerChecker::root_at(std::uint64_t size) const {
  if (size == frontier_.size()) {
    return frontier_.root();
  }
  if (checkpoints_.empty() || size < checkpoints_.front().size() || size > frontier_.size()) {
    return std::nullopt;
  }
  const std::uint64_t first = checkpoints_.front().size();
  merkle::Frontier edge = checkpoints_[(size - first) / checkpoint_interval];
  while (edge.size() < size) {
    edge.append(recent_leaves_[edge.size() - first]);
  }
  return edge.root();
}

Result<void> LedgerChecker::check_head(const SignedHead& head) const {
  const auto wrong = [&](std::string_view field, const std::string& found,
                         const std::string& expected) {
    return fail(Errc::verification, "head of size " + std::to_string(head.head.size) + ": " +
                                        std::string(field) + ": found " + found + ", expected " +
                                        expected);
  };
  if (!verify_head(head)) {
    return wrong("signature", to_hex(head.signature), "one by key " + to_hex(head.public_key));
  }
  if (head.head.size > size()) {
    return fail(Errc::refused, "head of size " + std::to_string(head.head.size) + ": found " +
                                   std::to_string(size()) +
                                   " entries, expected as many as the head's");
  }
  if (!key_ || head.public_key != *key_) {
    return wrong("public_key", to_hex(head.public_key), key_ ? to_hex(*key_) : "a first term");
  }
  if (head.head.epoch != epoch_) {
    return wrong("epoch", to_string(head.head.epoch), to_string(epoch_));
  }
  const auto root = root_at(head.head.size);
  if (!root) {
    return fail(Errc::refused, "head of size " + std::to_string(head.head.size) +
                                   ": expected one of the last " + std::to_string(head_window) +
                                   " sizes");
  }
  if (*root != head.head.root) {
    return wrong("root", to_hex(head.head.root), to_hex(*root));
  }
  return {};
}

LedgerHead LedgerChecker::head() const {
  return LedgerHead{size(), frontier_.root(), epoch_};
}

}  // namespace forerun
