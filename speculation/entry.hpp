#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ed25519.hpp"
#include "base/result.hpp"
#include "base/sha256.hpp"
#include "base/time.hpp"
#include "speculation/ids.hpp"
#include "speculation/seed_chain.hpp"
#include "speculation/tie_break.hpp"

namespace forerun {

inline constexpr std::size_t entry_branches_max =
    64;  ///< What a reader accepts; the catalog allows fewer.

/// How a step's answer was had.
enum class Origin { hit, late_hit, miss };
std::string_view to_string(Origin origin);

/// Why a speculation ended without an answer.
enum class DiscardCause {
  wrong,
  stale,
  conflict,
  preempted,
  expired,
  failed,
  session_ended,
  turned_off
};
/// The words of the ledger: "wrong", "stale", "conflict", "pre-empted", "expired", "failed",
/// "session ended", "turned off".
std::string_view to_string(DiscardCause cause);

/// A new term; discards everything that older terms left open.
struct EpochEntry {
  std::string cause;  ///< start, restore, failover
  std::string version;
  PublicKey public_key;
  std::optional<Digest> root;  ///< Of all entries before it; from the second term on.
  std::optional<Signature>
      previous_signature;  ///< The previous term's key over JCS({epoch, public_key, root, seq}).
};

/// What speculation contributed to a commit that it answered.
struct HitRecord {
  SpeculationNumber speculation;
  double confidence = 0;
  std::uint32_t depth = 0;
  Duration saved{};
};

/// One confirmed step, decided.
struct CommitEntry {
  RunId run_id;
  StepNumber step;
  std::string task;
  Digest input_hash;
  std::vector<std::string> branch_names;                  ///< Declared order, as all branch_* are.
  std::vector<std::optional<Duration>> branch_latencies;  ///< Empty where a branch had not settled.
  std::vector<std::optional<bool>> branch_validities;     ///< As recorded_validities().
  std::vector<std::optional<std::string>> branch_causes;  ///< Why a branch is invalid.
  std::vector<std::optional<WorkerId>> workers;           ///< Where each branch ran.
  std::optional<std::size_t> winner;  ///< Empty: the step failed (-1 in the leaf).
  ChainValue chain;
  SelectRule select = SelectRule::ranked;
  std::vector<std::size_t> arrival_order;  ///< `first` only.
  std::optional<Digest> output_hash;
  std::optional<Digest> writes_hash;
  std::optional<Digest> effects_hash;
  Origin origin = Origin::miss;
  std::optional<HitRecord> hit;  ///< With origin hit or late_hit.
  Duration wasted{};             ///< Slot time of branches that lost.

  /// SHA-256 of JCS({branch_names, branch_validities, deterministic_tie_breaker_seed, effects_hash,
  /// input_hash, output_hash, run_id, select, step, task, winning_branch_index, writes_hash}).
  Digest decision_hash() const;
};

/// One speculation, ended without an answer.
struct DiscardEntry {
  RunId run_id;
  SpeculationNumber speculation;
  std::string task;
  Digest input_hash;
  DiscardCause cause = DiscardCause::wrong;
  double confidence = 0;
  std::uint32_t depth = 0;
  Duration wasted{};
  std::vector<WorkerId> workers;
};

/// A kind that this version does not know; kept by its bytes.
struct UnknownEntry {
  std::string kind;
};

struct Entry {
  Seq seq;
  Epoch epoch;
  std::variant<EpochEntry, CommitEntry, DiscardEntry, UnknownEntry> body;
};

/// The entry's leaf: its canonical JSON. @pre body is not UnknownEntry.
std::string leaf_of(const Entry& entry);
/// As leaf_of(), of a commit whose decision_hash() is at hand.
std::string leaf_of(Seq seq, Epoch epoch, const CommitEntry& body, const Digest& decision_hash);

/// Reads a leaf. Unknown fields are skipped. Errors, as "field: found …, expected …": invalid for a
/// leaf that is not canonical JSON, a missing or malformed field, or branch lists that do not fit
/// together (names are unique, 1 to entry_branches_max; indices are of branches); verification for
/// a `decision_hash` or seed that does not follow from the other fields. So what reads can be given
/// to select().
Result<Entry> entry_of(std::string_view leaf);

/// What the previous term's key signs to hand over to the next (EpochEntry::previous_signature).
std::string handover_message(Epoch epoch, const PublicKey& public_key, const Digest& root, Seq seq);

/// A ledger's size and root, not signed.
struct LedgerHead {
  std::uint64_t size = 0;
  Digest root;
  Epoch epoch;
  friend bool operator==(const LedgerHead&, const LedgerHead&) = default;
};

struct SignedHead {
  LedgerHead head;
  Signature signature;
  PublicKey public_key;
  friend bool operator==(const SignedHead&, const SignedHead&) = default;
};

/// JCS({"epoch", "root", "size"}).
std::string signed_message(const LedgerHead& head);
SignedHead sign_head(const SigningKey& key, const LedgerHead& head);
bool verify_head(const SignedHead& head);
/// `{"epoch", "public_key", "root", "signature", "size"}`, canonical.
std::string head_json(const SignedHead& head);
Result<SignedHead> head_from_json(std::string_view text);

/// Whether a recorded cause is the engine's own, which no second run can be expected to repeat.
bool is_engine_cause(std::string_view cause);

}  // namespace forerun
