#include <algorithm>
#include <optional>
#include <utility>

#include "base/failpoint.hpp"
#include "storage/checkpointer.hpp"
#include "storage/rules.hpp"
#include "storage/sqlite.hpp"
#include "storage/store_file.hpp"
#include "storage/store_settings.hpp"

namespace forerun {

namespace {

using sqlite::Row;
using sqlite::Statement;

/// The coordinator's ledger without what only it knows: a node's entries name their sessions in the
/// leaf, and of what lies beside them only the call is here, in the same row.
constexpr const char* replica_upgrades[] = {
    "ALTER TABLE entries ADD COLUMN call TEXT;"
    "UPDATE entries SET call = (SELECT call FROM payloads p WHERE p.seq = entries.seq);"
    "DROP TABLE payloads;"};

constexpr StoreFile replica_file = {.subject = "a ledger replica",
                                    .application_id = 0x46525250,
                                    .version = 2,
                                    .page_size = "PRAGMA page_size = 16384",
                                    // Entries are added at the end and seldom read: what is kept
                                    // beyond that only costs memory, for each node.
                                    .cache_size = "PRAGMA cache_size = -4096",
                                    .schema = R"sql(
CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL);
INSERT INTO meta VALUES (1, 0);
CREATE TABLE head(one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, root BLOB NOT NULL,
                  epoch INTEGER NOT NULL, signature BLOB NOT NULL, public_key BLOB NOT NULL);
CREATE TABLE entries(seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, leaf TEXT NOT NULL, call TEXT);
)sql",
                                    .upgrades = replica_upgrades};

struct ReplicaStatements {
  Statement epoch, size, head, entries, add_entry, set_epoch, set_head;
};

struct ReplicaStatementText {
  Statement ReplicaStatements::*statement;
  const char* sql;
};

constexpr ReplicaStatementText texts[] = {
    {&ReplicaStatements::epoch, "SELECT epoch FROM meta"},
    {&ReplicaStatements::size, "SELECT ifnull(max(seq) + 1, 0) FROM entries"},
    {&ReplicaStatements::head, "SELECT size, root, epoch, signature, public_key FROM head"},
    {&ReplicaStatements::entries,
     "SELECT seq, epoch, leaf, call FROM entries WHERE seq >= ?1 ORDER BY seq"},
    {&ReplicaStatements::add_entry,
     "INSERT INTO entries(seq, epoch, leaf, call) VALUES (?1, ?2, ?3, ?4)"},
    {&ReplicaStatements::set_epoch, "UPDATE meta SET epoch = ?1"},
    {&ReplicaStatements::set_head,
     "INSERT OR REPLACE INTO head(one, size, root, epoch, signature, public_key) VALUES (1, ?1, "
     "?2, ?3, ?4, ?5)"},
};

/// A file and what works on it; replaced as one when the replica starts anew.
struct OpenReplica {
  sqlite::Connection connection;
  ReplicaStatements statements;
  std::unique_ptr<Checkpointer> checkpointer;  ///< Null when it is read only.
};

Result<void> prepare_all(OpenReplica& replica) {
  for (const ReplicaStatementText& text : texts) {
    auto prepared = replica.connection.prepare(text.sql);
    if (!prepared) {
      return tl::unexpected(prepared.error());
    }
    replica.statements.*text.statement = std::move(*prepared);
  }
  return {};
}

Result<OpenReplica> open_replica(const std::filesystem::path& path, const StoreSettings& settings) {
  auto connection = open_store_file(path, replica_file, settings.disk->name());
  if (!connection) {
    return tl::unexpected(connection.error());
  }
  OpenReplica replica{std::move(*connection), {}, {}};
  // Only the checkpointer syncs: what a power cut takes is fetched again.
  if (auto set = replica.connection.execute("PRAGMA synchronous = NORMAL"); !set) {
    return tl::unexpected(set.error());
  }
  if (auto prepared = prepare_all(replica); !prepared) {
    return tl::unexpected(prepared.error());
  }
  auto checkpointer = Checkpointer::start(path, settings.disk->name(), settings.checkpoint_pages);
  if (!checkpointer) {
    return tl::unexpected(checkpointer.error());
  }
  replica.checkpointer = std::move(*checkpointer);
  return replica;
}

