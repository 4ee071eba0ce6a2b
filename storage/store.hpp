#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "speculation/durable.hpp"

namespace forerun {

/// The coordinator's durable memory. Every write carries the epoch and is refused when a newer one
/// exists. One thread calls it at a time.
class CoordinatorStore {
public:
  virtual ~CoordinatorStore() = default;

  /// Sessions, keys, intents and marks that a new coordinator starts from; `visit` gets every entry
  /// in order. One of a session that has ended, and whose effects are delivered, may come without
  /// its run ID and without the texts beside its leaf: most of a long ledger is of such.
  /// Keys of openings come in the order of the openings, oldest first.
  virtual Result<CoordinatorRecovery> recover(
      const std::function<void(const StoredEntry&)>& visit) = 0;
  /// Deletes idempotency keys of openings until `keys_max` are left; the tenant that has the most
  /// loses its oldest first, as OpeningKeys forgets them; of two with as many, the one whose oldest
  /// is older. Errors: as of put_text.
  virtual Result<void> drop_opening_keys(std::size_t keys_max) = 0;
  /// Makes all batches durable in one transaction (group commit); returns after the sync. Errors:
  /// refused (a newer epoch exists), io. After an error the process must end: nothing of the
  /// batches may be acted on.
  virtual Result<void> persist(std::span<const CoordinatorBatch> batches) = 0;

  /// Up to `count` entries from `from`, for catch-up and export. Only `leaf` and `call` (and the
  /// rest when `whole`).
  virtual Result<std::vector<StoredEntry>> read(Seq from, std::size_t count, bool whole) = 0;
  /// Steps of a session from `first` on: `count` at most, and fewer when they and what was
  /// discarded among them hold more than `bytes_max`; the first one comes always.
  struct SessionPart {
    StepNumber first{};
    std::uint32_t count = std::numeric_limits<std::uint32_t>::max();
    std::size_t bytes_max = std::numeric_limits<std::size_t>::max();
  };
  struct SessionRecord {
    SessionRow row;
    std::optional<StoredEntry> before;  ///< The commit ahead of these.
    std::vector<StoredEntry> commits;   ///< In step order.
    /// In the ledger's order: those between `before` and the last of `commits`; with the session's
    /// last step also those behind it. So each comes with one part of several.
    std::vector<StoredEntry> discards;
  };
  /// A part of a session, also of an ended one. Errors: not_found; io.
  virtual Result<SessionRecord> session(const RunId& run_id, const SessionPart& part) = 0;
  /// The session alone, without its steps. Errors: not_found; io.
  virtual Result<SessionRow> session_row(const RunId& run_id) = 0;
  /// What a session's idempotency key stands for, also when the session has ended; nothing when it
  /// never came. Errors: io.
  virtual Result<std::optional<KeyRow>> key(const RunId& run_id, const std::string& key) = 0;
  /// Of a session's commits those of steps [first, first + count), in step order; it reads no
  /// further back than `first`. Empty for a session that is not there. Errors: io.
  virtual Result<std::vector<StoredEntry>> steps(const RunId& run_id, StepNumber first,
                                                 std::uint32_t count) = 0;
  /// Taught sessions with numbers in [first, last), in order, with their texts; cut where `steps`
  /// steps or past_bytes_max bytes (store_file.hpp) are reached.
  virtual Result<std::vector<HistoryRow>> history(std::uint64_t first, std::uint64_t last,
                                                  std::size_t steps) = 0;
  /// A commit with what learning needs of its session.
  struct CommitRecord {
    Seq seq;
    RunId run_id;
    StepNumber step;
    bool is_last = false;  ///< Its session has ended, with it.
    std::string tenant;
    std::string context;             ///< With step 0 only.
    std::string call;                ///< Empty: erased.
    std::string output;              ///< Empty: erased, or the step failed.
    std::string leaf;                ///< Its entry.
    std::vector<std::string> texts;  ///< That reached its session between it and the one before.

