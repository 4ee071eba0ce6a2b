#include <algorithm>
#include <map>
#include <utility>

#include "base/failpoint.hpp"
#include "storage/checkpointer.hpp"
#include "storage/recovered_texts.hpp"
#include "storage/rules.hpp"
#include "storage/session_part.hpp"
#include "storage/sqlite.hpp"
#include "storage/store_file.hpp"
#include "storage/store_settings.hpp"

namespace forerun {

namespace {

using sqlite::Row;
using sqlite::Statement;

/// Entries lie in order of their number, so a group commit touches the last pages only. A session
/// finds its entries by a chain: its row names the latest, each entry the one before. An index
/// would touch a page for each busy session, and multiply what a commit writes. What may be erased
/// lies apart, by the same number. A session without a tenant is known by name only: an entry or
/// key came before its row.
constexpr const char* ledger_upgrades[] = {
    "ALTER TABLE payloads ADD COLUMN story TEXT NOT NULL DEFAULT '';"
    "CREATE INDEX discards_by_session ON entries(session) WHERE step IS NULL;",
    "ALTER TABLE meta ADD COLUMN size INTEGER; ALTER TABLE meta ADD COLUMN root BLOB;"
    "ALTER TABLE meta ADD COLUMN head_epoch INTEGER; ALTER TABLE meta ADD COLUMN signed_head "
    "TEXT;",
    "CREATE TABLE history(number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, at "
    "INTEGER NOT NULL, steps INTEGER NOT NULL, bytes INTEGER NOT NULL, hash BLOB NOT NULL, text "
    "TEXT NOT NULL, UNIQUE (tenant, name));"
    "ALTER TABLE sessions ADD COLUMN list_state TEXT NOT NULL DEFAULT '';"
    "CREATE TABLE effects(home BLOB NOT NULL, counter INTEGER NOT NULL, step INTEGER NOT NULL, "
    "place INTEGER NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL, effect TEXT NOT NULL, "
    "is_parked INTEGER NOT NULL, attempts INTEGER NOT NULL, cause TEXT NOT NULL, "
    "PRIMARY KEY (home, counter, step, place)) WITHOUT ROWID;",
    "ALTER TABLE entries ADD COLUMN previous INTEGER;"
    "ALTER TABLE sessions ADD COLUMN latest INTEGER;"
    "ALTER TABLE sessions ADD COLUMN last_step INTEGER;"
    "UPDATE entries SET previous = before.seq FROM "
    "(SELECT seq AS own, lag(seq) OVER (PARTITION BY session ORDER BY seq) AS seq FROM entries "
    "WHERE session IS NOT NULL) AS before WHERE before.own = entries.seq;"
    "UPDATE sessions SET latest = own.seq, last_step = own.step FROM "
    "(SELECT session, max(seq) AS seq, max(step) AS step FROM entries WHERE session IS NOT NULL "
    "GROUP BY session) AS own WHERE own.session = sessions.id;"
    "DROP INDEX entries_by_step; DROP INDEX discards_by_session;",
    "CREATE TABLE session_texts(session INTEGER NOT NULL, step INTEGER NOT NULL, place INTEGER NOT "
    "NULL, text TEXT NOT NULL, PRIMARY KEY (session, step, place)) WITHOUT ROWID;"
    "CREATE TABLE owners(worker BLOB PRIMARY KEY, node TEXT NOT NULL, name TEXT NOT NULL) WITHOUT "
    "ROWID;"
    "CREATE TABLE quarantined(node TEXT PRIMARY KEY) WITHOUT ROWID;"};

constexpr StoreFile ledger_file = {.subject = "a ledger",
                                   .application_id = 0x46524c47,
                                   .version = 6,
                                   .page_size = "PRAGMA page_size = 16384",
                                   // Sessions and idempotency keys are looked up in any order.
                                   .cache_size = "PRAGMA cache_size = -65536",
                                   .schema = R"sql(
CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, size INTEGER, root BLOB,
                  head_epoch INTEGER, signed_head TEXT);
INSERT INTO meta(one, epoch) VALUES (1, 0);
CREATE TABLE texts(name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entries(seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, session INTEGER, step INTEGER, leaf TEXT NOT NULL,
                     previous INTEGER);
CREATE TABLE payloads(seq INTEGER PRIMARY KEY, call TEXT NOT NULL, output TEXT NOT NULL, writes TEXT NOT NULL,
                      effects TEXT NOT NULL, story TEXT NOT NULL DEFAULT '');
CREATE TABLE sessions(id INTEGER PRIMARY KEY, home BLOB NOT NULL, counter INTEGER NOT NULL, tenant TEXT, context TEXT,
                      mode INTEGER, world TEXT, next_step INTEGER, chain BLOB, state TEXT, ended INTEGER,
                      list_state TEXT NOT NULL DEFAULT '', latest INTEGER, last_step INTEGER,
                      UNIQUE (home, counter));
CREATE TABLE session_texts(session INTEGER NOT NULL, step INTEGER NOT NULL, place INTEGER NOT NULL,
                           text TEXT NOT NULL, PRIMARY KEY (session, step, place)) WITHOUT ROWID;
CREATE TABLE keys(scope TEXT NOT NULL, key TEXT NOT NULL, request_hash BLOB NOT NULL, session INTEGER NOT NULL,
                  first_step INTEGER NOT NULL, step_count INTEGER NOT NULL, PRIMARY KEY (scope, key)) WITHOUT ROWID;
CREATE TABLE intents(session INTEGER NOT NULL, step INTEGER NOT NULL, call TEXT NOT NULL, is_write INTEGER NOT NULL,
                     key TEXT NOT NULL, request_hash BLOB NOT NULL, first_step INTEGER NOT NULL,
                     step_count INTEGER NOT NULL, PRIMARY KEY (session, step)) WITHOUT ROWID;
CREATE TABLE effects(home BLOB NOT NULL, counter INTEGER NOT NULL, step INTEGER NOT NULL, place INTEGER NOT NULL,
                     tenant TEXT NOT NULL, key TEXT NOT NULL, effect TEXT NOT NULL, is_parked INTEGER NOT NULL,
                     attempts INTEGER NOT NULL, cause TEXT NOT NULL,
                     PRIMARY KEY (home, counter, step, place)) WITHOUT ROWID;
CREATE TABLE marks(worker BLOB PRIMARY KEY, mark INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE owners(worker BLOB PRIMARY KEY, node TEXT NOT NULL, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE quarantined(node TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE history(number INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL,
                     steps INTEGER NOT NULL, bytes INTEGER NOT NULL, hash BLOB NOT NULL, text TEXT NOT NULL,
                     UNIQUE (tenant, name));
)sql",
                                   .upgrades = ledger_upgrades};

/// Prepared once. The reading ones come first; a read-only store has no others.
struct Statements {
  Statement epoch, heads, size, text, entries, recovered, leaves, sessions, session,
      session_entries, steps, session_key, opening_key_count, open_texts, keys, intents, marks,
      owners, quarantined, history_entries, history, past_commits, past_texts, effects;
  Statement find_session, add_session, name_session, set_session, set_latest, add_entry,
      add_payload, put_key, put_intent, drop_intents, raise_mark, put_owner, put_quarantined,
      set_epoch, set_head, set_signed_head, put_text, add_session_text, add_history, drop_history,
      put_effect, drop_effect, drop_opening_keys;
};

struct StatementText {
  Statement Statements::*statement;
  const char* sql;
};

/// The entries of session (?1, ?2), from its latest back to the last commit below step ?3: a
/// session commits its steps in order. In a damaged file the way may lead back to where it came
/// from. CROSS JOIN keeps the order of look-ups.
#define FORERUN_ENTRIES_OF_SESSION                                                             \
  "WITH RECURSIVE own(seq, previous, step) AS ("                                               \
  "SELECT e.seq, e.previous, e.step FROM sessions s CROSS JOIN entries e ON e.seq = s.latest " \
  "WHERE s.home = ?1 AND s.counter = ?2 "                                                      \
  "UNION ALL SELECT e.seq, e.previous, e.step FROM own CROSS JOIN entries e ON e.seq = "       \
  "own.previous AND e.seq < own.seq WHERE own.step IS NULL OR own.step >= ?3) "

/// Idempotency keys of openings: "open:TENANT". A range of the key's own order, so no other is
/// read.
#define FORERUN_OPENING_KEYS "FROM keys WHERE scope >= 'open:' AND scope < 'open;' "

constexpr StatementText reading[] = {
    {&Statements::epoch, "SELECT epoch FROM meta"},
    {&Statements::heads, "SELECT size, root, head_epoch, signed_head FROM meta"},
    {&Statements::size, "SELECT ifnull(max(seq) + 1, 0) FROM entries"},
    {&Statements::text, "SELECT text FROM texts WHERE name = ?1"},
    {&Statements::entries,
     "SELECT e.seq, e.epoch, e.leaf, p.call, p.output, p.writes, p.effects, e.step, s.home, "
     "s.counter, p.story FROM entries e "
     "LEFT JOIN payloads p ON p.seq = e.seq LEFT JOIN sessions s ON s.id = e.session WHERE e.seq "
     ">= ?1 ORDER BY e.seq"},
    // With session and texts only where a start needs them: a NULL finds no payload.
    {&Statements::recovered,
     "SELECT e.seq, e.epoch, e.leaf, p.call, p.output, p.writes, p.effects, e.step, s.home, "
     "s.counter, p.story FROM entries e "
     "LEFT JOIN sessions s ON s.id = e.session AND (s.ended IS NOT 1 OR EXISTS (SELECT 1 FROM "
     "effects f WHERE f.home = s.home AND f.counter = s.counter)) "
     "LEFT JOIN payloads p ON p.seq = CASE WHEN s.id IS NOT NULL THEN e.seq END ORDER BY e.seq"},
    {&Statements::leaves,
     "SELECT e.seq, e.epoch, e.leaf, p.call FROM entries e LEFT JOIN payloads p ON p.seq = e.seq "
     "WHERE e.seq >= ?1 "
     "ORDER BY e.seq"},
    {&Statements::sessions,
     "SELECT home, counter, tenant, context, mode, world, next_step, chain, state, ended, "
     "list_state FROM sessions "
     "WHERE tenant IS NOT NULL AND ended = 0 ORDER BY home, counter"},
    {&Statements::session,
     "SELECT home, counter, tenant, context, mode, world, next_step, chain, state, ended, "
     "list_state FROM sessions "
     "WHERE home = ?1 AND counter = ?2 AND tenant IS NOT NULL"},
    {&Statements::session_entries,
     FORERUN_ENTRIES_OF_SESSION "SELECT seq, step FROM own ORDER BY seq"},
    {&Statements::steps, FORERUN_ENTRIES_OF_SESSION
     "SELECT e.seq, e.epoch, e.leaf, p.call, p.output, p.writes, p.effects, e.step, s.home, "
     "s.counter, p.story FROM own CROSS JOIN entries e ON e.seq = own.seq "
     "CROSS JOIN sessions s ON s.id = e.session LEFT JOIN payloads p ON p.seq = e.seq "
     "WHERE own.step >= ?4 AND own.step < ?5 ORDER BY own.step"},
    {&Statements::opening_key_count, "SELECT count(*) " FORERUN_OPENING_KEYS},
    {&Statements::open_texts,
     "SELECT s.home, s.counter, t.step, t.place, t.text FROM sessions s JOIN session_texts t ON "
     "t.session = s.id WHERE s.tenant IS NOT NULL AND s.ended = 0 ORDER BY s.home, s.counter, "
     "t.place"},
    {&Statements::session_key,
     "SELECT k.scope, k.key, k.request_hash, s.home, s.counter, k.first_step, k.step_count FROM "
     "keys k JOIN sessions s ON s.id = k.session WHERE k.scope = ?1 AND k.key = ?2"},
    {&Statements::keys,
     "SELECT k.scope, k.key, k.request_hash, s.home, s.counter, k.first_step, k.step_count FROM "
     "keys k "
     "JOIN sessions s ON s.id = k.session WHERE substr(k.scope, 1, 5) = 'open:' OR s.ended IS NOT "
     "1 "
     // Those of openings last, in that order: sessions are numbered as they are opened.
     "ORDER BY CASE WHEN substr(k.scope, 1, 5) = 'open:' THEN k.session ELSE 0 END, k.scope, "
     "k.key"},
    {&Statements::intents,
     "SELECT s.home, s.counter, i.step, i.call, i.is_write, i.key, i.request_hash, i.first_step, "
     "i.step_count "
     "FROM intents i JOIN sessions s ON s.id = i.session ORDER BY s.home, s.counter, i.step"},
    {&Statements::marks, "SELECT worker, mark FROM marks ORDER BY worker"},
    {&Statements::owners, "SELECT worker, node, name FROM owners ORDER BY worker"},
    {&Statements::quarantined, "SELECT node FROM quarantined ORDER BY node"},
    {&Statements::history_entries,
     "SELECT number, tenant, name, at, steps, bytes, hash FROM history ORDER BY number"},
    {&Statements::history,
     "SELECT number, tenant, name, at, steps, bytes, hash, text FROM history WHERE number >= ?1 "
     "AND number < ?2 ORDER BY number"},
    {&Statements::past_commits,
     "SELECT e.seq, e.step, s.home, s.counter, s.tenant, CASE WHEN e.step = 0 THEN s.context ELSE "
     "'' END, s.ended AND e.step + 1 = s.next_step, p.call, p.output, e.leaf, e.session FROM "
     "entries e "
     "JOIN sessions s ON s.id = e.session LEFT JOIN payloads p ON p.seq = e.seq "
     "WHERE e.seq >= ?1 AND e.seq < ?2 AND e.step IS NOT NULL AND s.tenant IS NOT NULL "
     "ORDER BY e.seq"},
    {&Statements::past_texts,
     "SELECT text FROM session_texts WHERE session = ?1 AND step = ?2 ORDER BY place"},
    {&Statements::effects,
     "SELECT home, counter, step, place, tenant, key, effect, is_parked, attempts, cause FROM "
     "effects ORDER BY home, counter, step, place"},
};

#undef FORERUN_ENTRIES_OF_SESSION

constexpr StatementText writing[] = {
    {&Statements::find_session,
     "SELECT id, latest, last_step FROM sessions WHERE home = ?1 AND counter = ?2"},
    {&Statements::add_session,
     "INSERT INTO sessions(home, counter, tenant, context, mode, world, next_step, chain, state, "
     "ended, list_state) "
     "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING id"},
    {&Statements::name_session, "INSERT INTO sessions(home, counter) VALUES (?1, ?2) RETURNING id"},
    {&Statements::set_latest, "UPDATE sessions SET latest = ?2, last_step = ?3 WHERE id = ?1"},
    {&Statements::set_session,
     "UPDATE sessions SET tenant = ?2, context = ?3, mode = ?4, world = ?5, next_step = ?6, chain "
     "= ?7, state = ?8, "
     "ended = ?9, list_state = ?10, latest = ?11, last_step = ?12 WHERE id = ?1"},
    {&Statements::add_entry,
     "INSERT INTO entries(seq, epoch, session, step, leaf, previous) VALUES (?1, ?2, ?3, ?4, ?5, "
     "?6)"},
    {&Statements::add_payload,
     "INSERT INTO payloads(seq, call, output, writes, effects, story) VALUES (?1, ?2, ?3, ?4, ?5, "
     "?6)"},
    {&Statements::put_key,
     "INSERT OR REPLACE INTO keys(scope, key, request_hash, session, first_step, step_count) "
     "VALUES (?1, ?2, ?3, ?4, ?5, ?6)"},
    {&Statements::put_intent,
     "INSERT OR REPLACE INTO intents(session, step, call, is_write, key, request_hash, first_step, "
     "step_count) "
     "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
    {&Statements::drop_intents,
     "DELETE FROM intents WHERE session = ?1 AND step < (SELECT next_step FROM sessions WHERE id = "
     "?1)"},
    {&Statements::raise_mark,
     "INSERT INTO marks(worker, mark) VALUES (?1, ?2) "
     "ON CONFLICT (worker) DO UPDATE SET mark = excluded.mark WHERE excluded.mark > mark"},
    {&Statements::put_owner,
     "INSERT OR REPLACE INTO owners(worker, node, name) VALUES (?1, ?2, ?3)"},
    {&Statements::put_quarantined, "INSERT OR IGNORE INTO quarantined(node) VALUES (?1)"},
    {&Statements::set_epoch, "UPDATE meta SET epoch = ?1"},
    {&Statements::set_head, "UPDATE meta SET size = ?1, root = ?2, head_epoch = ?3"},
    {&Statements::set_signed_head, "UPDATE meta SET signed_head = ?1"},
    {&Statements::put_effect,
     "INSERT OR REPLACE INTO effects(home, counter, step, place, tenant, key, effect, is_parked, "
     "attempts, cause) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"},
    {&Statements::drop_effect,
     "DELETE FROM effects WHERE home = ?1 AND counter = ?2 AND step = ?3 AND place = ?4"},
    {&Statements::put_text, "INSERT OR REPLACE INTO texts(name, text) VALUES (?1, ?2)"},
    {&Statements::add_session_text,
     "INSERT OR REPLACE INTO session_texts(session, step, place, text) VALUES (?1, ?2, ?3, ?4)"},
    {&Statements::add_history,
     "INSERT INTO history(number, tenant, name, at, steps, bytes, hash, text) VALUES (?1, ?2, ?3, "
     "?4, ?5, ?6, ?7, ?8)"},
    {&Statements::drop_history, "DELETE FROM history WHERE number = ?1"},
    // Each tenant's newest first, then each one's second newest, and so on.
    {&Statements::drop_opening_keys,
     "DELETE FROM keys WHERE (scope, key) IN (SELECT scope, key FROM (SELECT scope, key, session, "
     "row_number() OVER (PARTITION BY scope ORDER BY session DESC, key DESC) AS "
     "place " FORERUN_OPENING_KEYS ") ORDER BY place, session DESC LIMIT -1 OFFSET ?1)"},
};

#undef FORERUN_OPENING_KEYS

Result<void> prepare(sqlite::Connection& connection, std::span<const StatementText> texts,
                     Statements& statements) {
  for (const StatementText& text : texts) {
    auto prepared = connection.prepare(text.sql);
    if (!prepared) {
      return tl::unexpected(prepared.error());
    }
    statements.*text.statement = std::move(*prepared);
  }
  return {};
}

RunId run_id_of(const Row& row, int column) {
  return {WorkerId{Uuid{row.bytes<16>(column)}}, row.number(column + 1)};
}

StoredEntry leaf_entry_of(const Row& row) {
  StoredEntry entry;
  entry.seq = Seq{row.number(0)};
  entry.epoch = Epoch{row.number(1)};
  entry.leaf = row.text(2);
  entry.call = row.text(3);
  return entry;
}

StoredEntry entry_of_row(const Row& row) {
  StoredEntry entry = leaf_entry_of(row);
  entry.output = row.text(4);
  entry.writes = row.text(5);
  entry.effects = row.text(6);
  if (!row.is_null(7)) {
    entry.step = StepNumber{row.number32(7)};
  }
  if (!row.is_null(8)) {
    entry.run_id = run_id_of(row, 8);
  }
  entry.story = row.text(10);
  return entry;
}

SessionRow session_of(const Row& row) {
  SessionRow session;
  session.run_id = run_id_of(row, 0);
  session.tenant = row.text(2);
  session.context = row.text(3);
  const std::uint64_t mode = row.number(4);
  if (mode > static_cast<std::uint64_t>(SpeculationMode::shadow)) {
    row.malformed();
  }
  session.mode = static_cast<SpeculationMode>(mode);
  session.world = row.text(5);
  session.next_step = row.number32(6);
  session.chain.bytes = row.bytes<32>(7);
  session.state = row.text(8);
  session.ended = row.flag(9);
  session.list_state = row.text(10);
  return session;
}

TextRow text_of(const Row& row) {
  return {run_id_of(row, 0), StepNumber{row.number32(2)}, row.number32(3), row.text(4)};
}

KeyRow key_of(const Row& row) {
  return {row.text(0),       row.text(1),     Digest{row.bytes<32>(2)},
          run_id_of(row, 3), row.number32(5), row.number32(6)};
}

IntentRow intent_of(const Row& row) {
  return {run_id_of(row, 0), StepNumber{row.number32(2)}, row.text(3),     row.flag(4),
          row.text(5),       Digest{row.bytes<32>(6)},    row.number32(7), row.number32(8)};
}

HistoryEntry history_entry_of(const Row& row) {
  return {row.number(0),           row.text(1),     row.text(2),
          Seq{row.number(3)},      row.number32(4), row.number(5),
          Digest{row.bytes<32>(6)}};
}

CoordinatorStore::CommitRecord commit_record_of(const Row& row) {
  return {Seq{row.number(0)},
          run_id_of(row, 2),
          StepNumber{row.number32(1)},
          row.flag(6),
          row.text(4),
          row.text(5),
          row.text(7),
          row.text(8),
          row.text(9),
          {}};
}

EffectRow effect_of(const Row& row) {
  return {{run_id_of(row, 0), StepNumber{row.number32(2)}, row.number32(3)},
          row.text(4),
          row.text(5),
          row.text(6),
          row.flag(7),
          row.number32(8),
          row.text(9)};
}

void read_heads(const Row& row, CoordinatorRecovery& recovery) {
  if (!row.is_null(0)) {
    recovery.head = {row.number(0), Digest{row.bytes<32>(1)}, Epoch{row.number(2)}};
  }
  if (!row.is_null(3)) {
    auto head = head_from_json(row.text(3));
    if (!head) {
      row.malformed();
      return;
    }
    recovery.signed_head = *head;
  }
}

/// The points around a transaction, by what it holds.
struct TransactionPoint {
  Failpoint before;
  Failpoint after;
  bool (*holds)(const CoordinatorBatch&);
};

constexpr TransactionPoint transaction_points[] = {
    {Failpoint::ledger_term, Failpoint::ledger_term_done,
     [](const CoordinatorBatch& batch) {
       return std::ranges::any_of(batch.entries,
                                  [](const StoredEntry& entry) { return !entry.run_id; });
     }},
    {Failpoint::ledger_session, Failpoint::ledger_session_done,
     [](const CoordinatorBatch& batch) {
       return std::ranges::any_of(batch.sessions, [](const SessionRow& session) {
         return session.next_step == 0 && !session.ended;
       });
     }},
    {Failpoint::ledger_ended, Failpoint::ledger_ended_done,
     [](const CoordinatorBatch& batch) {
       return std::ranges::any_of(batch.sessions,
                                  [](const SessionRow& session) { return session.ended; });
     }},
    {Failpoint::ledger_said, Failpoint::ledger_said_done,
     [](const CoordinatorBatch& batch) { return !batch.texts.empty(); }},
    {Failpoint::ledger_opening_key, Failpoint::ledger_opening_key_done,
     [](const CoordinatorBatch& batch) {
       return std::ranges::any_of(batch.keys,
                                  [](const KeyRow& key) { return key.scope.starts_with("open:"); });
     }},
    {Failpoint::ledger_intent, Failpoint::ledger_intent_done,
     [](const CoordinatorBatch& batch) { return !batch.intents.empty(); }},
    {Failpoint::ledger_commit, Failpoint::ledger_commit_done,
     [](const CoordinatorBatch& batch) {
       return std::ranges::any_of(batch.entries,
                                  [](const StoredEntry& entry) { return entry.step.has_value(); });
     }},
    {Failpoint::ledger_discard, Failpoint::ledger_discard_done,
     [](const CoordinatorBatch& batch) {
       return std::ranges::any_of(
           batch.entries, [](const StoredEntry& entry) { return entry.run_id && !entry.step; });
     }},
    {Failpoint::ledger_effect, Failpoint::ledger_effect_done,
     [](const CoordinatorBatch& batch) {
       return std::ranges::any_of(batch.effects,
                                  [](const EffectRow& row) { return !row.is_parked; });
     }},
    {Failpoint::ledger_parked, Failpoint::ledger_parked_done,
     [](const CoordinatorBatch& batch) {
       return std::ranges::any_of(batch.effects,
                                  [](const EffectRow& row) { return row.is_parked; });
     }},
    {Failpoint::ledger_delivered, Failpoint::ledger_delivered_done,
     [](const CoordinatorBatch& batch) { return !batch.effects_ended.empty(); }},
    {Failpoint::ledger_mark, Failpoint::ledger_mark_done,
     [](const CoordinatorBatch& batch) { return !batch.marks.empty(); }},
    {Failpoint::ledger_owner, Failpoint::ledger_owner_done,
     [](const CoordinatorBatch& batch) { return !batch.owners.empty(); }},
    {Failpoint::ledger_quarantine, Failpoint::ledger_quarantine_done,
     [](const CoordinatorBatch& batch) { return !batch.quarantined.empty(); }},
    {Failpoint::ledger_head, Failpoint::ledger_head_done,
     [](const CoordinatorBatch& batch) { return batch.signed_head.has_value(); }},
    {Failpoint::ledger_history, Failpoint::ledger_history_done,
     [](const CoordinatorBatch& batch) { return !batch.history.empty(); }},
    {Failpoint::ledger_forgotten, Failpoint::ledger_forgotten_done,
     [](const CoordinatorBatch& batch) { return !batch.forgotten.empty(); }},
};

/// True: the transaction is to fail.
bool reach_points(std::span<const CoordinatorBatch> batches, Failpoint TransactionPoint::*when) {
  bool fails = false;
  if (is_failpoint_armed()) {
    for (const TransactionPoint& point : transaction_points) {
      if (std::ranges::any_of(batches, point.holds)) {
        fails = fails_at(point.*when) || fails;
      }
    }
  }
  return fails;
}

class SqliteCoordinatorStore final : public CoordinatorStore {
public:
  /// `checkpointer` is empty when it is read-only.
  SqliteCoordinatorStore(std::shared_ptr<Disk> disk, sqlite::Connection connection,
                         Statements statements, std::unique_ptr<Checkpointer> checkpointer,
                         Epoch epoch)
      : disk_(std::move(disk)),
        connection_(std::move(connection)),
        statements_(std::move(statements)),
        checkpointer_(std::move(checkpointer)),
        epoch_(epoch) {}

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
  Result<std::uint64_t> size() override { return number_of(statements_.size); }
  std::uint64_t sync_count() const override { return disk_->sync_count(); }

private:
  /// A session's row, as this transaction leaves it.
  struct Known {
    std::uint64_t id = 0;
    std::optional<std::uint64_t> latest;     ///< Its latest entry.
    std::optional<std::uint32_t> last_step;  ///< Its latest commit.
    bool is_written = true;                  ///< The row says so too.
  };
  Result<std::uint64_t> number_of(Statement& statement);
  Result<void> visit_entries(const std::function<void(const StoredEntry&)>& visit);
  Result<void> read_rows(CoordinatorRecovery& recovery);
  Result<SessionRecord> read_session(const RunId& run_id, const SessionPart& part);
  Result<void> writable();
  /// As if the disk had failed under it.
  void fail_if(bool fails, sqlite::Transaction& transaction) const;
  Result<void> finish(sqlite::Transaction& transaction);
  void write(sqlite::Transaction& transaction, const CoordinatorBatch& batch);
  void write_session(sqlite::Transaction& transaction, const SessionRow& session);
  void write_entry(sqlite::Transaction& transaction, const StoredEntry& entry);
  void write_latest(sqlite::Transaction& transaction);
  Known* find(sqlite::Transaction& transaction, const RunId& run_id);
  Known& find_or_name(sqlite::Transaction& transaction, const RunId& run_id);

  std::shared_ptr<Disk> disk_;
  sqlite::Connection connection_;
  Statements statements_;
  std::unique_ptr<Checkpointer> checkpointer_;
  Epoch epoch_;          ///< Seen last by this object: its own writer's.
  Result<void> usable_;  ///< The first failure to write, for good.
  std::map<RunId, Known> known_;
  std::vector<RunId> unwritten_;  ///< Whose rows this batch has yet to bring up to date.
  bool may_have_intents_ =
      true;  ///< Until a recovery has found none: most clusters never have any.
};

/// Sessions whose rows are remembered; beyond it they are looked up again.
constexpr std::size_t remembered_sessions_max = 1 << 16;

Result<std::uint64_t> SqliteCoordinatorStore::number_of(Statement& statement) {
  std::uint64_t number = 0;
  auto read = statement.each([&number](const Row& row) { number = row.number(0); });
  if (!read) {
    return tl::unexpected(read.error());
  }
  return number;
}

Result<void> SqliteCoordinatorStore::visit_entries(
    const std::function<void(const StoredEntry&)>& visit) {
  std::uint64_t next = 0;
  bool has_gap = false;
  auto visited = statements_.recovered.each_while([&](const Row& row) {
    const StoredEntry entry = entry_of_row(row);
    has_gap = entry.seq.value != next;
    if (!has_gap) {
      ++next;
      visit(entry);
    }
    return !has_gap;
  });
  if (visited && has_gap) {
    return fail(Errc::verification, connection_.place() + ": entry " + std::to_string(next) +
                                        ": found nothing, expected an entry");
  }
  return visited;
}

Result<void> SqliteCoordinatorStore::read_rows(CoordinatorRecovery& recovery) {
  auto read =
      statements_.epoch.each([&](const Row& row) { recovery.epoch = Epoch{row.number(0)}; });
  if (read) {
    read = statements_.heads.each([&](const Row& row) { read_heads(row, recovery); });
  }
  if (read) {
    read = statements_.sessions.each(
        [&](const Row& row) { recovery.sessions.push_back(session_of(row)); });
  }
  if (read) {
    RecoveredTexts texts;
    read = statements_.open_texts.each([&](const Row& row) { texts.add(text_of(row)); });
    std::move(texts).put_into(recovery);
  }
  if (read) {
    read = statements_.keys.each([&](const Row& row) { recovery.keys.push_back(key_of(row)); });
  }
  if (read) {
    read = statements_.intents.each(
        [&](const Row& row) { recovery.intents.push_back(intent_of(row)); });
  }
  if (read) {
    read = statements_.marks.each([&](const Row& row) {
      recovery.marks.push_back({WorkerId{Uuid{row.bytes<16>(0)}}, row.number(1)});
    });
  }
  if (read) {
    read = statements_.owners.each([&](const Row& row) {
      recovery.owners.push_back(
          {WorkerId{Uuid{row.bytes<16>(0)}}, NodeId{row.text(1)}, row.text(2)});
    });
  }
  if (read) {
    read = statements_.quarantined.each(
        [&](const Row& row) { recovery.quarantined.push_back(NodeId{row.text(0)}); });
  }
  if (read) {
    read = statements_.history_entries.each(
        [&](const Row& row) { recovery.history.push_back(history_entry_of(row)); });
  }
  if (read) {
    read = statements_.effects.each(
        [&](const Row& row) { recovery.effects.push_back(effect_of(row)); });
  }
  return read;
}

Result<CoordinatorRecovery> SqliteCoordinatorStore::recover(
    const std::function<void(const StoredEntry&)>& visit) {
  // One snapshot: beside a running owner, rows and entries must be of one moment.
  auto result = connection_.execute("BEGIN");
  if (!result) {
    return tl::unexpected(result.error());
  }
  CoordinatorRecovery recovery;
  result = visit_entries(visit);
  if (result) {
    result = read_rows(recovery);
  }
  static_cast<void>(connection_.execute("COMMIT"));  // Has written nothing.
  if (!result) {
    return tl::unexpected(result.error());
  }
  epoch_ = std::max(epoch_, recovery.epoch);
  may_have_intents_ = !recovery.intents.empty();
  return recovery;
}

Result<void> SqliteCoordinatorStore::writable() {
  if (!checkpointer_) {
    return fail(Errc::refused, connection_.place() + ": opened read-only");
  }
  if (usable_) {
    usable_ = checkpointer_->health();
  }
  return usable_;
}

void SqliteCoordinatorStore::fail_if(bool fails, sqlite::Transaction& transaction) const {
  if (fails) {
    transaction.require(fail(Errc::io, connection_.place() + ": a write failed at a failpoint"));
  }
}

Result<void> SqliteCoordinatorStore::finish(sqlite::Transaction& transaction) {
  Result<void> done = transaction.commit();
  if (!done) {
    known_.clear();
    unwritten_.clear();
    // A sync that failed may succeed when asked again though its pages are lost: nothing is written
    // any more.
    if (done.error().code == Errc::io) {
      usable_ = done;
    }
    return done;
  }
  // What was to be durable is; a failure here shows at the next write.
  usable_ = checkpointer_->committed(connection_);
  return {};
}

Result<void> SqliteCoordinatorStore::persist(std::span<const CoordinatorBatch> batches) {
  if (auto open = writable(); !open || batches.empty()) {
    return open;
  }
  if (known_.size() >= remembered_sessions_max) {
    known_.clear();
  }
  const bool fails = reach_points(batches, &TransactionPoint::before);
  Epoch epoch;
  std::uint64_t size = 0;
  sqlite::Transaction transaction(connection_);
  transaction.each(statements_.epoch, [&](const Row& row) { epoch = Epoch{row.number(0)}; });
  transaction.each(statements_.size, [&](const Row& row) { size = row.number(0); });
  const Epoch epoch_before = epoch;
  const LedgerHead* head = nullptr;
  const SignedHead* signed_head = nullptr;
  for (const CoordinatorBatch& batch : batches) {
    transaction.require(store_rules::check_epoch(batch.epoch, epoch));
    transaction.require(store_rules::check_batch(batch, size));
    epoch = batch.epoch;
    size += batch.entries.size();
    head = batch.head && !batch.entries.empty() ? &*batch.head : head;
    signed_head = batch.signed_head ? &*batch.signed_head : signed_head;
    write(transaction, batch);
  }
  if (epoch_before < epoch) {
    transaction.run(statements_.set_epoch, epoch.value);
  }
  if (head != nullptr) {
    transaction.run(statements_.set_head, head->size, head->root.bytes, head->epoch.value);
  }
  if (signed_head != nullptr) {
    transaction.run(statements_.set_signed_head, head_json(*signed_head));
  }
  reach(Failpoint::ledger_written);
  fail_if(fails, transaction);
  auto done = finish(transaction);
  if (done) {
    epoch_ = epoch;
    reach_points(batches, &TransactionPoint::after);
  }
  return done;
}

void SqliteCoordinatorStore::write(sqlite::Transaction& transaction,
                                   const CoordinatorBatch& batch) {
  for (const StoredEntry& entry : batch.entries) {
    write_entry(transaction, entry);
  }
  for (const SessionRow& session : batch.sessions) {
    write_session(transaction, session);
  }
  write_latest(transaction);
  for (const TextRow& text : batch.texts) {
    const std::uint64_t session = find_or_name(transaction, text.run_id).id;
    transaction.run(statements_.add_session_text, session, text.before.value, text.place,
                    text.text);
  }
  for (const KeyRow& key : batch.keys) {
    const std::uint64_t session = find_or_name(transaction, key.run_id).id;
    transaction.run(statements_.put_key, key.scope, key.key, key.request_hash.bytes, session,
                    key.first_step, key.step_count);
  }
  may_have_intents_ = may_have_intents_ || !batch.intents.empty();
  for (const IntentRow& intent : batch.intents) {
    const std::uint64_t session = find_or_name(transaction, intent.run_id).id;
    transaction.run(statements_.put_intent, session, intent.step.value, intent.call,
                    intent.is_write, intent.key, intent.request_hash.bytes, intent.first_step,
                    intent.step_count);
    transaction.run(statements_.drop_intents, session);
  }
  if (may_have_intents_) {
    for (const SessionRow& session : batch.sessions) {
      transaction.run(statements_.drop_intents, find_or_name(transaction, session.run_id).id);
    }
  }
  for (const MarkRow& mark : batch.marks) {
    transaction.run(statements_.raise_mark, mark.worker.uuid.bytes, mark.mark);
  }
  for (const OwnerRow& owner : batch.owners) {
    transaction.run(statements_.put_owner, owner.worker.uuid.bytes, owner.node.name, owner.name);
  }
  for (const NodeId& node : batch.quarantined) {
    transaction.run(statements_.put_quarantined, node.name);
  }
  for (const std::uint64_t number : batch.forgotten) {
    transaction.run(statements_.drop_history, number);
  }
  for (const HistoryRow& row : batch.history) {
    const HistoryEntry& entry = row.entry;
    transaction.run(statements_.add_history, entry.number, entry.tenant, entry.name, entry.at.value,
                    entry.steps, entry.bytes, entry.hash.bytes, row.text);
  }
  for (const EffectRow& effect : batch.effects) {
    transaction.run(statements_.put_effect, effect.id.run_id.home.uuid.bytes,
                    effect.id.run_id.counter, effect.id.step.value, effect.id.index, effect.tenant,
                    effect.key, effect.effect, effect.is_parked, effect.attempts, effect.cause);
  }
  for (const EffectId& id : batch.effects_ended) {
    transaction.run(statements_.drop_effect, id.run_id.home.uuid.bytes, id.run_id.counter,
                    id.step.value, id.index);
  }
}

void SqliteCoordinatorStore::write_session(sqlite::Transaction& transaction,
                                           const SessionRow& session) {
  const auto mode = static_cast<std::uint32_t>(session.mode);
  if (Known* known = find(transaction, session.run_id)) {
    transaction.run(statements_.set_session, known->id, session.tenant, session.context, mode,
                    session.world, session.next_step, session.chain.bytes, session.state,
                    session.ended, session.list_state, known->latest, known->last_step);
    known->is_written = true;
    return;
  }
  const auto note = [&](const Row& row) { known_[session.run_id] = {row.number(0), {}, {}}; };
  transaction.each(statements_.add_session, note, session.run_id.home.uuid.bytes,
                   session.run_id.counter, session.tenant, session.context, mode, session.world,
                   session.next_step, session.chain.bytes, session.state, session.ended,
                   session.list_state);
}

void SqliteCoordinatorStore::write_entry(sqlite::Transaction& transaction,
                                         const StoredEntry& entry) {
  std::optional<std::uint64_t> session;
  std::optional<std::uint32_t> step;
  std::optional<std::uint64_t> previous;
  if (entry.run_id) {
    Known& known = find_or_name(transaction, *entry.run_id);
    session = known.id;
    previous = std::exchange(known.latest, entry.seq.value);
    if (entry.step) {
      step = entry.step->value;
      transaction.require(store_rules::check_step(*entry.run_id, *entry.step, known.last_step));
      known.last_step = step;
    }
    if (std::exchange(known.is_written, false)) {
      unwritten_.push_back(*entry.run_id);
    }
  }
  transaction.run(statements_.add_entry, entry.seq.value, entry.epoch.value, session, step,
                  entry.leaf, previous);
  if (!entry.call.empty() || !entry.output.empty() || !entry.writes.empty() ||
      !entry.effects.empty() || !entry.story.empty()) {
    transaction.run(statements_.add_payload, entry.seq.value, entry.call, entry.output,
                    entry.writes, entry.effects, entry.story);
  }
}

/// Of sessions whose rows the batch did not write anyway.
void SqliteCoordinatorStore::write_latest(sqlite::Transaction& transaction) {
  for (const RunId& run_id : std::exchange(unwritten_, {})) {
    Known& known = known_.at(run_id);
    if (!std::exchange(known.is_written, true)) {
      transaction.run(statements_.set_latest, known.id, known.latest, known.last_step);
    }
  }
}

/// Null when it has no row.
SqliteCoordinatorStore::Known* SqliteCoordinatorStore::find(sqlite::Transaction& transaction,
                                                            const RunId& run_id) {
  if (const auto at = known_.find(run_id); at != known_.end()) {
    return &at->second;
  }
  Known* known = nullptr;
  transaction.each(
      statements_.find_session,
      [&](const Row& row) {
        known = &known_[run_id];
        known->id = row.number(0);
        if (!row.is_null(1)) {
          known->latest = row.number(1);
        }
        if (!row.is_null(2)) {
          known->last_step = row.number32(2);
        }
      },
      run_id.home.uuid.bytes, run_id.counter);
  return known;
}

/// An entry or a key may come before its session's row, as in a ledger taken over from a node.
SqliteCoordinatorStore::Known& SqliteCoordinatorStore::find_or_name(
    sqlite::Transaction& transaction, const RunId& run_id) {
  if (Known* known = find(transaction, run_id)) {
    return *known;
  }
  Known& known = known_[run_id];  // Forgotten again when the transaction fails.
  transaction.each(
      statements_.name_session, [&known](const Row& row) { known.id = row.number(0); },
      run_id.home.uuid.bytes, run_id.counter);
  return known;
}

Result<std::vector<StoredEntry>> SqliteCoordinatorStore::read(Seq from, std::size_t count,
                                                              bool whole) {
  EntryReader reader(from, count);
  if (reader.count() == 0) {
    return reader.take();
  }
  Statement& statement = whole ? statements_.entries : statements_.leaves;
  auto read = statement.each_while(
      [&](const Row& row) { return reader.add(whole ? entry_of_row(row) : leaf_entry_of(row)); },
      from.value);
  return read ? reader.take() : tl::unexpected<Error>(read.error());
}

Result<SessionRow> SqliteCoordinatorStore::session_row(const RunId& run_id) {
  std::optional<SessionRow> row;
  auto read = statements_.session.each([&](const Row& found) { row = session_of(found); },
                                       run_id.home.uuid.bytes, run_id.counter);
  if (!read) {
    return tl::unexpected<Error>(read.error());
  }
  if (!row) {
    return fail(Errc::not_found,
                connection_.place() + ": there is no session " + to_string(run_id));
  }
  return std::move(*row);
}

Result<std::optional<KeyRow>> SqliteCoordinatorStore::key(const RunId& run_id,
                                                          const std::string& key) {
  std::optional<KeyRow> found;
  auto read = statements_.session_key.each([&found](const Row& row) { found = key_of(row); },
                                           to_string(run_id), key);
  return read ? std::move(found) : Result<std::optional<KeyRow>>(tl::unexpected(read.error()));
}

Result<std::vector<StoredEntry>> SqliteCoordinatorStore::steps(const RunId& run_id,
                                                               StepNumber first,
                                                               std::uint32_t count) {
  std::vector<StoredEntry> found;
  auto read =
      statements_.steps.each([&found](const Row& row) { found.push_back(entry_of_row(row)); },
                             run_id.home.uuid.bytes, run_id.counter, std::uint64_t{first.value} + 1,
                             first.value, std::uint64_t{first.value} + count);
  return read ? std::move(found) : Result<std::vector<StoredEntry>>(tl::unexpected(read.error()));
}

Result<CoordinatorStore::SessionRecord> SqliteCoordinatorStore::session(const RunId& run_id,
                                                                        const SessionPart& part) {
  // One snapshot: beside a running owner, the row and its entries must be of one moment.
  if (auto begun = connection_.execute("BEGIN"); !begun) {
    return tl::unexpected(begun.error());
  }
  auto record = read_session(run_id, part);
  static_cast<void>(connection_.execute("COMMIT"));  // Has written nothing.
  return record;
}

Result<CoordinatorStore::SessionRecord> SqliteCoordinatorStore::read_session(
    const RunId& run_id, const SessionPart& part) {
  auto row = session_row(run_id);
  if (!row) {
    return tl::unexpected<Error>(row.error());
  }
  SessionPartReader reader(std::move(*row), part, [this](Seq seq) -> Result<StoredEntry> {
    auto entries = read(seq, 1, true);
    if (!entries || entries->empty()) {
      return entries ? fail(Errc::verification, connection_.place() + ": entry " + to_string(seq) +
                                                    " of a session is missing")
                     : tl::unexpected(entries.error());
    }
    return std::move(entries->front());
  });
  auto walked = statements_.session_entries.each_while(
      [&](const Row& each) {
        const auto step =
            each.is_null(1) ? std::nullopt : std::optional(StepNumber{each.number32(1)});
        return reader.add(Seq{each.number(0)}, step);
      },
      run_id.home.uuid.bytes, run_id.counter, part.first.value);
  if (!walked) {
    return tl::unexpected(walked.error());
  }
  return reader.take();
}

Result<std::vector<HistoryRow>> SqliteCoordinatorStore::history(std::uint64_t first,
                                                                std::uint64_t last,
                                                                std::size_t steps) {
  std::vector<HistoryRow> rows;
  PageLimit limit(steps);
  auto read = statements_.history.each_while(
      [&](const Row& row) {
        rows.push_back({history_entry_of(row), row.text(7)});
        return limit.has_room_after(rows.back().entry.steps, rows.back().text.size());
      },
      first, last);
  return read ? std::move(rows) : Result<std::vector<HistoryRow>>(tl::unexpected(read.error()));
}

Result<std::vector<CoordinatorStore::CommitRecord>> SqliteCoordinatorStore::commits(
    Seq from, Seq until, std::size_t count) {
  std::vector<CommitRecord> records;
  PageLimit limit(count);
  Result<void> texts;
  auto read = statements_.past_commits.each_while(
      [&](const Row& row) {
        CommitRecord& record = records.emplace_back(commit_record_of(row));
        texts = statements_.past_texts.each(
            [&record](const Row& text) { record.texts.push_back(text.text(0)); }, row.number(10),
            record.step.value);
        return texts && limit.has_room_after(1, record.bytes());
      },
      from.value, until.value);
  read = read ? texts : read;
  return read ? std::move(records)
              : Result<std::vector<CommitRecord>>(tl::unexpected(read.error()));
}

Result<void> SqliteCoordinatorStore::drop_opening_keys(std::size_t keys_max) {
  if (auto open = writable(); !open) {
    return open;
  }
  const auto count = number_of(statements_.opening_key_count);
  if (!count) {
    return tl::unexpected(count.error());
  }
  if (*count <= keys_max) {
    return {};
  }
  const bool fails = fails_at(Failpoint::ledger_keys_dropped);
  Epoch seen;
  sqlite::Transaction transaction(connection_);
  transaction.each(statements_.epoch, [&seen](const Row& row) { seen = Epoch{row.number(0)}; });
  transaction.require(store_rules::check_epoch(epoch_, seen));
  transaction.run(statements_.drop_opening_keys, std::uint64_t{keys_max});
  fail_if(fails, transaction);
  auto done = finish(transaction);
  if (done) {
    reach(Failpoint::ledger_keys_dropped_done);
  }
  return done;
}

Result<void> SqliteCoordinatorStore::put_text(const std::string& name, const std::string& text) {
  if (auto open = writable(); !open) {
    return open;
  }
  const bool fails = fails_at(Failpoint::ledger_text);
  Epoch seen;
  sqlite::Transaction transaction(connection_);
  transaction.each(statements_.epoch, [&seen](const Row& row) { seen = Epoch{row.number(0)}; });
  transaction.require(store_rules::check_epoch(epoch_, seen));
  transaction.run(statements_.put_text, name, text);
  fail_if(fails, transaction);
  auto done = finish(transaction);
  if (done) {
    reach(Failpoint::ledger_text_done);
  }
  return done;
}

Result<std::optional<std::string>> SqliteCoordinatorStore::text(const std::string& name) {
  std::optional<std::string> found;
  auto read = statements_.text.each([&found](const Row& row) { found = row.text(0); }, name);
  if (!read) {
    return tl::unexpected(read.error());
  }
  return found;
}

Result<std::unique_ptr<CoordinatorStore>> assemble(std::shared_ptr<Disk> disk,
                                                   sqlite::Connection connection,
                                                   std::unique_ptr<Checkpointer> checkpointer) {
  Statements statements;
  auto prepared = prepare(connection, reading, statements);
  if (prepared && checkpointer) {
    prepared = prepare(connection, writing, statements);
  }
  if (!prepared) {
    return tl::unexpected(prepared.error());
  }
  const auto epoch = connection.number("SELECT epoch FROM meta");
  if (!epoch) {
    return tl::unexpected(epoch.error());
  }
  return std::make_unique<SqliteCoordinatorStore>(std::move(disk), std::move(connection),
                                                  std::move(statements), std::move(checkpointer),
                                                  Epoch{*epoch});
}

}  // namespace

namespace {

/// What cannot even be opened as a ledger: where it lies, and what to do.
Error in_folder(const std::filesystem::path& directory, Error error) {
  if (error.code == Errc::invalid) {
    error.message = directory.string() + "/" + error.message + damage_advice;
  }
  return error;
}

}  // namespace

Result<std::unique_ptr<CoordinatorStore>> open_coordinator_store(
    const std::filesystem::path& directory, const StoreSettings& settings) {
  const auto path = directory / "ledger.db";
  auto connection = open_store_file(path, ledger_file, settings.disk->name());
  if (!connection) {
    return tl::unexpected(in_folder(directory, connection.error()));
  }
  auto checkpointer = Checkpointer::start(path, settings.disk->name(), settings.checkpoint_pages);
  if (!checkpointer) {
    return tl::unexpected(checkpointer.error());
  }
  return assemble(settings.disk, std::move(*connection), std::move(*checkpointer));
}

Result<std::unique_ptr<CoordinatorStore>> open_coordinator_store(
    const std::filesystem::path& directory) {
  return open_coordinator_store(directory, StoreSettings{});
}

Result<std::unique_ptr<CoordinatorStore>> open_coordinator_store_readonly(
    const std::filesystem::path& directory) {
  auto disk = std::make_shared<Disk>();
  auto connection = open_store_file_readonly(directory / "ledger.db", ledger_file, disk->name());
  if (!connection) {
    return tl::unexpected(in_folder(directory, connection.error()));
  }
  return assemble(std::move(disk), std::move(*connection), nullptr);
}

}  // namespace forerun
