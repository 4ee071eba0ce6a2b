// What is about files: their owners, their versions, and what is not ours.
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "storage/store.hpp"
#include "storage/store_settings.hpp"
#include "store_values.hpp"

using namespace forerun;
using namespace forerun::store_values;
using Catch::Matchers::Contains;

namespace {

Result<void> persist(CoordinatorStore& store, const CoordinatorBatch& batch) {
  const CoordinatorBatch whole = with_head(batch);
  return store.persist({&whole, 1});
}

/// Does to a closed file what another program could.
void alter(const std::filesystem::path& path, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  CHECK(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
}

void make_ledger(const std::filesystem::path& directory) {
  const auto store = good(open_coordinator_store(directory, simulated_settings()));
  good(persist(*store,
               batch(1, {commit(0, run(1), 0), commit(1, run(1), 1), commit(2, run(1), 2)})));
}

}  // namespace

TEST_CASE("a ledger of a newer version is refused and not touched", "[store_file]") {
  TempDirectory directory;
  make_ledger(directory.path());
  alter(directory.path() / "ledger.db", "PRAGMA user_version = 99");
  for (const auto& result :
       {open_coordinator_store(directory.path()).map([](auto&&) {}),
        open_coordinator_store_readonly(directory.path()).map([](auto&&) {})}) {
    const auto error = bad(result);
    CHECK(error.code == Errc::refused);
    CHECK(error.message ==
          "ledger.db: written by a newer Forerun: found format 99, expected at most 6");
  }
  alter(directory.path() / "ledger.db", "PRAGMA user_version = 6");
  CHECK(good(good(open_coordinator_store(directory.path()))->size()) == 3);
}

TEST_CASE("a ledger of version 1 is upgraded by its owner and refused to readers before that",
          "[store_file]") {
  TempDirectory directory;
  make_ledger(directory.path());
  alter(directory.path() / "ledger.db",
        "DROP TABLE owners; DROP TABLE quarantined; DROP TABLE session_texts; DROP TABLE history;"
        "DROP TABLE effects; ALTER TABLE sessions DROP COLUMN list_state;"
        "ALTER TABLE entries DROP COLUMN previous; ALTER TABLE sessions DROP COLUMN latest;"
        "ALTER TABLE sessions DROP COLUMN last_step; ALTER TABLE payloads DROP COLUMN story;"
        "CREATE UNIQUE INDEX entries_by_step ON entries(session, step) WHERE step IS NOT NULL;"
        "ALTER TABLE meta DROP COLUMN size; ALTER TABLE meta DROP COLUMN root;"
        "ALTER TABLE meta DROP COLUMN head_epoch; ALTER TABLE meta DROP COLUMN signed_head;"
        "PRAGMA user_version = 1");
  CHECK(bad(open_coordinator_store_readonly(directory.path()).map([](auto&&) {})).code ==
        Errc::refused);
  CHECK(good(good(open_coordinator_store(directory.path()))->size()) == 3);
  CHECK(good(good(open_coordinator_store_readonly(directory.path()))->size()) == 3);
}

TEST_CASE("an upgraded ledger still finds a session's entries, and refuses a step that it has",
          "[store_file]") {
  TempDirectory directory;
  {
    const auto store = good(open_coordinator_store(directory.path(), simulated_settings()));
    StoredEntry discarded = commit(3, run(1), 0);
    discarded.step.reset();
    CoordinatorBatch first = batch(1, {commit(0, run(1), 0), commit(1, run(2), 0),
                                       commit(2, run(1), 1), discarded, commit(4, run(2), 1)});
    first.sessions = {session(run(1), 2), session(run(2), 2)};
    good(persist(*store, first));
  }
  alter(directory.path() / "ledger.db",
        "DROP TABLE owners; DROP TABLE quarantined; DROP TABLE session_texts;"
        "ALTER TABLE entries DROP COLUMN previous; ALTER TABLE sessions DROP COLUMN latest;"
        "ALTER TABLE sessions DROP COLUMN last_step;"
        "CREATE UNIQUE INDEX entries_by_step ON entries(session, step) WHERE step IS NOT NULL;"
        "CREATE INDEX discards_by_session ON entries(session) WHERE step IS NULL;"
        "PRAGMA user_version = 4");
  const auto store = good(open_coordinator_store(directory.path(), simulated_settings()));
  CoordinatorBatch heard = batch(1);
  heard.texts = {{run(2), StepNumber{2}, 0, "a text"}};
  good(persist(*store, heard));
  const auto record = good(store->session(run(1), {}));
  REQUIRE(record.commits.size() == 2);
  CHECK(record.commits.back().seq == Seq{2});
  REQUIRE(record.discards.size() == 1);
  CHECK(record.discards.front().seq == Seq{3});
  CHECK(bad(persist(*store, batch(1, {commit(5, run(1), 1)}))).code == Errc::refused);
  good(persist(*store, batch(1, {commit(5, run(1), 2)})));
  CHECK(good(store->session(run(1), {})).commits.size() == 3);
}

TEST_CASE("steps are read no further back than the first that is asked for", "[store_file]") {
  TempDirectory directory;
  make_ledger(directory.path());
  // Who goes further back finds one more.
  alter(directory.path() / "ledger.db", "UPDATE entries SET step = 7, leaf = 'old' WHERE seq = 0");
  const auto store = good(open_coordinator_store(directory.path(), simulated_settings()));
  const auto steps = good(store->steps(run(1), StepNumber{1}, 9));
  REQUIRE(steps.size() == 2);
  CHECK(steps[0].seq == Seq{1});
  CHECK(steps[1].seq == Seq{2});
}

TEST_CASE("a replica of version 1 is upgraded with its calls", "[store_file]") {
  TempDirectory directory;
  ReplicaBatch batch;
  batch.entries = {commit(0, run(1), 0), commit(1, run(1), 1)};
  batch.entries[1].call.clear();
  good(good(open_replica_store(directory.path(), simulated_settings()))->persist(batch));
  alter(directory.path() / "replica.db",
        "CREATE TABLE payloads(seq INTEGER PRIMARY KEY, call TEXT NOT NULL);"
        "INSERT INTO payloads SELECT seq, call FROM entries WHERE call IS NOT NULL;"
        "ALTER TABLE entries DROP COLUMN call; PRAGMA user_version = 1");
  const auto read =
      good(good(open_replica_store(directory.path(), simulated_settings()))->read(Seq{0}, 10));
  REQUIRE(read.size() == 2);
  CHECK(read[0].call == batch.entries[0].call);
  CHECK_FALSE(read[0].call.empty());
  CHECK(read[1].call.empty());
}

TEST_CASE("another program's database is refused and not touched", "[store_file]") {
  TempDirectory directory;
  const auto path = directory.path() / "ledger.db";
  alter(path, "CREATE TABLE theirs(a); INSERT INTO theirs VALUES (1)");
  const auto error = bad(open_coordinator_store(directory.path()));
  CHECK(error.code == Errc::invalid);
  CHECK_THAT(
      error.message,
      Catch::StartsWith(path.string() + ": found another program's file, expected a ledger") &&
          Catch::Contains("give --data a new one"));
  CHECK_FALSE(std::filesystem::exists(path.string() + "-wal"));
  alter(path, "INSERT INTO theirs VALUES (2)");
}

TEST_CASE("a node's replica is no ledger", "[store_file]") {
  TempDirectory directory;
  good(open_replica_store(directory.path()));
  std::filesystem::rename(directory.path() / "replica.db", directory.path() / "ledger.db");
  CHECK(bad(open_coordinator_store(directory.path())).code == Errc::invalid);
}

TEST_CASE("a file that is no database is refused with its name", "[store_file]") {
  TempDirectory directory;
  for (const char* name : {"ledger.db", "replica.db", "identity.db"}) {
    std::ofstream(directory.path() / name) << std::string(10'000, 'x');
  }
  const auto error = bad(open_coordinator_store(directory.path()));
  CHECK(error.code == Errc::invalid);
  CHECK_THAT(error.message, Catch::StartsWith((directory.path() / "ledger.db").string() +
                                              ": file is not a database, expected a ledger"));
  CHECK(bad(open_replica_store(directory.path())).code == Errc::invalid);
  good(put_replica_aside(directory.path()));
  good(open_replica_store(directory.path()));
  CHECK(std::filesystem::exists(directory.path() / "ledger.before-resync-1.db"));
  CHECK(bad(open_identity_store(directory.path())).code == Errc::invalid);
}

TEST_CASE("a ledger without its tables is refused", "[store_file]") {
  TempDirectory directory;
  make_ledger(directory.path());
  alter(directory.path() / "ledger.db", "DROP TABLE marks");
  const auto error = bad(open_coordinator_store(directory.path()));
  CHECK(error.code == Errc::invalid);
  CHECK_THAT(error.message, Contains("ledger.db") && Contains("marks"));
}

TEST_CASE("a ledger with a missing entry or a malformed row is not recovered", "[store_file]") {
  TempDirectory directory;
  make_ledger(directory.path());
  const auto [sql, code, expected] = GENERATE(table<std::string, Errc, std::string>({
      {"DELETE FROM entries WHERE seq = 1", Errc::verification, "entry 1: found nothing"},
      {"UPDATE entries SET epoch = 'x'", Errc::invalid, "malformed row"},
      {"UPDATE meta SET root = x'00'", Errc::invalid, "malformed row"},
      {"UPDATE meta SET signed_head = '{}'", Errc::invalid, "malformed row"},
      {"INSERT INTO marks VALUES (x'00', 1)", Errc::invalid, "malformed row"},
  }));
  alter(directory.path() / "ledger.db", sql);
  const auto store = good(open_coordinator_store(directory.path()));
  const auto error = bad(store->recover([](const StoredEntry&) {}));
  CHECK(error.code == code);
  CHECK_THAT(error.message, Contains(expected));
}

TEST_CASE("erased texts leave the leaves", "[store_file]") {
  TempDirectory directory;
  make_ledger(directory.path());
  alter(directory.path() / "ledger.db", "DELETE FROM payloads WHERE seq = 1");
  const auto store = good(open_coordinator_store(directory.path()));
  const auto entries = entries_of(*store);
  REQUIRE(entries.size() == 3);
  CHECK(entries[1].leaf == commit(1, run(1), 1).leaf);
  CHECK(entries[1].step == StepNumber{1});
  CHECK(entries[1].call.empty());
  CHECK(same(entries[2], commit(2, run(1), 2)));
}

TEST_CASE("a maker that died before the tables were durable leaves a file that can be used",
          "[store_file]") {
  TempDirectory directory;
  std::ofstream(directory.path() / "ledger.db");
  make_ledger(directory.path());
}

TEST_CASE("a reader beside a running owner sees what is durable and changes nothing",
          "[store_file]") {
  TempDirectory directory;
  CHECK(bad(open_coordinator_store_readonly(directory.path())).code == Errc::not_found);
  const auto owner = good(open_coordinator_store(directory.path()));
  good(persist(*owner, batch(1, {commit(0, run(1), 0)})));
  const auto reader = good(open_coordinator_store_readonly(directory.path()));
  CHECK(good(reader->size()) == 1);
  good(persist(*owner, batch(2, {commit(1, run(1), 1)})));
  CHECK(good(reader->size()) == 2);
  CHECK(same(entries_of(*reader), entries_of(*owner)));
  CHECK(bad(persist(*reader, batch(2))).code == Errc::refused);
  CHECK(bad(reader->put_text("a", "b")).code == Errc::refused);
}

TEST_CASE("a reader without an owner reads what a dead one left in its log", "[store_file]") {
  TempDirectory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    auto store = open_coordinator_store(directory.path());
    const bool done = store && persist(**store, batch(1, {commit(0, run(1), 0)}));
    ::_exit(done ? 0 : 1);  // Without closing.
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  CHECK(std::filesystem::file_size(directory.path() / "ledger.db-wal") > 0);
  CHECK(good(good(open_coordinator_store_readonly(directory.path()))->size()) == 1);
}

TEST_CASE("an owner that was overtaken writes nothing more", "[store_file]") {
  TempDirectory directory;
  const auto old_owner = good(open_coordinator_store(directory.path()));
  good(persist(*old_owner, batch(1, {commit(0, run(1), 0)})));
  const auto new_owner = good(open_coordinator_store(directory.path()));
  good(new_owner->put_text("catalog", "new"));
  good(persist(*new_owner, batch(2, {commit(1, run(1), 1)})));
  CHECK(bad(persist(*old_owner, batch(1, {commit(1, run(1), 1)}))).code == Errc::refused);
  CHECK(bad(persist(*old_owner, batch(1, {commit(2, run(1), 2)}))).code == Errc::refused);
  CHECK(bad(old_owner->put_text("catalog", "old")).code == Errc::refused);
  CHECK(good(new_owner->text("catalog")) == "new");
  CHECK(good(new_owner->size()) == 2);
}

TEST_CASE("a failed sync is final", "[store_file]") {
  TempDirectory directory;
  bool fails = false;
  StoreSettings settings;
  settings.disk =
      std::make_shared<Disk>(Disk::Kind::real, [&fails](std::uint64_t) { return !fails; });
  const auto store = good(open_coordinator_store(directory.path(), settings));
  good(persist(*store, batch(1, {commit(0, run(1), 0)})));
  fails = true;
  CHECK(bad(persist(*store, batch(1, {commit(1, run(1), 1)}))).code == Errc::io);
  fails = false;
  CHECK(bad(persist(*store, batch(1, {commit(1, run(1), 1)}))).code == Errc::io);
  CHECK(bad(store->put_text("a", "b")).code == Errc::io);
}

TEST_CASE("the log stays short though its writer never pauses", "[store_file]") {
  TempDirectory directory;
  StoreSettings settings = simulated_settings();
  settings.checkpoint_pages = 50;
  // Ten times: when copying begins, what the writer adds until it waits for it, and a commit's own.
  constexpr std::uintmax_t log_bytes_max = 10 * 50 * std::uintmax_t{16'384 + 24};
  const auto store = good(open_coordinator_store(directory.path(), settings));
  // A commit logs at least three pages: of the entries, their index and their texts.
  for (std::uint64_t seq = 0; seq < 1500; ++seq) {
    good(persist(*store, batch(1, {commit(seq, run(seq % 7), static_cast<std::uint32_t>(seq))})));
  }
  CHECK(std::filesystem::file_size(directory.path() / "ledger.db-wal") < log_bytes_max);
  CHECK(good(store->size()) == 1500);
}

TEST_CASE("a reset replica lies beside the new one", "[store_file]") {
  TempDirectory directory;
  const auto store = good(open_replica_store(directory.path()));
  for (int i = 1; i <= 2; ++i) {
    ReplicaBatch next;
    next.entries = {commit(0, run(1), 0)};
    good(store->persist(next));
    good(store->reset());
    const auto kept = directory.path() / ("ledger.before-resync-" + std::to_string(i) + ".db");
    CHECK(std::filesystem::file_size(kept) > 0);
    CHECK_FALSE(std::filesystem::exists(kept.string() + "-wal"));
  }
  std::filesystem::create_directory(directory.path() / "old");
  std::filesystem::rename(directory.path() / "ledger.before-resync-1.db",
                          directory.path() / "old" / "replica.db");
  CHECK(good(good(open_replica_store(directory.path() / "old"))->read(Seq{0}, 5)).size() == 1);
}

TEST_CASE("nobody but the owner can read the files", "[store_file]") {
  TempDirectory directory;
  const auto data = directory.path() / "a" / "b";
  const auto lock = good(DataDirectoryLock::acquire(data));
  const auto store = good(open_coordinator_store(data));
  good(persist(*store, batch(1, {commit(0, run(1), 0)})));
  for (const auto& path :
       {data, data / "LOCK", data / "ledger.db", data / "ledger.db-wal", data / "ledger.db-shm"}) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 077) == 0);
  }
}

