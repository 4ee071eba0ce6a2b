#include "simulation/auditor.hpp"

#include <algorithm>
#include <variant>

#include "base/assert.hpp"
#include "speculation/effects.hpp"
#include "speculation/merkle.hpp"

namespace forerun::simulation {
namespace {

/// Causes that are not the branch's own doing (or that time made): without faults it would have
/// gone otherwise.
bool was_disturbed(const CommitEntry& commit) {
  return std::any_of(
      commit.branch_causes.begin(), commit.branch_causes.end(), [](const auto& cause) {
        return cause && (cause->starts_with("gave up after") || cause->starts_with("timed out") ||
                         cause->starts_with("unknown: "));
      });
}

}  // namespace

void Auditor::durable(const CoordinatorBatch& batch) {
  for (const SessionRow& row : batch.sessions) {
    const auto [at, is_new] = sessions_.try_emplace(row.run_id);
    if (is_new) {
      at->second.context = row.context;
      at->second.states.push_back(row.state);
    }
  }
  for (const IntentRow& intent : batch.intents) {
    if (intent.is_write) {
      intents_.emplace(intent.run_id, intent.step);
    }
  }
  for (const StoredEntry& entry : batch.entries) {
    follow(entry);
    follow_state(batch, entry);
  }
  for (const SessionRow& row : batch.sessions) {
    if (row.ended) {
      ended_.insert(row.run_id);
    }
  }
  follow_adopted();
  for (const OwnerRow& row : batch.owners) {
    owners_.insert_or_assign(row.worker, row.node);
  }
  for (const NodeId& node : batch.quarantined) {
    quarantined_.insert(node);
    if (node != liar_) {
      timeline_->violate(Rule::assertion, "node " + node.name + " is quarantined, and never lied");
    }
  }
  follow_texts(batch);
  follow_effects(batch);
  follow_history(batch);
}

/// All that is known of what left the cluster or reached it stays known, whatever the store forgot.
void Auditor::put_back(Auditor earlier) {
  earlier.adopted_ = std::move(leaves_);
  earlier.delivered_ = std::move(delivered_);
  earlier.dropped_ = std::move(dropped_);
  earlier.may_drop_ = std::move(may_drop_);
  earlier.said_ = std::move(said_);
  earlier.opened_ = std::move(opened_);
  earlier.opened_by_ = std::move(opened_by_);
  earlier.acknowledged_ = std::move(acknowledged_);
  earlier.speculations_ = std::move(speculations_);
  earlier.write_starts_ = std::move(write_starts_);
  *this = std::move(earlier);
}

std::optional<Digest> Auditor::output_hash(Seq seq) const {
  const auto entry = entry_of(leaves_.at(seq.value));
  const auto* commit = entry ? std::get_if<CommitEntry>(&entry->body) : nullptr;
  return commit == nullptr ? std::nullopt : commit->output_hash;
}

/// A session of which later steps are known by their entries alone has ended, or is not known.
void Auditor::follow_adopted() {
  for (const RunId& run_id : cut_off_) {
    if (sessions_.erase(run_id) > 0 && !ended_.contains(run_id)) {
      timeline_->violate(Rule::one_decision,
                         "run " + to_string(run_id) + " goes on though steps of it were adopted");
    }
  }
  cut_off_.clear();
}

/// Each was sent to its session, and has a place of its own among the session's texts.
void Auditor::follow_texts(const CoordinatorBatch& batch) {
  for (const TextRow& row : batch.texts) {
    const std::string place = "text " + std::to_string(row.place) + " of run " +
                              to_string(row.run_id) + " before step " + to_string(row.before) +
                              ": ";
    const auto session = sessions_.find(row.run_id);
    if (session == sessions_.end() || !said_.contains({row.run_id, row.text})) {
      timeline_->violate(Rule::acknowledged_kept, place + "nobody sent it to this session");
      return;
    }
    if (row.place != session->second.texts++ || row.before.value > session->second.commits.size()) {
      timeline_->violate(Rule::acknowledged_kept,
                         place + "expected place " + std::to_string(session->second.texts - 1) +
                             ", and at most " + std::to_string(session->second.commits.size()) +
                             " steps");
    }
  }
}

/// An effect comes with its commit, stays as it is, and ends when it was delivered, or was parked
/// and an operator gave it up.
void Auditor::follow_effects(const CoordinatorBatch& batch) {
  for (const EffectRow& row : batch.effects) {
    const std::string place = "effect " + row.key + ": ";
    const auto [at, is_new] = effects_.try_emplace(row.id, row);
    if (is_new) {
      const auto session = sessions_.find(row.id.run_id);
      if (effects_ended_.contains(row.id) || session == sessions_.end() ||
          row.id.step.value >= session->second.commits.size() || !effect_keys_.contains(row.key)) {
        timeline_->violate(Rule::effects, place + "kept, and no commit has it or it has ended");
      }
      continue;
    }
    if (at->second.key != row.key || at->second.effect != row.effect) {
      timeline_->violate(Rule::effects, place + "it became another one");
    }
    redriven_[row.id] += at->second.is_parked && !row.is_parked ? 1 : 0;
    at->second = row;
  }
  for (const EffectId& id : batch.effects_ended) {
    const auto at = effects_.find(id);
    if (at == effects_.end()) {
      timeline_->violate(Rule::effects, "an effect ends that was not kept");
      continue;
    }
    const EffectRow& row = at->second;
    if (!delivered_.contains(row.key)) {
      if (!row.is_parked || !may_drop_.contains(id)) {
        timeline_->violate(Rule::effects,
                           "effect " + row.key + ": it ends, and was never delivered");
      }
      dropped_.insert(row.key);
    }
    effects_ended_.insert(id);
    effects_.erase(at);
  }
}

/// Numbers rise while one is kept, and only what is kept is forgotten.
void Auditor::follow_history(const CoordinatorBatch& batch) {
  for (const std::uint64_t number : batch.forgotten) {
    if (taught_.erase(number) == 0) {
      timeline_->violate(Rule::acknowledged_kept, "taught session " + std::to_string(number) +
                                                      " is forgotten, and was not kept");
    }
  }
  for (const HistoryRow& row : batch.history) {
    if ((!taught_.empty() && row.entry.number <= taught_.rbegin()->first) ||
        row.entry.hash != sha256(row.text)) {
      timeline_->violate(Rule::acknowledged_kept,
                         "taught session " + std::to_string(row.entry.number) +
                             ": an older one has a higher number, or its text is another one");
    }
    taught_.insert_or_assign(row.entry.number, row.entry);
  }
}

Digest Auditor::root(std::uint64_t size) const {
  merkle::Frontier tree;
  for (std::uint64_t seq = 0; seq < size; ++seq) {
    tree.append(merkle::leaf_hash(leaves_.at(seq)));
  }
  return tree.root();
}

/// Write-sets apply in step order, and each was made from the state that its step was to see.
void Auditor::follow_state(const CoordinatorBatch& batch, const StoredEntry& stored) {
  if (!stored.step || is_adopted(stored.seq)) {
    return;
  }
  const std::string place = "ledger entry " + to_string(stored.seq) + ": ";
  if (ended_.contains(*stored.run_id)) {
    timeline_->violate(Rule::one_decision, place + "a step of a session that has ended");
  }
  const auto entry = entry_of(stored.leaf);
  const auto* commit = entry ? std::get_if<CommitEntry>(&entry->body) : nullptr;
  const auto row =
      std::find_if(batch.sessions.rbegin(), batch.sessions.rend(), [&](const SessionRow& each) {
        return each.run_id == *stored.run_id && each.next_step == stored.step->value + 1;
      });
  if (commit == nullptr || row == batch.sessions.rend()) {
    timeline_->violate(Rule::acknowledged_kept, place + "its session's row does not come with it");
    return;
  }
  if (commit->writes_hash.has_value() == stored.writes.empty() ||
      (commit->writes_hash && *commit->writes_hash != sha256(stored.writes)) ||
      commit->effects_hash.has_value() == stored.effects.empty() ||
      (commit->effects_hash && *commit->effects_hash != sha256(stored.effects))) {
    timeline_->violate(Rule::one_decision,
                       place + "writes_hash or effects_hash is not of what is stored");
  }
  SessionState& state = states_[*stored.run_id];
  const bool was_in_list = in_list_.contains(*stored.run_id);
  const bool is_in_list = !row->list_state.empty();
  if (!stored.writes.empty()) {
    const std::int64_t before = count_of(state.canonical());
    const std::int64_t made = count_of(stored.writes);
    if (was_in_list || is_in_list ? made > before + 1 : made != before + 1) {
      timeline_->violate(Rule::serial_equivalence,
                         place + "it was given another state than that before its step: wrote " +
                             std::to_string(made) + " after " + std::to_string(before));
    }
    const auto writes = write_set_of(stored.writes);
    auto changed = writes && *writes ? state.patched(**writes)
                                     : Result<SessionState>(fail(Errc::invalid, "no write-set"));
    if (!changed) {
      timeline_->violate(Rule::serial_equivalence, place + changed.error().message);
      return;
    }
    state = std::move(*changed);
  }
  if (row->state != state.canonical()) {
    timeline_->violate(Rule::serial_equivalence,
                       place + "state: found " + row->state + ", expected " + state.canonical());
  }
  committed_[*stored.run_id].state = row->state;
  sessions_[*stored.run_id].states.push_back(row->state);
  is_in_list ? static_cast<void>(in_list_.insert(*stored.run_id))
             : static_cast<void>(in_list_.erase(*stored.run_id));
  if (!stored.effects.empty()) {
    effect_keys_.insert(effect_key(commit->chain, 0));
  }
}

void Auditor::delivered(const std::string& key) {
  delivered_.insert(key);
  if (!effect_keys_.contains(key)) {
    timeline_->violate(Rule::effects,
                       "an effect with key " + key + " is delivered, and no commit has it");
  }
}

void Auditor::follow(const StoredEntry& stored) {
  const std::string place = "ledger entry " + to_string(stored.seq) + ": ";
  if (stored.seq.value != leaves_.size()) {
    timeline_->violate(Rule::one_ledger,
                       place + "expected entry " + std::to_string(leaves_.size()));
    return;
  }
  timeline_->note("durable " + stored.leaf);
  if (is_adopted(stored.seq) && stored.leaf != adopted_[stored.seq.value]) {
    timeline_->violate(Rule::one_ledger, place + "adopted, and it was another one before");
  }
  leaves_.push_back(stored.leaf);
  outputs_.push_back(stored.output);
  const auto entry = ledger_.take(stored.leaf, stored.call);
  if (!entry) {
    timeline_->violate(Rule::recomputed_winner, entry.error().message);
  } else if (const auto* commit = std::get_if<CommitEntry>(&entry->body)) {
    follow(stored, *entry, *commit);
  } else if (const auto* discard = std::get_if<DiscardEntry>(&entry->body)) {
    if (const auto session = sessions_.find(discard->run_id); session != sessions_.end()) {
      session->second.discards.push_back(stored.seq);
    }
    end_speculation({entry->epoch, discard->run_id, discard->speculation}, stored.seq);
  }
}

void Auditor::follow(const StoredEntry& stored, const Entry& entry, const CommitEntry& commit) {
  const std::string place = "ledger entry " + to_string(stored.seq) + ": run " +
                            to_string(commit.run_id) + " step " + to_string(commit.step) + " (" +
                            commit.task + ", " + std::string(to_string(commit.origin)) + "): ";
  std::uint32_t& next = next_step_[commit.run_id];
  if (commit.step.value != next) {
    timeline_->violate(Rule::one_decision, place + "expected step " + std::to_string(next));
  }
  ++next;
  ++steps_;
  if (const auto session = sessions_.find(commit.run_id); session != sessions_.end()) {
    session->second.commits.push_back(stored.seq);
  }
  committed_[commit.run_id].steps.push_back(
      {stored.call, commit.decision_hash(), was_disturbed(commit)});
  if (commit.output_hash.has_value() != commit.winner.has_value() ||
      (!is_adopted(stored.seq) && commit.output_hash &&
       *commit.output_hash != sha256(stored.output))) {
    timeline_->violate(Rule::one_decision, place + "output_hash is not of the stored output");
  }
  const auto call = Call::parse(stored.call);
  if (!call) {
    timeline_->violate(Rule::one_decision, place + call.error().message);
    return;
  }
  if (is_adopted(stored.seq)) {
    cut_off_.insert(commit.run_id);
  } else if (const auto followed = reference_.follow(commit, *call, stored.output); !followed) {
    timeline_->violate(Rule::serial_equivalence, place + followed.error().message);
  }
  if (commit.hit) {
    end_speculation({entry.epoch, commit.run_id, commit.hit->speculation}, stored.seq);
  }
}

void Auditor::end_speculation(const SpeculationKey& key, Seq seq) {
  const std::string place = "ledger entry " + to_string(seq) + ": speculation " +
                            to_string(std::get<2>(key)) + " of run " + to_string(std::get<1>(key));
  if (!speculations_.contains(key)) {
    timeline_->violate(Rule::accounted,
                       place + " never started in epoch " + to_string(std::get<0>(key)));
  }
  if (const auto [at, is_new] = ended_speculations_.emplace(key, seq); !is_new) {
    timeline_->violate(Rule::accounted, place + " ended before, in entry " + to_string(at->second));
  }
}

void Auditor::expect_durable(const std::string& who, std::uint64_t seq, const std::string& leaf) {
  if (seq >= leaves_.size()) {
    timeline_->violate(Rule::durable_first,
                       who + " has entry " + std::to_string(seq) + " before it is durable");
  } else if (leaves_[seq] != leaf) {
    timeline_->violate(Rule::one_ledger, who + " has another entry " + std::to_string(seq) +
                                             " than the coordinator's ledger");
  }
}

void Auditor::published(const Entries& entries) {
  for (std::size_t i = 0; i < entries.records.size(); ++i) {
    expect_durable("a publication", entries.first.value + i, entries.records[i].leaf);
  }
  if (entries.head && entries.head->head.size > leaves_.size()) {
    timeline_->violate(Rule::durable_first, "a head of size " +
                                                std::to_string(entries.head->head.size) +
                                                " is published before it is durable");
  }
}

void Auditor::welcomed(const SignedHead& head) {
  if (head.head.size > leaves_.size()) {
    timeline_->violate(Rule::durable_first, "a welcome names " + std::to_string(head.head.size) +
                                                " entries before they are durable");
  }
}

void Auditor::shown(Seq seq, const LedgerPage::Row& row) {
  expect_durable("a page of the ledger", seq.value, row.leaf);
  if (seq.value < outputs_.size() && outputs_[seq.value] != row.output) {
    timeline_->violate(Rule::one_decision,
                       "a page of the ledger shows another output of entry " + to_string(seq));
  }
}

void Auditor::replicated(const std::string& node, const StoredEntry& entry) {
  expect_durable(node, entry.seq.value, entry.leaf);
}

void Auditor::dispatched(const Dispatch& dispatch) {
  const auto owner = owners_.find(dispatch.worker);
  if (owner != owners_.end() && quarantined_.contains(owner->second)) {
    timeline_->violate(
        Rule::acknowledged_kept,
        "node " + owner->second.name + " is given work after its quarantine is durable");
  }
  if (!dispatch.http.empty()) {
    return;
  }
  const Task* task = catalog_->task(dispatch.task);
  FORERUN_ASSERT(task != nullptr);
  if (dispatch.owner.speculation) {
    speculations_.emplace(dispatch.epoch, dispatch.owner.run_id, *dispatch.owner.speculation);
  }
  if (task->effect == Effect::write &&
      (dispatch.speculative || !dispatch.owner.step ||
       !intents_.contains({dispatch.owner.run_id, *dispatch.owner.step}))) {
    timeline_->violate(Rule::durable_first, "write " + task->name + " of run " +
                                                to_string(dispatch.owner.run_id) +
                                                " is dispatched without a durable intent");
  }
}

void Auditor::started(const Dispatch& dispatch, std::size_t running, std::size_t slots) {
  if (running > slots) {
    timeline_->violate(Rule::settled_once, "worker " + to_string(dispatch.worker) + " runs " +
                                               std::to_string(running) + " branches in " +
                                               std::to_string(slots) + " slots");
  }
  if (!dispatch.http.empty()) {
    return;
  }
  const Task* task = catalog_->task(dispatch.task);
  if (task->effect == Effect::write && ++write_starts_[dispatch.outside_key] > 1 &&
      !task->idempotent) {
    timeline_->violate(Rule::settled_once, "write " + task->name + " of run " +
                                               to_string(dispatch.owner.run_id) +
                                               " runs twice and is not idempotent");
  }
}

void Auditor::answered(const StepAnswer& answer) {
  const std::string place = "the answer of run " + to_string(answer.run_id) + " step " +
                            std::to_string(answer.step) + " (" + answer.task + "): ";
  if (answer.seq.value >= leaves_.size()) {
    timeline_->violate(Rule::durable_first, place + "given before its entry is durable");
    return;
  }
  const auto entry = entry_of(leaves_[answer.seq.value]);
  const auto* commit = entry ? std::get_if<CommitEntry>(&entry->body) : nullptr;
  if (commit == nullptr || commit->run_id != answer.run_id || commit->step.value != answer.step) {
    timeline_->violate(Rule::one_decision,
                       place + "entry " + to_string(answer.seq) + " is not its commit");
    return;
  }
  if (answer.failed != !commit->winner || answer.output != outputs_[answer.seq.value] ||
      (commit->output_hash && *commit->output_hash != sha256(answer.output))) {
    timeline_->violate(Rule::one_decision, place + "its output is not that of its entry");
  }
  const Digest decision = commit->decision_hash();
  const auto [at, is_new] = acknowledged_.try_emplace({answer.run_id, answer.step}, decision);
  if (answer.decision_hash != decision || at->second != decision) {
    timeline_->violate(Rule::one_decision, place + "the decision changed");
  }
}

void Auditor::opened(const std::string& key, const RunId& run_id) {
  if (!sessions_.contains(run_id)) {
    timeline_->violate(Rule::durable_first,
                       "run ID " + to_string(run_id) + " is given before its session is durable");
  }
  const auto by = opened_by_.try_emplace(run_id, key).first;
  if (by->second != key) {
    timeline_->violate(Rule::run_ids, "run ID " + to_string(run_id) + " is used twice: by " +
                                          by->second + " and by " + key);
  }
  const auto as = opened_.try_emplace(key, run_id).first;
  if (as->second != run_id) {
    timeline_->violate(Rule::run_ids, "one opening got run IDs " + to_string(as->second) + " and " +
                                          to_string(run_id));
  }
}

void Auditor::ended(const RunId& run_id) {
  if (!ended_.contains(run_id)) {
    timeline_->violate(Rule::durable_first, "the end of run " + to_string(run_id) +
                                                " is confirmed before it is durable");
  }
}

void Auditor::finish(Epoch epoch) {
  for (const std::string& key : effect_keys_) {
    if (!delivered_.contains(key) && !dropped_.contains(key)) {
      timeline_->violate(Rule::effects,
                         "the committed effect with key " + key + " was never delivered");
    }
  }
  for (const SpeculationKey& key : speculations_) {
    if (std::get<0>(key) == epoch && ended_.contains(std::get<1>(key)) &&
        !ended_speculations_.contains(key)) {
      timeline_->violate(Rule::accounted, "speculation " + to_string(std::get<2>(key)) +
                                              " of run " + to_string(std::get<1>(key)) +
                                              " never ended, though its session did");
    }
  }
  for (const auto& [place, decision] : acknowledged_) {
    const auto committed = next_step_.find(place.first);
    if (committed == next_step_.end() || committed->second <= place.second) {
      timeline_->violate(Rule::acknowledged_kept, "the answered step " +
                                                      std::to_string(place.second) + " of run " +
                                                      to_string(place.first) + " is lost");
    }
  }
}

}  // namespace forerun::simulation
