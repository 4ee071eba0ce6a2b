// A damaged ledger is found before anything of it is signed, and the first wrong entry is named.
#include "storage/checked_recovery.hpp"

#include <sqlite3.h>

#include <catch2/catch.hpp>

#include "speculation/entry.hpp"
#include "storage/store_settings.hpp"
#include "store_values.hpp"
#include "tests/support/written_ledger.hpp"

using namespace forerun;
using namespace forerun::store_values;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

StoredEntry stored(const test::WrittenLedger& ledger, std::uint64_t seq) {
  StoredEntry entry;
  entry.seq = Seq{seq};
  entry.epoch = Epoch{seq < 3 ? 1U : 2U};
  entry.leaf = ledger.rows[seq].leaf;
  entry.call = ledger.rows[seq].call;
  entry.output = ledger.rows[seq].output;
  return entry;
}

/// Two terms in a data directory, as a coordinator would have written them.
void write(const std::filesystem::path& directory) {
  const auto store = good(open_coordinator_store(directory, simulated_settings()));
  const test::WrittenLedger ledger = test::two_terms();
  merkle::Frontier frontier;
  for (std::uint64_t i = 0; i < ledger.rows.size(); ++i) {
    const StoredEntry entry = stored(ledger, i);
    frontier.append(merkle::leaf_hash(entry.leaf));
    CoordinatorBatch batch;
    batch.epoch = entry.epoch;
    batch.head = {frontier.size(), frontier.root(), entry.epoch};
    batch.entries = {entry};
    good(store->persist({&batch, 1}));
  }
}

void alter(const std::filesystem::path& directory, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open((directory / "ledger.db").c_str(), &database) == SQLITE_OK);
  CHECK(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
}

Result<CheckedRecovery> recover(const std::filesystem::path& directory) {
  const auto store = good(open_coordinator_store_readonly(directory));
  return recover_checked(*store, "DIR", test::second_key.public_key(), [](const StoredEntry&) {});
}

}  // namespace

TEST_CASE("a ledger as it was written is recovered with its head", "[checked_recovery]") {
  TempDirectory directory;
  write(directory.path());
  const auto checked = good(recover(directory.path()));
  CHECK(checked.ledger.head() == test::two_terms().checker.head());
  CHECK(checked.recovery.epoch == Epoch{2});
}

TEST_CASE("a damaged ledger is not recovered, and what is wrong is named", "[checked_recovery]") {
  TempDirectory directory;
  write(directory.path());
  const auto [sql, expected] = GENERATE(table<std::string, std::string>({
      {"UPDATE entries SET leaf = replace(leaf, '\"winning_branch_index\":0', "
       "'\"winning_branch_index\":-1') WHERE seq = 1",
       "DIR/ledger.db: entry 1: "},
      {"UPDATE entries SET leaf = replace(leaf, '[0.007]', '[0.008]') WHERE seq = 4",
       "DIR/ledger.db: entries 0 to 4: root: found "},
      {"UPDATE entries SET leaf = replace(leaf, '[0.007]', '[0.008]') WHERE seq = 1",
       "DIR/ledger.db: entries 0 to 2 (one or more were changed, a root cannot tell which): "
       "root up to them: found "},
      {"UPDATE entries SET leaf = 'x' WHERE seq = 2", "DIR/ledger.db: entry 2: "},
      {"DELETE FROM entries WHERE seq = 2", "DIR/ledger.db: entry 2: found nothing, expected"},
      {"DELETE FROM entries WHERE seq = 4", "DIR/ledger.db: entry 4: found nothing, expected"},
      {"UPDATE entries SET epoch = 'x' WHERE seq = 4", "DIR/ledger.db: "},
  }));
  alter(directory.path(), sql);
  const auto recovered = recover(directory.path());
  REQUIRE_FALSE(recovered);
  CHECK(recovered.error().code == Errc::verification);
  CHECK_THAT(recovered.error().message, StartsWith(expected) && Contains("put back a copy"));
}

TEST_CASE("rows and texts that no root covers are looked at too", "[checked_recovery]") {
  TempDirectory directory;
  {
    const auto store = good(open_coordinator_store(directory.path(), simulated_settings()));
    const test::WrittenLedger ledger = test::two_terms();
    merkle::Frontier frontier;
    CoordinatorBatch batch;
    batch.epoch = Epoch{2};
    for (std::uint64_t i = 0; i < ledger.rows.size(); ++i) {
      StoredEntry entry = stored(ledger, i);
      const auto read = good(entry_of(entry.leaf));
      if (const auto* commit = std::get_if<CommitEntry>(&read.body)) {
        entry.run_id = commit->run_id;
        entry.step = commit->step;
        SessionRow row;
        row.run_id = commit->run_id;
        row.tenant = "t";
        row.state = "{}";
        row.next_step = commit->step.value + 1;
        std::erase_if(batch.sessions,
                      [&](const SessionRow& known) { return known.run_id == row.run_id; });
        batch.sessions.push_back(row);
      }
      frontier.append(merkle::leaf_hash(entry.leaf));
      batch.entries.push_back(entry);
    }
    batch.head = {frontier.size(), frontier.root(), Epoch{2}};
    const RunId run_id = batch.sessions.front().run_id;
    const std::uint32_t next = batch.sessions.front().next_step;
    batch.keys = {{to_string(run_id), "k", Digest{}, run_id, 0, 1}};
    batch.intents = {
        {run_id, StepNumber{next}, Call::make("t", {}).canonical(), true, "", Digest{}, next, 1}};
    good(store->persist({&batch, 1}));
  }
  REQUIRE(recover(directory.path()));
  const auto [sql, expected] = GENERATE(table<std::string, std::string>({
      {"UPDATE payloads SET output = '999' WHERE output != ''", "output_hash: found "},
      {"UPDATE payloads SET output = output || ' ' WHERE output != ''", "output_hash: found "},
      {"UPDATE payloads SET call = replace(call, '{', '{ ')", "entry 1: "},
      {"UPDATE sessions SET state = '{'", ": state: "},
      {"UPDATE sessions SET list_state = '[]'", ": list_state: "},
      {"UPDATE keys SET step_count = 65", "a key's steps: found 65 from 0, expected at most 64"},
      {"UPDATE keys SET first_step = 4294967295", "a key's steps: found 1 from 4294967295"},
      {"UPDATE intents SET step_count = 4294967295", "found 4294967295 steps from"},
      {"UPDATE intents SET call = 'x'", "intent of step"},
  }));
  alter(directory.path(), sql);
  const auto recovered = recover(directory.path());
  REQUIRE_FALSE(recovered);
  CHECK(recovered.error().code == Errc::verification);
  CHECK_THAT(recovered.error().message,
             StartsWith("DIR/ledger.db: ") && Contains(expected) && Contains("put back a copy"));
}
