#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "speculation/run_id_hash.hpp"
#include "storage/store.hpp"

/// Stores in memory that behave as those on a disk do, for the simulator. An object stands for the
/// disk: it outlives the brain that crashes, and the next one recovers from it. One thread at a
/// time.
namespace forerun {

/// What a write that reports failure leaves behind: a real disk may do either.
enum class FailedWrite { is_lost, is_kept };

class MemoryCoordinatorStore final : public CoordinatorStore {
public:
  Result<CoordinatorRecovery> recover(
      const std::function<void(const StoredEntry&)>& visit) override;
  Result<void> drop_opening_keys(std::size_t keys_max) override;
  Result<void> persist(std::span<const CoordinatorBatch> batches) override;
  Result<std::vector<StoredEntry>> read(Seq from, std::size_t count, bool whole) override;
  Result<SessionRecord> session(const RunId& run_id, const SessionPart& part) override;
  Result<SessionRow> session_row(const RunId& run_id) override;
  Result<std::optional<KeyRow>> key(const RunId& run_id, const std::string& key) override;
  Result<std::vector<StoredEntry>> steps(const RunId& run_id, StepNumber first,
                                         std::uint32_t count) override;
  Result<std::vector<HistoryRow>> history(std::uint64_t first, std::uint64_t last,
                                          std::size_t steps) override;
  Result<std::vector<CommitRecord>> commits(Seq from, Seq until, std::size_t count) override;
  Result<void> put_text(const std::string& name, const std::string& text) override;
  Result<std::optional<std::string>> text(const std::string& name) override;
  Result<std::uint64_t> size() override { return entries_.size(); }
  std::uint64_t sync_count() const override { return sync_count_; }

  /// The next persist or put_text fails with io, and so do all after it until crash(): as a store
  /// whose sync has failed.
  void fail_next_write(FailedWrite outcome) { next_failure_ = outcome; }
  /// Its process ends and is started again. All that persist returned for is there, since persist
  /// syncs.
  void crash();

private:
  /// Runs `write` as a disk would: not at all, or also when it then reports a failure.
  Result<void> write_through(const std::function<void()>& write);
  Result<void> check(std::span<const CoordinatorBatch> batches) const;
  void apply(const CoordinatorBatch& batch);
  void drop_obsolete_intents(const RunId& run_id);

  Epoch epoch_;         ///< The highest that was written.
  Epoch writer_epoch_;  ///< Of the process that uses it now.
  std::deque<StoredEntry> entries_;
  std::optional<LedgerHead> head_;
  std::optional<SignedHead> signed_head_;
  /// Places in entries_, by session; in step order, as sessions commit.
  std::unordered_map<RunId, std::vector<std::pair<StepNumber, std::size_t>>, RunIdHash> steps_;
  std::map<RunId, SessionRow> sessions_;
  std::map<std::pair<RunId, std::uint32_t>, TextRow> session_texts_;  ///< By place.
  struct Key {
    std::uint64_t number = 0;  ///< Rises as keys are put.
    KeyRow row;
  };
  std::map<std::pair<std::string, std::string>, Key> keys_;  ///< By scope and key.
  std::uint64_t keys_put_ = 0;
  std::map<std::pair<RunId, StepNumber>, IntentRow> intents_;
  std::map<WorkerId, std::uint64_t> marks_;
  std::map<WorkerId, OwnerRow> owners_;
  std::set<NodeId> quarantined_;
  std::map<std::uint64_t, HistoryRow> history_;
  std::map<EffectId, EffectRow> effects_;
  std::map<std::string, std::string> texts_;
  std::uint64_t sync_count_ = 0;
  std::optional<FailedWrite> next_failure_;
  Result<void> usable_;
};

class MemoryReplicaStore final : public ReplicaStore {
public:
  Result<Recovery> recover(const std::function<void(const StoredEntry&)>& visit) override;
  /// Syncs, with all before it, when it raises the epoch; else not.
  Result<void> persist(const ReplicaBatch& batch) override;
  Result<std::vector<StoredEntry>> read(Seq from, std::size_t count) override;
  Result<void> reset() override;

  /// As when a checkpoint has synced.
  void sync() { durable_ = {entries_.size(), recovery_}; }
  /// Entries that no sync has reached.
  std::size_t unsynced() const { return entries_.size() - durable_.size; }
  /// Of what was written after the last sync, the first `kept` entries are still there: a disk may
  /// have got so far by itself. @pre kept <= unsynced()
  void crash(std::size_t kept = 0);
  /// As of MemoryCoordinatorStore.
  void fail_next_write(FailedWrite outcome) { next_failure_ = outcome; }

private:
  struct Durable {
    std::size_t size = 0;
    Recovery recovery;
  };
  void apply(const ReplicaBatch& batch);

  std::vector<StoredEntry> entries_;
  Recovery recovery_;
  Durable durable_;
  std::optional<FailedWrite> next_failure_;
  Result<void> usable_;
};

class MemoryIdentityStore final : public IdentityStore {
public:
  Result<NodeIdentity> load() override { return identity_; }
  Result<void> save(std::span<const MarkRow> workers) override;

  /// All that save returned for is there, since save syncs.
  void crash();
  /// As of MemoryCoordinatorStore.
  void fail_next_write(FailedWrite outcome) { next_failure_ = outcome; }

private:
  NodeIdentity identity_;
  std::optional<FailedWrite> next_failure_;
  Result<void> usable_;
};

}  // namespace forerun