StoredEntry replica_entry_of(const Row& row) {
  StoredEntry entry;
  entry.seq = Seq{row.number(0)};
  entry.epoch = Epoch{row.number(1)};
  entry.leaf = row.text(2);
  entry.call = row.text(3);
  return entry;
}

SignedHead head_of(const Row& row) {
  SignedHead head;
  head.head.size = row.number(0);
  head.head.root.bytes = row.bytes<32>(1);
  head.head.epoch = Epoch{row.number(2)};
  head.signature.bytes = row.bytes<64>(3);
  head.public_key.bytes = row.bytes<32>(4);
  return head;
}

class SqliteReplicaStore final : public ReplicaStore {
public:
  SqliteReplicaStore(std::filesystem::path directory, StoreSettings settings, OpenReplica replica)
      : directory_(std::move(directory)),
        settings_(std::move(settings)),
        replica_(std::move(replica)) {}

  Result<Recovery> recover(const std::function<void(const StoredEntry&)>& visit) override;
  Result<void> persist(const ReplicaBatch& batch) override;
  Result<std::vector<StoredEntry>> read(Seq from, std::size_t count) override;
  Result<void> reset() override;

private:
  Result<void> writable();
  Result<void> write(const ReplicaBatch& batch, Epoch seen);
  Result<Epoch> epoch();

  std::filesystem::path directory_;
  StoreSettings settings_;
  std::optional<OpenReplica> replica_;  ///< Empty only after a reset that failed.
  Result<void> usable_;                 ///< The first failure to write, for good.
};

Result<Epoch> SqliteReplicaStore::epoch() {
  Epoch seen;
  auto read =
      replica_->statements.epoch.each([&seen](const Row& row) { seen = Epoch{row.number(0)}; });
  if (!read) {
    return tl::unexpected(read.error());
  }
  return seen;
}

Result<ReplicaStore::Recovery> SqliteReplicaStore::recover(
    const std::function<void(const StoredEntry&)>& visit) {
  if (!usable_) {
    return tl::unexpected(usable_.error());
  }
  std::uint64_t next = 0;
  bool has_gap = false;
  Recovery recovery;
  auto read = replica_->statements.entries.each_while(
      [&](const Row& row) {
        const StoredEntry entry = replica_entry_of(row);
        has_gap = entry.seq.value != next;
        if (!has_gap) {
          ++next;
          visit(entry);
        }
        return !has_gap;
      },
      std::uint64_t{0});
  if (read && has_gap) {
    return fail(Errc::verification, replica_->connection.place() + ": entry " +
                                        std::to_string(next) +
                                        ": found nothing, expected an entry");
  }
  if (read) {
    read = replica_->statements.head.each([&](const Row& row) { recovery.head = head_of(row); });
  }
  const auto seen = epoch();
  if (!read || !seen) {
    return tl::unexpected(read ? seen.error() : read.error());
  }
  recovery.epoch = *seen;
  return recovery;
}

Result<void> SqliteReplicaStore::writable() {
  if (!replica_->checkpointer) {
    return fail(Errc::refused, replica_->connection.place() + ": opened to read only");
  }
  if (usable_) {
    usable_ = replica_->checkpointer->health();
  }
  return usable_;
}

Result<void> SqliteReplicaStore::persist(const ReplicaBatch& batch) {
  if (auto open = writable(); !open) {
    return open;
  }
  const auto seen = epoch();
  if (!seen) {
    return tl::unexpected(seen.error());
  }
  if (auto fenced = store_rules::check_epoch(batch.epoch.value_or(*seen), *seen); !fenced) {
    return fenced;
  }
  // An epoch is accepted once, also across a power cut: this one write is synced, and all before it
  // with it.
  const bool is_new_epoch = batch.epoch && *seen < *batch.epoch;
  reach(is_new_epoch ? Failpoint::replica_epoch : Failpoint::replica_append);
  Result<void> done =
      is_new_epoch ? replica_->connection.execute("PRAGMA synchronous = FULL") : Result<void>();
  if (done) {
    done = write(batch, *seen);
  }
  if (done && is_new_epoch) {
    done = replica_->connection.execute("PRAGMA synchronous = NORMAL");
  }
  reach(is_new_epoch ? Failpoint::replica_epoch_done : Failpoint::replica_appended);
  if (done) {
    usable_ = replica_->checkpointer->committed(replica_->connection);
  } else if (done.error().code == Errc::io) {
    usable_ = done;
  }
  return done;
}

