#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "storage/store.hpp"

namespace forerun::simulation {

/// The store that a process's actors see: a disk that outlives them, and whose writes its host
/// carries out, or fails.
class WatchedCoordinatorStore final : public CoordinatorStore {
public:
  using Write = std::function<Result<void>(std::span<const CoordinatorBatch>)>;
  WatchedCoordinatorStore(CoordinatorStore& disk, Write write)
      : disk_(disk), write_(std::move(write)) {}
  Result<void> persist(std::span<const CoordinatorBatch> batches) override {
    return write_(batches);
  }
  Result<CoordinatorRecovery> recover(
      const std::function<void(const StoredEntry&)>& visit) override {
    return disk_.recover(visit);
  }
  Result<void> drop_opening_keys(std::size_t keys_max) override {
    return disk_.drop_opening_keys(keys_max);
  }
  Result<std::vector<StoredEntry>> read(Seq from, std::size_t count, bool whole) override {
    return disk_.read(from, count, whole);
  }
  Result<SessionRecord> session(const RunId& run_id, const SessionPart& part) override {
    return disk_.session(run_id, part);
  }
  Result<SessionRow> session_row(const RunId& run_id) override { return disk_.session_row(run_id); }
  Result<std::optional<KeyRow>> key(const RunId& run_id, const std::string& key) override {
    return disk_.key(run_id, key);
  }
  Result<std::vector<StoredEntry>> steps(const RunId& run_id, StepNumber first,
                                         std::uint32_t count) override {
    return disk_.steps(run_id, first, count);
  }
  Result<std::vector<HistoryRow>> history(std::uint64_t first, std::uint64_t last,
                                          std::size_t steps) override {
    return disk_.history(first, last, steps);
  }
  Result<std::vector<CommitRecord>> commits(Seq from, Seq until, std::size_t count) override {
    return disk_.commits(from, until, count);
  }
  Result<void> put_text(const std::string& name, const std::string& text) override {
    return disk_.put_text(name, text);
  }
  Result<std::optional<std::string>> text(const std::string& name) override {
    return disk_.text(name);
  }
  Result<std::uint64_t> size() override { return disk_.size(); }
  std::uint64_t sync_count() const override { return disk_.sync_count(); }

private:
  CoordinatorStore& disk_;
  Write write_;
};

/// The same of a node's replica.
class WatchedReplicaStore final : public ReplicaStore {
public:
  using Write = std::function<Result<void>(const ReplicaBatch&)>;
  WatchedReplicaStore(ReplicaStore& disk, Write write) : disk_(disk), write_(std::move(write)) {}
  Result<void> persist(const ReplicaBatch& batch) override { return write_(batch); }
  Result<Recovery> recover(const std::function<void(const StoredEntry&)>& visit) override {
    return disk_.recover(visit);
  }
  Result<std::vector<StoredEntry>> read(Seq from, std::size_t count) override {
    return disk_.read(from, count);
  }
  Result<void> reset() override { return disk_.reset(); }

private:
  ReplicaStore& disk_;
  Write write_;
};

/// The same of its run-ID marks.
class WatchedIdentityStore final : public IdentityStore {
public:
  using Write = std::function<Result<void>(std::span<const MarkRow>)>;
  WatchedIdentityStore(IdentityStore& disk, Write write) : disk_(disk), write_(std::move(write)) {}
  Result<NodeIdentity> load() override { return disk_.load(); }
  Result<void> save(std::span<const MarkRow> workers) override { return write_(workers); }

private:
  IdentityStore& disk_;
  Write write_;
};

}  // namespace forerun::simulation
