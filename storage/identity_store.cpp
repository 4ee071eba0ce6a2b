#include <utility>

#include "base/failpoint.hpp"
#include "storage/sqlite.hpp"
#include "storage/store_file.hpp"
#include "storage/store_settings.hpp"

namespace forerun {

namespace {

using sqlite::Row;
using sqlite::Statement;

/// Workers in the order in which they were added: a slot finds its own again.
constexpr StoreFile identity_file = {.subject = "a node's identity",
                                     .application_id = 0x46524944,
                                     .version = 1,
                                     .page_size = "PRAGMA page_size = 4096",
                                     .cache_size = "PRAGMA cache_size = -1024",
                                     .schema = R"sql(
CREATE TABLE workers(id INTEGER PRIMARY KEY, worker BLOB NOT NULL UNIQUE, mark INTEGER NOT NULL);
)sql"};

/// A log this long is folded in at once; its file is a few pages.
constexpr int log_pages_max = 100;

class SqliteIdentityStore final : public IdentityStore {
public:
  SqliteIdentityStore(std::shared_ptr<Disk> disk, sqlite::Connection connection, Statement load,
                      Statement raise)
      : disk_(std::move(disk)),
        connection_(std::move(connection)),
        load_(std::move(load)),
        raise_(std::move(raise)) {}

  Result<NodeIdentity> load() override {
    NodeIdentity identity;
    auto read = load_.each([&identity](const Row& row) {
      identity.workers.push_back({WorkerId{Uuid{row.bytes<16>(0)}}, row.number(1)});
    });
    if (!read) {
      return tl::unexpected(read.error());
    }
    return identity;
  }

  Result<void> save(std::span<const MarkRow> workers) override {
    if (!usable_) {
      return usable_;
    }
    reach(Failpoint::identity_save);
    sqlite::Transaction transaction(connection_);
    for (const MarkRow& row : workers) {
      transaction.run(raise_, row.worker.uuid.bytes, row.mark);
    }
    Result<void> done = transaction.commit();
    reach(Failpoint::identity_saved);
    if (done && connection_.wal_pages() > log_pages_max) {
      usable_ = connection_.checkpoint();
    }
    if (!done && done.error().code == Errc::io) {
      usable_ = done;
    }
    return done;
  }

private:
  std::shared_ptr<Disk> disk_;
  sqlite::Connection connection_;
  Statement load_;
  Statement raise_;
  Result<void> usable_;  ///< The first failure to write, for good.
};

}  // namespace

Result<std::unique_ptr<IdentityStore>> open_identity_store(const std::filesystem::path& directory,
                                                           const StoreSettings& settings) {
  auto connection =
      open_store_file(directory / "identity.db", identity_file, settings.disk->name());
  if (!connection) {
    return tl::unexpected(connection.error());
  }
  auto load = connection->prepare("SELECT worker, mark FROM workers ORDER BY id");
  auto raise = connection->prepare(
      "INSERT INTO workers(worker, mark) VALUES (?1, ?2) "
      "ON CONFLICT (worker) DO UPDATE SET mark = excluded.mark WHERE excluded.mark > mark");
  if (!load || !raise) {
    return tl::unexpected(load ? raise.error() : load.error());
  }
  return std::make_unique<SqliteIdentityStore>(settings.disk, std::move(*connection),
                                               std::move(*load), std::move(*raise));
}

Result<std::unique_ptr<IdentityStore>> open_identity_store(const std::filesystem::path& directory) {
  return open_identity_store(directory, StoreSettings{});
}

}  // namespace forerun