    std::size_t bytes() const {
      std::size_t bytes = context.size() + call.size() + output.size() + leaf.size();
      for (const std::string& text : texts) {
        bytes += text.size();
      }
      return bytes;
    }
  };
  /// Commits in [from, until), in order, at most `count`; cut at past_bytes_max bytes.
  virtual Result<std::vector<CommitRecord>> commits(Seq from, Seq until, std::size_t count) = 0;
  /// Small named texts: catalog, signing keys' fingerprints, the last signed head.
  virtual Result<void> put_text(const std::string& name, const std::string& text) = 0;
  virtual Result<std::optional<std::string>> text(const std::string& name) = 0;
  virtual Result<std::uint64_t> size() = 0;
  /// Syncs done since it was opened, for the benchmark's honesty.
  virtual std::uint64_t sync_count() const = 0;
};

/// A node's replica of the ledger: written without waiting for the disk, since it can be fetched
/// again.
class ReplicaStore {
public:
  virtual ~ReplicaStore() = default;
  struct Recovery {
    Epoch epoch;  ///< Highest accepted.
    std::optional<SignedHead> head;
  };
  virtual Result<Recovery> recover(const std::function<void(const StoredEntry&)>& visit) = 0;
  virtual Result<void> persist(const ReplicaBatch& batch) = 0;
  virtual Result<std::vector<StoredEntry>> read(Seq from, std::size_t count) = 0;
  /// Drops every entry, the head and the epoch, keeping the old file beside it as
  /// `ledger.before-resync-N.db`.
  virtual Result<void> reset() = 0;
};

/// A node's UUIDs and run-ID marks: full sync, apart from the replica.
class IdentityStore {
public:
  virtual ~IdentityStore() = default;
  virtual Result<NodeIdentity> load() = 0;
  /// Adds workers that are new, raises marks; never lowers one. Durable on return.
  virtual Result<void> save(std::span<const MarkRow> workers) = 0;
};

/// Holds a data directory for one process (flock on `LOCK`); released on destruction, also by the
/// kernel after kill -9.
class DataDirectoryLock {
public:
  /// Creates the directory (0700) when it is missing. Errors: refused, naming the owner's process
  /// ID; io.
  static Result<DataDirectoryLock> acquire(const std::filesystem::path& directory);
  DataDirectoryLock(DataDirectoryLock&& other) noexcept;
  DataDirectoryLock& operator=(DataDirectoryLock&& other) noexcept;
  ~DataDirectoryLock();

private:
  explicit DataDirectoryLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

/// `DIR/ledger.db`, WAL, synchronous=FULL. Errors of all four: io; refused when the file was
/// written by a newer version; invalid when it is another program's or damaged. After an io error
/// of a write an object refuses all later ones.
Result<std::unique_ptr<CoordinatorStore>> open_coordinator_store(
    const std::filesystem::path& directory);
/// The same file opened read-only beside a running owner (export, offline commands). persist and
/// put_text are refused.
Result<std::unique_ptr<CoordinatorStore>> open_coordinator_store_readonly(
    const std::filesystem::path& directory);
/// `DIR/replica.db`, WAL, synchronous=NORMAL.
Result<std::unique_ptr<ReplicaStore>> open_replica_store(const std::filesystem::path& directory);
/// What reset() does, of a file that nobody has open, as one that cannot be opened: keeps it as
/// `ledger.before-resync-N.db`. Errors: io.
Result<void> put_replica_aside(const std::filesystem::path& directory);
/// The same file opened read-only beside its owner. persist and reset are refused.
Result<std::unique_ptr<ReplicaStore>> open_replica_store_readonly(
    const std::filesystem::path& directory);
/// `DIR/identity.db`, synchronous=FULL.
Result<std::unique_ptr<IdentityStore>> open_identity_store(const std::filesystem::path& directory);

}  // namespace forerun