Result<void> SqliteReplicaStore::write(const ReplicaBatch& batch, Epoch seen) {
  ReplicaStatements& statements = replica_->statements;
  std::uint64_t size = 0;
  sqlite::Transaction transaction(replica_->connection);
  transaction.each(statements.size, [&size](const Row& row) { size = row.number(0); });
  transaction.require(store_rules::check_entries(batch.entries, size));
  for (const StoredEntry& entry : batch.entries) {
    if (entry.call.empty()) {
      transaction.run(statements.add_entry, entry.seq.value, entry.epoch.value, entry.leaf,
                      std::nullopt);
    } else {
      transaction.run(statements.add_entry, entry.seq.value, entry.epoch.value, entry.leaf,
                      entry.call);
    }
  }
  if (batch.head) {
    const SignedHead& head = *batch.head;
    transaction.run(statements.set_head, head.head.size, head.head.root.bytes,
                    head.head.epoch.value, head.signature.bytes, head.public_key.bytes);
  }
  if (batch.epoch && seen < *batch.epoch) {
    transaction.run(statements.set_epoch, batch.epoch->value);
  }
  reach(Failpoint::replica_written);
  return transaction.commit();
}

Result<std::vector<StoredEntry>> SqliteReplicaStore::read(Seq from, std::size_t count) {
  if (!usable_) {
    return tl::unexpected(usable_.error());
  }
  EntryReader reader(from, count);
  if (reader.count() == 0) {
    return reader.take();
  }
  auto read = replica_->statements.entries.each_while(
      [&](const Row& row) { return reader.add(replica_entry_of(row)); }, from.value);
  return read ? reader.take() : tl::unexpected<Error>(read.error());
}

Result<void> SqliteReplicaStore::reset() {
  if (replica_ && !replica_->checkpointer) {
    return writable();
  }
  replica_.reset();
  usable_ = put_replica_aside(directory_);
  if (!usable_) {
    return usable_;
  }
  auto replica = open_replica(directory_ / "replica.db", settings_);
  if (!replica) {
    usable_ = tl::unexpected(replica.error());
    return usable_;
  }
  replica_.emplace(std::move(*replica));
  reach(Failpoint::replica_reset_done);
  return {};
}

}  // namespace

// With its log, should another process's reader have kept it from being folded in.
Result<void> put_replica_aside(const std::filesystem::path& directory) {
  const auto path = directory / "replica.db";
  std::filesystem::path kept;
  for (std::uint64_t number = 1; kept.empty() || std::filesystem::exists(kept); ++number) {
    kept = directory / ("ledger.before-resync-" + std::to_string(number) + ".db");
  }
  std::error_code error;
  const std::string log = path.string() + "-wal";
  reach(Failpoint::replica_reset);
  if (std::filesystem::exists(log)) {
    std::filesystem::rename(log, kept.string() + "-wal", error);
  }
  reach(Failpoint::replica_moved);
  if (!error) {
    std::filesystem::rename(path, kept, error);
  }
  if (error) {
    return fail(Errc::io,
                path.string() + ": cannot be moved to " + kept.string() + ": " + error.message());
  }
  std::filesystem::remove(path.string() + "-shm", error);
  return sync_directory(directory);
}

Result<std::unique_ptr<ReplicaStore>> open_replica_store(const std::filesystem::path& directory,
                                                         const StoreSettings& settings) {
  auto replica = open_replica(directory / "replica.db", settings);
  if (!replica) {
    return tl::unexpected(replica.error());
  }
  return std::make_unique<SqliteReplicaStore>(directory, settings, std::move(*replica));
}

Result<std::unique_ptr<ReplicaStore>> open_replica_store(const std::filesystem::path& directory) {
  return open_replica_store(directory, StoreSettings{});
}

Result<std::unique_ptr<ReplicaStore>> open_replica_store_readonly(
    const std::filesystem::path& directory) {
  const StoreSettings settings;
  auto connection =
      open_store_file_readonly(directory / "replica.db", replica_file, settings.disk->name());
  if (!connection) {
    return tl::unexpected(connection.error());
  }
  OpenReplica replica{std::move(*connection), {}, {}};
  if (auto prepared = prepare_all(replica); !prepared) {
    return tl::unexpected(prepared.error());
  }
  return std::make_unique<SqliteReplicaStore>(directory, settings, std::move(replica));
}

}  // namespace forerun
