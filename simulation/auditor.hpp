#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "simulation/timeline.hpp"
#include "simulation/world.hpp"
#include "speculation/client_api.hpp"
#include "speculation/ledger_checker.hpp"
#include "speculation/protocol.hpp"
#include "storage/memory_store.hpp"

namespace forerun::simulation {

/// Watches every boundary of the cluster and says which rule of design.md §8 was broken. It knows
/// what is durable, from the coordinator's store alone.
class Auditor {
public:
  Auditor(Timeline& timeline, const Catalog& catalog, const PublicKey& key)
      : timeline_(&timeline), catalog_(&catalog), reference_(catalog), ledger_(key) {}

  /// The one node that lies; no other may be quarantined.
  void expect_liar(NodeId node) { liar_ = std::move(node); }
  /// These are durable now; called with every batch, in order.
  void durable(const CoordinatorBatch& batch);
  /// The store was put back to what `earlier` saw of it. What is durable next adopts every entry
  /// that was durable since; what lay beside those is gone.
  void put_back(Auditor earlier);
  void published(const Entries& entries);
  /// A node is told of this ledger.
  void welcomed(const SignedHead& head);
  /// A node has stored this.
  void replicated(const std::string& node, const StoredEntry& entry);
  void dispatched(const Dispatch& dispatch);
  /// A worker starts a branch; it has so many running then.
  void started(const Dispatch& dispatch, std::size_t running, std::size_t slots);
  void answered(const StepAnswer& answer);
  /// An effect with this key has reached its receiver.
  void delivered(const std::string& key);
  /// This text was sent to a session; it may become durable.
  void said(const RunId& run_id, const std::string& text) { said_.emplace(run_id, text); }
  /// An operator asked to give this effect up; it may end without having been delivered.
  void may_drop(const EffectId& id) { may_drop_.insert(id); }
  /// A page of the ledger shows this.
  void shown(Seq seq, const LedgerPage::Row& row);
  /// Of what a commit's step answered; nothing when it failed. @pre seq < size()
  std::optional<Digest> output_hash(Seq seq) const;
  /// `key` names the opening over all its retries.
  void opened(const std::string& key, const RunId& run_id);
  void ended(const RunId& run_id);
  /// Nothing runs any more and faults have stopped.
  void finish(Epoch epoch);

  /// A session as it was committed, for it to be run again.
  struct Committed {
    struct Step {
      std::string call;
      Digest decision_hash;
      bool was_disturbed = false;  ///< A fault is part of its decision: a lost worker, a timeout.
    };
    std::vector<Step> steps;
    std::string state;  ///< After them.
  };
  const std::map<RunId, Committed>& committed() const { return committed_; }
  std::uint64_t size() const { return leaves_.size(); }
  std::uint64_t steps() const { return steps_; }
  const std::set<RunId>& ended_sessions() const { return ended_; }

  /// What is durable of a session.
  struct Session {
    std::string context;
    std::vector<std::string> states;  ///< Before its first step, and after each.
    std::vector<Seq> commits;         ///< In step order.
    std::vector<Seq> discards;
    std::uint32_t texts = 0;
  };
  /// Of which a row is durable.
  const std::map<RunId, Session>& sessions() const { return sessions_; }
  /// @pre seq < size()
  const std::string& leaf(Seq seq) const { return leaves_.at(seq.value); }
  const std::string& output(Seq seq) const { return outputs_.at(seq.value); }
  /// Of the ledger's first `size` entries. @pre size <= size()
  Digest root(std::uint64_t size) const;

  /// Effects that are neither delivered nor given up, as the store keeps them.
  const std::map<EffectId, EffectRow>& effects() const { return effects_; }
  bool has_ended(const EffectId& effect) const { return effects_ended_.contains(effect); }
  bool may_be_dropped(const EffectId& effect) const { return may_drop_.contains(effect); }
  bool is_delivered(const std::string& key) const { return delivered_.contains(key); }
  /// How often it was parked no more, by an operator's word.
  std::uint64_t redriven(const EffectId& effect) const {
    const auto at = redriven_.find(effect);
    return at == redriven_.end() ? 0 : at->second;
  }
  /// Taught sessions that are kept, by number.
  const std::map<std::uint64_t, HistoryEntry>& taught() const { return taught_; }

private:
  bool is_adopted(Seq seq) const { return seq.value < adopted_.size(); }
  void follow_state(const CoordinatorBatch& batch, const StoredEntry& stored);
  void follow_adopted();
  void follow_texts(const CoordinatorBatch& batch);
  void follow_effects(const CoordinatorBatch& batch);
  void follow_history(const CoordinatorBatch& batch);
  std::map<RunId, SessionState> states_;
  std::set<RunId> in_list_;            ///< Sessions whose latest commit left a list of calls open.
  std::set<std::string> effect_keys_;  ///< Of committed effects.
  std::set<std::string> delivered_;
  using SpeculationKey = std::tuple<Epoch, RunId, SpeculationNumber>;
  void follow(const StoredEntry& stored);
  void follow(const StoredEntry& stored, const Entry& entry, const CommitEntry& commit);
  void end_speculation(const SpeculationKey& key, Seq seq);
  void expect_durable(const std::string& who, std::uint64_t seq, const std::string& leaf);

  Timeline* timeline_;
  const Catalog* catalog_;
  Reference reference_;
  LedgerChecker ledger_;
  std::uint64_t steps_ = 0;
  std::vector<std::string> leaves_;
  std::vector<std::string> outputs_;
  std::map<RunId, std::uint32_t> next_step_;
  std::map<std::string, RunId> opened_;
  std::map<RunId, std::string> opened_by_;
  std::map<RunId, Session> sessions_;
  std::set<std::pair<RunId, std::string>> said_;
  std::map<EffectId, EffectRow> effects_;
  std::set<EffectId> effects_ended_;
  std::set<EffectId> may_drop_;
  std::vector<std::string> adopted_;  ///< Leaves that were durable before the store was put back.
  std::set<RunId> cut_off_;           ///< Sessions of which a commit was adopted.
  std::optional<NodeId> liar_;
  std::set<NodeId> quarantined_;
  std::map<WorkerId, NodeId> owners_;
  std::set<std::string> dropped_;  ///< Keys of effects.
  std::map<EffectId, std::uint64_t> redriven_;
  std::map<std::uint64_t, HistoryEntry> taught_;
  std::set<RunId> ended_;
  std::map<RunId, Committed> committed_;
  std::map<std::pair<RunId, std::uint32_t>, Digest> acknowledged_;
  std::set<SpeculationKey> speculations_;
  std::map<SpeculationKey, Seq> ended_speculations_;
  std::set<std::pair<RunId, StepNumber>> intents_;
  std::map<std::string, std::uint32_t> write_starts_;
};

}  // namespace forerun::simulation
