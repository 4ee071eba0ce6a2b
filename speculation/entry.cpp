#include "speculation/entry.hpp"

#include <algorithm>
#include <charconv>

#include "base/assert.hpp"
#include "base/hex.hpp"
#include "base/json.hpp"

namespace forerun {
namespace {

/// Writes one canonical object, member by member. The caller names members in ascending order; a
/// test reads every kind of entry back and compares.
class ObjectWriter {
public:
  ObjectWriter() { text_.reserve(1024); }

  void text(std::string_view name, std::string_view value) {
    begin(name);
    json::append_string(text_, value);
  }
  void number(std::string_view name, double value) {
    begin(name);
    json::append_number(text_, value);
  }
  void integer(std::string_view name, std::int64_t value) {
    begin(name);
    append_integer(value);
  }
  /// @pre value < 2^53: larger ones are not exact in JSON.
  void count(std::string_view name, std::uint64_t value) {
    FORERUN_ASSERT(value <= (std::uint64_t{1} << 53U) - 1);
    integer(name, static_cast<std::int64_t>(value));
  }
  void bytes(std::string_view name, std::span<const std::uint8_t> value) {
    begin(name);
    text_.push_back('"');
    append_hex(text_, value);
    text_.push_back('"');
  }
  void bytes(std::string_view name, const std::optional<Digest>& value) {
    if (value) {
      bytes(name, value->bytes);
    } else {
      begin(name);
      text_ += "null";
    }
  }
  /// `append` writes one item.
  template <class Items, class Append>
  void list(std::string_view name, const Items& items, Append&& append) {
    begin(name);
    text_.push_back('[');
    bool is_first = true;
    for (const auto& item : items) {
      if (!is_first) {
        text_.push_back(',');
      }
      is_first = false;
      append(text_, item);
    }
    text_.push_back(']');
  }
  std::string finish() && {
    text_.push_back('}');
    return std::move(text_);
  }

private:
  void begin(std::string_view name) {
    const std::size_t from = text_.size();
    text_.resize(from + name.size() + 4);
    char* to = text_.data() + from;
    *to++ = from == 0 ? '{' : ',';
    *to++ = '"';
    to = std::copy(name.begin(), name.end(), to);
    *to++ = '"';
    *to = ':';
  }
  void append_integer(std::int64_t value) {
    char buffer[24];
    text_.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  }
  std::string text_;
};

void append_text(std::string& out, const std::string& text) {
  json::append_string(out, text);
}
void append_validity(std::string& out, const std::optional<bool>& valid) {
  out += valid ? (*valid ? "true" : "false") : "null";
}
void append_cause(std::string& out, const std::optional<std::string>& cause) {
  if (cause) {
    json::append_string(out, *cause);
  } else {
    out += "null";
  }
}
void append_latency(std::string& out, const std::optional<Duration>& latency) {
  if (latency) {
    json::append_number(out, milliseconds_of(*latency));
  } else {
    out += "null";
  }
}
void append_worker(std::string& out, const WorkerId& worker) {
  json::append_string(out, to_string(worker));
}
void append_worker_if(std::string& out, const std::optional<WorkerId>& worker) {
  if (worker) {
    append_worker(out, *worker);
  } else {
    out += "null";
  }
}

std::int64_t winner_number(const std::optional<std::size_t>& winner) {
  return winner ? static_cast<std::int64_t>(*winner) : -1;
}

std::string leaf_of_epoch(const Entry& entry, const EpochEntry& body) {
  ObjectWriter out;
  out.text("cause", body.cause);
  out.count("epoch", entry.epoch.value);
  out.text("kind", "epoch");
  if (body.previous_signature) {
    out.bytes("previous_signature", body.previous_signature->bytes);
  }
  out.bytes("public_key", body.public_key.bytes);
  if (body.root) {
    out.bytes("root", body.root->bytes);
  }
  out.count("seq", entry.seq.value);
  out.text("version", body.version);
  return std::move(out).finish();
}

std::string leaf_of_commit(Seq seq, Epoch epoch, const CommitEntry& body,
                           const Digest& decision_hash) {
  FORERUN_ASSERT(body.hit.has_value() == (body.origin != Origin::miss));
  ObjectWriter out;
  if (body.select == SelectRule::first) {
    out.list("arrival_order", body.arrival_order,
             [](std::string& text, std::size_t i) { text += std::to_string(i); });
  }
  out.list("branch_causes", body.branch_causes, append_cause);
  out.list("branch_latencies_ms", body.branch_latencies, append_latency);
  out.list("branch_names", body.branch_names, append_text);
  out.list("branch_validities", body.branch_validities, append_validity);
  if (body.hit) {
    out.number("confidence", body.hit->confidence);
  }
  out.bytes("decision_hash", decision_hash.bytes);
  if (body.hit) {
    out.count("depth", body.hit->depth);
  }
  out.text("deterministic_tie_breaker_seed", seed_text(body.chain));
  out.bytes("effects_hash", body.effects_hash);
  out.count("epoch", epoch.value);
  out.bytes("input_hash", body.input_hash.bytes);
  out.text("kind", "commit");
  out.text("origin", to_string(body.origin));
  out.bytes("output_hash", body.output_hash);
  out.text("run_id", to_string(body.run_id));
  if (body.hit) {
    out.number("saved_ms", milliseconds_of(body.hit->saved));
  }
  out.bytes("seed_chain", body.chain.bytes);
  out.text("select", to_string(body.select));
  out.count("seq", seq.value);
  if (body.hit) {
    out.count("speculation", body.hit->speculation.value);
  }
  out.count("step", body.step.value);
  out.text("task", body.task);
  out.number("wasted_ms", milliseconds_of(body.wasted));
  out.integer("winning_branch_index", winner_number(body.winner));
  out.list("workers", body.workers, append_worker_if);
  out.bytes("writes_hash", body.writes_hash);
  return std::move(out).finish();
}

std::string leaf_of_discard(const Entry& entry, const DiscardEntry& body) {
  ObjectWriter out;
  out.text("cause", to_string(body.cause));
  out.number("confidence", body.confidence);
  out.count("depth", body.depth);
  out.count("epoch", entry.epoch.value);
  out.bytes("input_hash", body.input_hash.bytes);
  out.text("kind", "discard");
  out.text("run_id", to_string(body.run_id));
  out.count("seq", entry.seq.value);
  out.count("speculation", body.speculation.value);
  out.text("task", body.task);
  out.number("wasted_ms", milliseconds_of(body.wasted));
  out.list("workers", body.workers, append_worker);
  return std::move(out).finish();
}

}  // namespace

std::string_view to_string(Origin origin) {
  switch (origin) {
    case Origin::hit:
      return "hit";
    case Origin::late_hit:
      return "late_hit";
    case Origin::miss:
      return "miss";
  }
  FORERUN_ASSERT(false);
}

std::string_view to_string(DiscardCause cause) {
  switch (cause) {
    case DiscardCause::wrong:
      return "wrong";
    case DiscardCause::stale:
      return "stale";
    case DiscardCause::conflict:
      return "conflict";
    case DiscardCause::preempted:
      return "pre-empted";
    case DiscardCause::expired:
      return "expired";
    case DiscardCause::failed:
      return "failed";
    case DiscardCause::session_ended:
      return "session ended";
    case DiscardCause::turned_off:
      return "turned off";
  }
  FORERUN_ASSERT(false);
}

Digest CommitEntry::decision_hash() const {
  ObjectWriter out;
  out.list("branch_names", branch_names, append_text);
  out.list("branch_validities", branch_validities, append_validity);
  out.text("deterministic_tie_breaker_seed", seed_text(chain));
  out.bytes("effects_hash", effects_hash);
  out.bytes("input_hash", input_hash.bytes);
  out.bytes("output_hash", output_hash);
  out.text("run_id", to_string(run_id));
  out.text("select", to_string(select));
  out.count("step", step.value);
  out.text("task", task);
  out.integer("winning_branch_index", winner_number(winner));
  out.bytes("writes_hash", writes_hash);
  return sha256(std::move(out).finish());
}

std::string leaf_of(const Entry& entry) {
  if (const auto* epoch = std::get_if<EpochEntry>(&entry.body)) {
    return leaf_of_epoch(entry, *epoch);
  }
  if (const auto* commit = std::get_if<CommitEntry>(&entry.body)) {
    return leaf_of_commit(entry.seq, entry.epoch, *commit, commit->decision_hash());
  }
  const auto* discard = std::get_if<DiscardEntry>(&entry.body);
  FORERUN_ASSERT(discard != nullptr);
  return leaf_of_discard(entry, *discard);
}

std::string leaf_of(Seq seq, Epoch epoch, const CommitEntry& body, const Digest& decision_hash) {
  return leaf_of_commit(seq, epoch, body, decision_hash);
}

std::string handover_message(Epoch epoch, const PublicKey& public_key, const Digest& root,
                             Seq seq) {
  ObjectWriter out;
  out.count("epoch", epoch.value);
  out.bytes("public_key", public_key.bytes);
  out.bytes("root", root.bytes);
  out.count("seq", seq.value);
  return std::move(out).finish();
}

std::string signed_message(const LedgerHead& head) {
  ObjectWriter out;
  out.count("epoch", head.epoch.value);
  out.bytes("root", head.root.bytes);
  out.count("size", head.size);
  return std::move(out).finish();
}

SignedHead sign_head(const SigningKey& key, const LedgerHead& head) {
  return SignedHead{head, key.sign(signed_message(head)), key.public_key()};
}

bool verify_head(const SignedHead& head) {
  return verify(head.public_key, signed_message(head.head), head.signature);
}

std::string head_json(const SignedHead& head) {
  ObjectWriter out;
  out.count("epoch", head.head.epoch.value);
  out.bytes("public_key", head.public_key.bytes);
  out.bytes("root", head.head.root.bytes);
  out.bytes("signature", head.signature.bytes);
  out.count("size", head.head.size);
  return std::move(out).finish();
}

bool is_engine_cause(std::string_view cause) {
  return cause.starts_with("timed out after ") || cause.starts_with("gave up after ");
}

}  // namespace forerun