TEST_CASE("a data directory has one process", "[store_file]") {
  TempDirectory directory;
  const auto data = directory.path() / "data";
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = DataDirectoryLock::acquire(data);
    const char done = lock ? 1 : 0;
    static_cast<void>(::write(ready[1], &done, 1) == 1);
    for (;;) {
      ::pause();
    }
  }
  char done = 0;
  REQUIRE(::read(ready[0], &done, 1) == 1);
  REQUIRE(done == 1);
  const auto error = bad(DataDirectoryLock::acquire(data));
  CHECK(error.code == Errc::refused);
  CHECK_THAT(error.message, Contains("in use by process " + std::to_string(child)));

  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  auto lock = good(DataDirectoryLock::acquire(data));
  CHECK(bad(DataDirectoryLock::acquire(data)).code == Errc::refused);
  { const DataDirectoryLock moved = std::move(lock); }
  good(DataDirectoryLock::acquire(data));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("a data directory that cannot be made is an error", "[store_file]") {
  TempDirectory directory;
  std::ofstream(directory.path() / "file");
  CHECK(bad(DataDirectoryLock::acquire(directory.path() / "file")).code == Errc::io);
  CHECK(bad(DataDirectoryLock::acquire(directory.path() / "file" / "data")).code == Errc::io);
  CHECK(bad(open_coordinator_store(directory.path() / "missing")).code == Errc::io);
}
