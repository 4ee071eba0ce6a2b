#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "speculation/entry.hpp"
#include "speculation/ids.hpp"

/// What brains ask a store to keep, and what a store gives back at start. Values only;
/// storage/store.hpp has the interface.
namespace forerun {

enum class SpeculationMode : std::uint8_t { on, off, shadow };

/// One decision with what lies beside it. Texts are canonical JSON, empty when there is none.
struct StoredEntry {
  Seq seq;
  Epoch epoch;
  std::string leaf;
  std::string call;
  std::string output;
  std::string writes;
  std::string effects;
  std::string story;               ///< How it came about, for people: an object (explanation.hpp).
  std::optional<RunId> run_id;     ///< Of a commit or discard.
  std::optional<StepNumber> step;  ///< Of a commit.
};

/// A session's durable part; written whole whenever it changes.
struct SessionRow {
  RunId run_id;
  std::string tenant;
  std::string context;
  SpeculationMode mode = SpeculationMode::on;
  std::string world;            ///< The recorded session it follows; empty for none.
  std::uint32_t next_step = 0;  ///< Steps committed.
  ChainValue chain;             ///< Of the last committed step; meaningless while next_step == 0.
  std::string state;            ///< Canonical JSON object.
  std::string list_state;  ///< Before the list of calls that is partly committed; empty: none is.
  bool ended = false;
};

/// A text that reached a session after its context. Soft: nobody's answer waits for it.
struct TextRow {
  RunId run_id;
  StepNumber before;        ///< So many steps were committed when it came.
  std::uint32_t place = 0;  ///< Among the session's texts, from 0.
  std::string text;
};

/// What reached an open session after its context, all together.
struct TextTotals {
  RunId run_id;
  std::uint32_t count = 0;
  std::size_t bytes = 0;
};

/// An idempotency key and the request it answered. Scope: a run ID, or "open:TENANT".
struct KeyRow {
  std::string scope;
  std::string key;
  Digest request_hash;
  RunId run_id;
  std::uint32_t first_step = 0;
  std::uint32_t step_count = 0;
};

/// A confirmed step that is not committed yet and must not be forgotten, since a write at or after
/// it was dispatched. A row is obsolete, and removed by the store, once its session's next_step is
/// beyond it.
struct IntentRow {
  RunId run_id;
  StepNumber step;
  std::string call;       ///< C(call).
  bool is_write = false;  ///< Its own outcome is unknown after a crash.
  std::string key;        ///< Idempotency key of its request, or empty.
  Digest request_hash;
  std::uint32_t first_step = 0;  ///< Of its request.
  std::uint32_t step_count = 1;  ///< Of its request.
};

struct MarkRow {
  WorkerId worker;
  std::uint64_t mark = 0;
};

/// The key that a worker belongs to.
struct OwnerRow {
  WorkerId worker;
  NodeId node;
  std::string name;  ///< The operator's name of that key; empty: not known.
};

/// A session that happened elsewhere and was taught, as it is known by; its steps are a text beside
/// it (history.hpp).
struct HistoryEntry {
  std::uint64_t number = 0;  ///< Rises; later ones have higher ones.
  std::string tenant;
  std::string name;  ///< Unique within the tenant.
  Seq at;            ///< The ledger's size when it was taught: what it is learned after.
  std::uint32_t steps = 0;
  std::uint64_t bytes = 0;  ///< Of its text.
  Digest hash;              ///< Of its text.
};
struct HistoryRow {
  HistoryEntry entry;
  std::string text;
};

/// The index-th effect of a committed step.
struct EffectId {
  RunId run_id;
  StepNumber step;
  std::uint32_t index = 0;
  friend auto operator<=>(const EffectId&, const EffectId&) = default;
};

/// An effect that was not delivered yet.
struct EffectRow {
  EffectId id;
  std::string tenant;
  std::string key;         ///< effect_key()
  std::string effect;      ///< Canonical JSON.
  bool is_parked = false;  ///< Given up, until an operator says otherwise.
  std::uint32_t attempts = 0;
  std::string cause;  ///< Of the latest attempt that failed.
};

/// One transaction of the coordinator: durable whole or not at all.
struct CoordinatorBatch {
  BatchNumber number;
  Epoch epoch;  ///< Refused when the store has seen a newer one.
  std::vector<StoredEntry> entries;
  std::optional<LedgerHead> head;         ///< Of the ledger with these entries, when there are any.
  std::optional<SignedHead> signed_head;  ///< The latest one, when it is newer than the kept one.
  std::vector<SessionRow> sessions;
  std::vector<TextRow> texts;
  std::vector<KeyRow> keys;
  std::vector<IntentRow> intents;
  std::vector<MarkRow> marks;
  std::vector<OwnerRow> owners;          ///< New or changed.
  std::vector<NodeId> quarantined;       ///< Keys that are given no work any more.
  std::vector<std::uint64_t> forgotten;  ///< Numbers of taught sessions to drop, before `history`.
  std::vector<HistoryRow> history;       ///< Taught sessions to keep.
  std::vector<EffectRow> effects;        ///< New or changed.
  std::vector<EffectId> effects_ended;   ///< Delivered, or dropped by an operator.
  /// A signed head alone is not worth a sync.
  bool empty() const {
    return entries.empty() && sessions.empty() && texts.empty() && keys.empty() &&
           intents.empty() && marks.empty() && owners.empty() && quarantined.empty() &&
           forgotten.empty() && history.empty() && effects.empty() && effects_ended.empty();
  }
};

/// What a coordinator starts from, beside the entries themselves (which are visited in order).
struct CoordinatorRecovery {
  Epoch epoch;  ///< Highest ever accepted; 0 for a new store.
  /// Of all entries, as it was written with the last of them. Empty for a store without entries,
  /// and until the first write of one that an older version made.
  std::optional<LedgerHead> head;
  std::optional<SignedHead> signed_head;  ///< The latest that was kept; it may be behind.
  std::vector<SessionRow> sessions;       ///< Those not ended.
  std::vector<TextTotals> text_totals;    ///< Of those of them that have any, in order.
  std::vector<TextRow> texts;             ///< The last ones of these (recovered_texts.hpp).
  std::vector<KeyRow> keys;               ///< Of sessions not ended, and of openings.
  std::vector<IntentRow> intents;
  std::vector<MarkRow> marks;
  std::vector<OwnerRow> owners;
  std::vector<NodeId> quarantined;
  std::vector<HistoryEntry> history;  ///< Taught sessions, by number.
  std::vector<EffectRow> effects;     ///< In the order of their IDs.
};

/// One transaction of a node's replica. Not waited for by anyone outside the node.
struct ReplicaBatch {
  std::vector<StoredEntry> entries;  ///< leaf and call only.
  std::optional<SignedHead> head;    ///< Latest that was verified.
  std::optional<Epoch> epoch;        ///< Highest accepted; a node accepts a number once.
};

/// What a node keeps with a full sync, apart from its replica.
struct NodeIdentity {
  std::vector<MarkRow> workers;  ///< One a worker; the mark is its highest reserved run-ID counter.
};

}  // namespace forerun
