// What every store must do, on a disk and in memory alike.
#include <catch2/catch.hpp>

#include "storage/memory_store.hpp"
#include "storage/store.hpp"
#include "store_values.hpp"

using namespace forerun;
using namespace forerun::store_values;
using Catch::Matchers::Contains;

namespace {

/// A store that can be opened again, as its next process would.
struct OnDisk {
  OnDisk() { reopen(); }
  void reopen() {
    coordinator_.reset();
    replica_.reset();
    identity_.reset();
    coordinator_ = good(open_coordinator_store(directory.path(), simulated_settings()));
    replica_ = good(open_replica_store(directory.path(), simulated_settings()));
    identity_ = good(open_identity_store(directory.path(), simulated_settings()));
  }
  CoordinatorStore& coordinator() { return *coordinator_; }
  ReplicaStore& replica() { return *replica_; }
  IdentityStore& identity() { return *identity_; }

  TempDirectory directory;

private:
  std::unique_ptr<CoordinatorStore> coordinator_;
  std::unique_ptr<ReplicaStore> replica_;
  std::unique_ptr<IdentityStore> identity_;
};

struct InMemory {
  void reopen() {
    coordinator_.crash();
    replica_.sync();
    replica_.crash();
    identity_.crash();
  }
  CoordinatorStore& coordinator() { return coordinator_; }
  ReplicaStore& replica() { return replica_; }
  IdentityStore& identity() { return identity_; }

private:
  MemoryCoordinatorStore coordinator_;
  MemoryReplicaStore replica_;
  MemoryIdentityStore identity_;
};

Result<void> persist(CoordinatorStore& store, const CoordinatorBatch& batch) {
  const CoordinatorBatch whole = with_head(batch);
  return store.persist({&whole, 1});
}

CoordinatorRecovery recovery_of(CoordinatorStore& store) {
  return good(store.recover([](const StoredEntry&) {}));
}

SignedHead head(std::uint64_t size) {
  SignedHead head;
  head.head = {size, digest(3), Epoch{4}};
  head.signature.bytes.fill(5);
  head.public_key.bytes.fill(6);
  return head;
}

}  // namespace

TEMPLATE_TEST_CASE("a new ledger is empty and has seen no epoch", "[store]", OnDisk, InMemory) {
  TestType disk;
  const auto recovery = recovery_of(disk.coordinator());
  CHECK(recovery.epoch == Epoch{0});
  CHECK(recovery.sessions.empty());
  CHECK(good(disk.coordinator().size()) == 0);
  CHECK(entries_of(disk.coordinator()).empty());
  CHECK(good(disk.coordinator().read(Seq{0}, 10, true)).empty());
  CHECK_FALSE(good(disk.coordinator().text("catalog")));
}

TEMPLATE_TEST_CASE("a batch is given back whole by the next process", "[store]", OnDisk, InMemory) {
  TestType disk;
  auto first = batch(3, {epoch_entry(0, 3), commit(1, run(5), 0), commit(2, run(5), 1)});
  first.entries.push_back(commit(3, run(5), 0));
  first.entries[3].step.reset();  // A discard: it names its session, and no step.
  first.sessions = {session(run(5), 2)};
  first.keys = {key(to_string(run(5)), "k", run(5)), key("open:tenant", "k", run(5))};
  first.intents = {intent(run(5), 2)};
  first.marks = {{worker(1), 100}, {worker(2), 200}};
  first.owners = {{worker(1), NodeId{"n1"}, "one"}, {worker(2), NodeId{"n2"}, ""}};
  first.quarantined = {NodeId{"n2"}};
  good(persist(disk.coordinator(), first));
  good(disk.coordinator().put_text("catalog", "[task]"));

  disk.reopen();
  const auto recovery = recovery_of(disk.coordinator());
  CHECK(recovery.epoch == Epoch{3});
  CHECK(same(recovery.sessions, first.sessions));
  CHECK(same(recovery.keys, first.keys));
  CHECK(same(recovery.intents, first.intents));
  CHECK(same(recovery.marks, first.marks));
  CHECK(same(recovery.owners, first.owners));
  CHECK(recovery.quarantined == first.quarantined);
  CHECK(same(entries_of(disk.coordinator()), first.entries));
  CHECK(good(disk.coordinator().size()) == 4);
  CHECK(good(disk.coordinator().text("catalog")) == "[task]");
}

TEMPLATE_TEST_CASE("the latest key of a worker counts, and a quarantined key stays one", "[store]",
                   OnDisk, InMemory) {
  TestType disk;
  auto first = batch(1, {});
  first.owners = {{worker(1), NodeId{"n1"}, "one"}};
  first.quarantined = {NodeId{"n1"}};
  good(persist(disk.coordinator(), first));
  auto second = batch(1, {});
  second.owners = {{worker(1), NodeId{"n3"}, "one"}};
  second.quarantined = {NodeId{"n1"}, NodeId{"n0"}};
  good(persist(disk.coordinator(), second));
  disk.reopen();
  const auto recovery = recovery_of(disk.coordinator());
  CHECK(same(recovery.owners, second.owners));
  CHECK(recovery.quarantined == std::vector{NodeId{"n0"}, NodeId{"n1"}});
}

TEMPLATE_TEST_CASE("heads are kept with the entries that they cover", "[store]", OnDisk, InMemory) {
  TestType disk;
  CHECK_FALSE(recovery_of(disk.coordinator()).head);
  auto first = batch(4, {commit(0, run(1), 0), commit(1, run(1), 1)});
  good(persist(disk.coordinator(), first));
  auto second = batch(4, {commit(2, run(1), 2)});
  second.signed_head = head(2);
  good(persist(disk.coordinator(), second));
  auto marks_only = batch(4);
  marks_only.marks = {{worker(1), 100}};
  good(persist(disk.coordinator(), marks_only));
  disk.reopen();
  const auto recovery = recovery_of(disk.coordinator());
  CHECK(recovery.head == second.head);
  CHECK(recovery.signed_head == head(2));
}

TEMPLATE_TEST_CASE("a batch whose head does not cover its entries is refused whole", "[store]",
                   OnDisk, InMemory) {
  TestType disk;
  auto first = batch(1, {commit(0, run(1), 0)});
  first.head.reset();
  CHECK(bad(disk.coordinator().persist({&first, 1})).message ==
        "ledger: head of the batch from entry 0: found size none, expected 1");
  first.head = LedgerHead{2, digest(1), Epoch{1}};
  CHECK(bad(disk.coordinator().persist({&first, 1})).code == Errc::invalid);
  CHECK(good(disk.coordinator().size()) == 0);
}

TEMPLATE_TEST_CASE("several batches become durable with one sync", "[store]", OnDisk, InMemory) {
  TestType disk;
  good(persist(disk.coordinator(), batch(1)));
  const auto syncs = disk.coordinator().sync_count();
  const std::vector batches = {batch(1, {commit(0, run(1), 0)}), batch(1, {commit(1, run(1), 1)}),
                               batch(1, {commit(2, run(2), 0)})};
  good(disk.coordinator().persist(batches));
  CHECK(disk.coordinator().sync_count() == syncs + 1);
  CHECK(good(disk.coordinator().size()) == 3);
}

TEMPLATE_TEST_CASE("a batch of an older epoch than the store has seen is refused whole", "[store]",
                   OnDisk, InMemory) {
  TestType disk;
  good(persist(disk.coordinator(), batch(5, {commit(0, run(1), 0)})));
  const std::vector batches = {batch(5, {commit(1, run(1), 1)}), batch(4, {commit(2, run(1), 2)})};
  const auto error = bad(disk.coordinator().persist(batches));
  CHECK(error.code == Errc::refused);
  CHECK(error.message == "ledger: epoch: found 4, expected at least 5");
  CHECK(good(disk.coordinator().size()) == 1);
  disk.reopen();
  CHECK(good(disk.coordinator().size()) == 1);
  CHECK(recovery_of(disk.coordinator()).epoch == Epoch{5});
}

TEMPLATE_TEST_CASE("an epoch counts from its first batch, even an empty one", "[store]", OnDisk,
                   InMemory) {
  TestType disk;
  good(persist(disk.coordinator(), batch(9)));
  CHECK(bad(persist(disk.coordinator(), batch(8))).code == Errc::refused);
  disk.reopen();
  CHECK(bad(persist(disk.coordinator(), batch(8))).code == Errc::refused);
  good(persist(disk.coordinator(), batch(9)));
}

TEMPLATE_TEST_CASE("entries that leave a gap, repeat or overlap are refused", "[store]", OnDisk,
                   InMemory) {
  TestType disk;
  good(persist(disk.coordinator(), batch(1, {commit(0, run(1), 0), commit(1, run(1), 1)})));
  const std::uint64_t first = GENERATE(0, 1, 3, 100);
  const auto error = bad(persist(disk.coordinator(), batch(1, {commit(first, run(1), 2)})));
  CHECK(error.code == Errc::refused);
  CHECK(error.message == "ledger: next entry: found " + std::to_string(first) + ", expected 2");
  CHECK(persist(disk.coordinator(), batch(1, {commit(2, run(1), 2), commit(4, run(1), 3)}))
            .error()
            .code == Errc::refused);
  CHECK(good(disk.coordinator().size()) == 2);
  good(persist(disk.coordinator(), batch(1, {commit(2, run(1), 2)})));
}

TEMPLATE_TEST_CASE("a step is committed once", "[store]", OnDisk, InMemory) {
  TestType disk;
  good(persist(disk.coordinator(), batch(1, {commit(0, run(1), 0)})));
  CHECK(bad(persist(disk.coordinator(), batch(1, {commit(1, run(1), 0)}))).code == Errc::refused);
  CHECK(bad(persist(disk.coordinator(), batch(1, {commit(1, run(2), 0), commit(2, run(2), 0)})))
            .code == Errc::refused);
  good(persist(disk.coordinator(), batch(1, {commit(1, run(2), 0)})));
}

TEMPLATE_TEST_CASE("a refused batch leaves nothing of itself", "[store]", OnDisk, InMemory) {
  TestType disk;
  // Refused late: all else of it has been written by then, though not committed.
  auto refused = batch(1, {commit(0, run(1), 0), commit(1, run(1), 0)});
  refused.sessions = {session(run(1), 1)};
  refused.marks = {{worker(1), 5}};
  CHECK(bad(persist(disk.coordinator(), refused)).code == Errc::refused);
  CHECK(recovery_of(disk.coordinator()).sessions.empty());
  CHECK(recovery_of(disk.coordinator()).marks.empty());
  CHECK(recovery_of(disk.coordinator()).epoch == Epoch{0});

  // The session must get its number anew, not one that was rolled back.
  auto later = batch(1, {commit(0, run(2), 0)});
  later.sessions = {session(run(2), 1)};
  good(persist(disk.coordinator(), later));
  later = batch(1, {commit(1, run(1), 0)});
  later.sessions = {session(run(1), 1)};
  good(persist(disk.coordinator(), later));
  CHECK(good(disk.coordinator().session(run(1), {})).commits.size() == 1);
  CHECK(good(disk.coordinator().session(run(2), {})).commits.size() == 1);
}

TEMPLATE_TEST_CASE("intents of committed steps are gone with the commit", "[store]", OnDisk,
                   InMemory) {
  TestType disk;
  auto first = batch(1);
  first.sessions = {session(run(1), 2), session(run(2), 0)};
  first.intents = {intent(run(1), 2), intent(run(1), 3), intent(run(1), 5), intent(run(2), 0)};
  good(persist(disk.coordinator(), first));
  CHECK(recovery_of(disk.coordinator()).intents.size() == 4);

  auto second = batch(1);
  second.sessions = {session(run(1), 4)};
  second.intents = {intent(run(1), 3)};  // Obsolete in the transaction that brings it.
  good(persist(disk.coordinator(), second));
  const std::vector expected = {intent(run(1), 5), intent(run(2), 0)};
  CHECK(same(recovery_of(disk.coordinator()).intents, expected));

  auto third = batch(1);
  third.intents = {intent(run(1), 1)};
  good(persist(disk.coordinator(), third));
  CHECK(same(recovery_of(disk.coordinator()).intents, expected));
}

TEMPLATE_TEST_CASE("marks never fall", "[store]", OnDisk, InMemory) {
  TestType disk;
  const std::vector<std::uint64_t> marks = {10, 30, 20, 30, 5};
  for (const std::uint64_t mark : marks) {
    auto raising = batch(1);
    raising.marks = {{worker(1), mark}};
    good(persist(disk.coordinator(), raising));
    const std::vector rows = {MarkRow{worker(1), mark}};
    good(disk.identity().save(rows));
  }
  disk.reopen();
  const std::vector expected = {MarkRow{worker(1), 30}};
  CHECK(same(recovery_of(disk.coordinator()).marks, expected));
  CHECK(same(good(disk.identity().load()).workers, expected));
}

TEMPLATE_TEST_CASE("a mark beyond what a file holds is refused and changes nothing", "[store]",
                   OnDisk, InMemory) {
  TestType disk;
  const MarkRow beyond{worker(1), std::uint64_t{1} << 63};
  auto raising = batch(1, {commit(0, run(1), 0)});
  raising.marks = {beyond};
  CHECK(bad(persist(disk.coordinator(), raising)).code == Errc::invalid);
  CHECK(good(disk.coordinator().size()) == 0);
  CHECK(bad(disk.identity().save({&beyond, 1})).code == Errc::invalid);
  CHECK(good(disk.identity().load()).workers.empty());
}

TEMPLATE_TEST_CASE("a session is read in parts, and each discard comes with one of them", "[store]",
                   OnDisk, InMemory) {
  TestType disk;
  const auto discard = [](std::uint64_t seq) {
    StoredEntry entry = commit(seq, run(1), 0);
    entry.step.reset();
    return entry;
  };
  // d c0 other d c1 d d c2 d
  auto all =
      batch(1, {discard(0), commit(1, run(1), 0), commit(2, run(2), 0), discard(3),
                commit(4, run(1), 1), discard(5), discard(6), commit(7, run(1), 2), discard(8)});
  all.sessions = {session(run(1), 3), session(run(2), 1)};
  good(persist(disk.coordinator(), all));
  const auto part = [&](std::uint32_t first, std::uint32_t count, std::size_t bytes) {
    const auto record = good(disk.coordinator().session(run(1), {StepNumber{first}, count, bytes}));
    CHECK(record.row.next_step == 3);
    std::vector<std::uint64_t> seqs;
    for (const auto* entries : {&record.commits, &record.discards}) {
      for (const StoredEntry& entry : *entries) {
        seqs.push_back(entry.seq.value);
      }
    }
    seqs.push_back(record.before ? record.before->seq.value : 99);
    return seqs;
  };
  using Seqs = std::vector<std::uint64_t>;
  constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
  CHECK(part(0, 9, no_limit) == Seqs{1, 4, 7, 0, 3, 5, 6, 8, 99});
  CHECK(part(0, 1, no_limit) == Seqs{1, 0, 99});
  CHECK(part(1, 1, no_limit) == Seqs{4, 3, 1});
  CHECK(part(1, 2, no_limit) == Seqs{4, 7, 3, 5, 6, 8, 1});
  CHECK(part(2, 1, no_limit) == Seqs{7, 5, 6, 8, 4});
  CHECK(part(3, 1, no_limit) == Seqs{7});
  CHECK(part(9, 1, no_limit) == Seqs{99});
  CHECK(part(0, 9, 1) == Seqs{1, 0, 99});
  CHECK(part(2, 9, 1) == Seqs{7, 5, 6, 8, 4});
  const std::size_t one = commit(4, run(1), 1).leaf.size();
  CHECK(part(1, 9, 2 * one - 1 + 2 * commit(4, run(1), 1).call.size()).front() == 4);
}

TEMPLATE_TEST_CASE("an ended session is found by name and not recovered", "[store]", OnDisk,
                   InMemory) {
  TestType disk;
  auto ending = batch(1, {commit(0, run(1), 0), commit(1, run(2), 0), commit(2, run(1), 1)});
  ending.sessions = {session(run(1), 2), session(run(2), 1)};
  ending.sessions[0].ended = true;
  ending.keys = {key(to_string(run(1)), "k", run(1)), key(to_string(run(2)), "k", run(2)),
                 key("open:tenant", "k", run(1))};
  good(persist(disk.coordinator(), ending));
  disk.reopen();
  const auto recovery = recovery_of(disk.coordinator());
  REQUIRE(recovery.sessions.size() == 1);
  CHECK(recovery.sessions[0].run_id == run(2));
  CHECK(same(recovery.keys, std::vector{ending.keys[1], ending.keys[2]}));

  const auto record = good(disk.coordinator().session(run(1), {}));
  CHECK(same(record.row, ending.sessions[0]));
  CHECK(same(good(disk.coordinator().session_row(run(1))), ending.sessions[0]));
  CHECK(bad(disk.coordinator().session_row(run(3))).code == Errc::not_found);
  CHECK(same(record.commits, std::vector{ending.entries[0], ending.entries[2]}));
  CHECK(bad(disk.coordinator().session(run(3), {})).code == Errc::not_found);
}

TEMPLATE_TEST_CASE("commits may come before their session's row", "[store]", OnDisk, InMemory) {
  TestType disk;
  good(persist(disk.coordinator(), batch(1, {commit(0, run(1), 0)})));
  CHECK(bad(disk.coordinator().session(run(1), {})).code == Errc::not_found);
  CHECK(recovery_of(disk.coordinator()).sessions.empty());
  auto named = batch(1);
  named.sessions = {session(run(1), 1)};
  good(persist(disk.coordinator(), named));
  CHECK(good(disk.coordinator().session(run(1), {})).commits.size() == 1);
}

TEMPLATE_TEST_CASE("a read gives leaf and call, and the rest when asked for", "[store]", OnDisk,
                   InMemory) {
  TestType disk;
  std::vector<StoredEntry> entries;
  for (std::uint32_t i = 0; i < 10; ++i) {
    entries.push_back(commit(i, run(1), i));
  }
  good(persist(disk.coordinator(), batch(1, entries)));
  const auto whole = good(disk.coordinator().read(Seq{3}, 4, true));
  CHECK(same(whole, std::vector(entries.begin() + 3, entries.begin() + 7)));
  const auto light = good(disk.coordinator().read(Seq{8}, 4, false));
  REQUIRE(light.size() == 2);
  CHECK(light[0].seq == Seq{8});
  CHECK(light[0].leaf == entries[8].leaf);
  CHECK(light[0].call == entries[8].call);
  CHECK(light[0].output.empty());
  CHECK_FALSE(light[0].run_id);
  CHECK(good(disk.coordinator().read(Seq{3}, 0, true)).empty());
  CHECK(good(disk.coordinator().read(Seq{100}, 5, true)).empty());
}

TEMPLATE_TEST_CASE("an idempotency key is written over, a text too", "[store]", OnDisk, InMemory) {
  TestType disk;
  auto first = batch(1);
  first.sessions = {session(run(1), 0)};
  first.keys = {key("open:tenant", "k", run(1))};
  good(persist(disk.coordinator(), first));
  first.keys[0].step_count = 8;
  good(persist(disk.coordinator(), first));
  CHECK(same(recovery_of(disk.coordinator()).keys, first.keys));
  good(disk.coordinator().put_text("head", "1"));
  good(disk.coordinator().put_text("head", "2"));
  CHECK(good(disk.coordinator().text("head")) == "2");
}

TEMPLATE_TEST_CASE("keys of openings come back in the order in which they were opened", "[store]",
                   OnDisk, InMemory) {
  TestType disk;
  const std::vector<std::string> opened = {"z", "a", "m"};
  for (std::uint64_t i = 0; i < opened.size(); ++i) {
    auto opening = batch(1);
    opening.sessions = {session(run(9 - i), 0)};  // Not in the order of their run IDs either.
    opening.keys = {key("open:tenant", opened[i], run(9 - i))};
    good(persist(disk.coordinator(), opening));
  }
  disk.reopen();
  std::vector<std::string> found;
  for (const KeyRow& key : recovery_of(disk.coordinator()).keys) {
    found.push_back(key.key);
  }
  CHECK(found == opened);
}

TEMPLATE_TEST_CASE("of too many opening keys the tenant with the most loses its oldest", "[store]",
                   OnDisk, InMemory) {
  TestType disk;
  const auto read_back = [&disk] {
    std::vector<std::string> names;
    for (const KeyRow& key : recovery_of(disk.coordinator()).keys) {
      names.push_back(key.scope + "/" + key.key);
    }
    return names;
  };
  std::uint64_t counter = 0;
  const auto open = [&](const std::string& scope, const std::string& name) {
    auto opening = batch(1);
    ++counter;
    opening.sessions = {session(run(counter), 0)};
    opening.keys = {key(scope, name, run(counter))};
    good(persist(disk.coordinator(), opening));
  };
  open("open:few", "f");
  open("open:many", "z");
  open("open:many", "y");
  open("open:many", "a");
  open(to_string(run(1)), "k");  // A session's own.
  good(disk.coordinator().drop_opening_keys(4));
  CHECK(read_back().size() == 5);
  good(disk.coordinator().drop_opening_keys(3));
  const std::vector<std::string> kept = {to_string(run(1)) + "/k", "open:few/f", "open:many/y",
                                         "open:many/a"};
  CHECK(read_back() == kept);
  disk.reopen();
  CHECK(read_back() == kept);
  good(disk.coordinator().drop_opening_keys(0));
  CHECK(read_back() == std::vector{kept.front()});
}

TEMPLATE_TEST_CASE("a session's steps are read by number", "[store]", OnDisk, InMemory) {
  TestType disk;
  StoredEntry discarded = commit(3, run(1), 0);
  discarded.step.reset();
  auto written = batch(1, {commit(0, run(1), 0), commit(1, run(2), 0), commit(2, run(1), 1),
                           discarded, commit(4, run(1), 2), commit(5, run(2), 1)});
  written.sessions = {session(run(1), 3), session(run(2), 2)};
  good(persist(disk.coordinator(), written));
  const auto steps = [&](std::uint64_t counter, std::uint32_t first, std::uint32_t count) {
    return good(disk.coordinator().steps(run(counter), StepNumber{first}, count));
  };
  CHECK(same(steps(1, 0, 3),
             std::vector{written.entries[0], written.entries[2], written.entries[4]}));
  CHECK(same(steps(1, 1, 1), std::vector{written.entries[2]}));
  CHECK(same(steps(1, 0, 1), std::vector{written.entries[0]}));
  CHECK(same(steps(2, 1, 9), std::vector{written.entries[5]}));
  CHECK(steps(1, 3, 1).empty());
  CHECK(steps(1, 1, 0).empty());
  CHECK(steps(3, 0, 1).empty());
}

TEMPLATE_TEST_CASE("a replica gives back leaves, head and epoch", "[store]", OnDisk, InMemory) {
  TestType disk;
  ReplicaBatch first;
  first.entries = {epoch_entry(0, 4), commit(1, run(1), 0)};
  first.head = head(2);
  first.epoch = Epoch{4};
  good(disk.replica().persist(first));
  disk.reopen();
  std::vector<StoredEntry> entries;
  const auto recovery =
      good(disk.replica().recover([&](const StoredEntry& entry) { entries.push_back(entry); }));
  CHECK(recovery.epoch == Epoch{4});
  REQUIRE(recovery.head);
  CHECK(recovery.head->head == head(2).head);
  CHECK(recovery.head->signature == head(2).signature);
  CHECK(recovery.head->public_key == head(2).public_key);
  REQUIRE(entries.size() == 2);
  CHECK(entries[1].leaf == first.entries[1].leaf);
  CHECK(entries[1].call == first.entries[1].call);
  CHECK(entries[1].output.empty());
  CHECK(good(disk.replica().read(Seq{1}, 5)).size() == 1);
}

TEMPLATE_TEST_CASE("a replica takes no gap and no older epoch", "[store]", OnDisk, InMemory) {
  TestType disk;
  ReplicaBatch first;
  first.entries = {commit(0, run(1), 0)};
  first.epoch = Epoch{4};
  good(disk.replica().persist(first));
  ReplicaBatch gap;
  gap.entries = {commit(2, run(1), 1)};
  CHECK(bad(disk.replica().persist(gap)).code == Errc::refused);
  ReplicaBatch older;
  older.epoch = Epoch{3};
  CHECK(bad(disk.replica().persist(older)).code == Errc::refused);
  gap.entries = {commit(1, run(1), 1)};
  good(disk.replica().persist(gap));
}

TEMPLATE_TEST_CASE("a replica that is reset starts anew", "[store]", OnDisk, InMemory) {
  TestType disk;
  ReplicaBatch first;
  first.entries = {commit(0, run(1), 0)};
  first.epoch = Epoch{4};
  good(disk.replica().persist(first));
  good(disk.replica().reset());
  CHECK(good(disk.replica().read(Seq{0}, 5)).empty());
  CHECK(good(disk.replica().recover([](const StoredEntry&) {})).epoch == Epoch{0});
  good(disk.replica().persist(first));
  disk.reopen();
  CHECK(good(disk.replica().read(Seq{0}, 5)).size() == 1);
}

TEMPLATE_TEST_CASE("workers keep the order in which they were added", "[store]", OnDisk, InMemory) {
  TestType disk;
  std::vector<MarkRow> rows = {{worker(9), 1}, {worker(2), 2}};
  good(disk.identity().save(rows));
  rows = {{worker(5), 3}, {worker(9), 7}};
  good(disk.identity().save(rows));
  disk.reopen();
  const std::vector<MarkRow> expected = {{worker(9), 7}, {worker(2), 2}, {worker(5), 3}};
  CHECK(same(good(disk.identity().load()).workers, expected));
}

TEST_CASE("a write in memory that fails ends its store until the crash, kept or lost", "[store]") {
  MemoryCoordinatorStore store;
  good(persist(store, batch(1, {commit(0, run(1), 0)})));
  const auto outcome = GENERATE(FailedWrite::is_lost, FailedWrite::is_kept);
  store.fail_next_write(outcome);
  CHECK(bad(persist(store, batch(1, {commit(1, run(1), 1)}))).code == Errc::io);
  CHECK(bad(persist(store, batch(1, {commit(1, run(1), 1)}))).code == Errc::io);
  CHECK(bad(store.put_text("head", "1")).code == Errc::io);
  store.crash();
  CHECK(good(store.size()) == (outcome == FailedWrite::is_kept ? 2 : 1));
  good(store.put_text("head", "1"));
}

TEST_CASE("a crash takes from a replica in memory what was not synced", "[store]") {
  MemoryReplicaStore store;
  ReplicaBatch next;
  next.entries = {commit(0, run(1), 0)};
  good(store.persist(next));
  store.sync();
  next.entries = {commit(1, run(1), 1)};
  next.head = head(2);
  good(store.persist(next));
  store.crash();
  CHECK(good(store.read(Seq{0}, 5)).size() == 1);
  CHECK_FALSE(good(store.recover([](const StoredEntry&) {})).head);

  // A new epoch is synced, and so is all before it.
  good(store.persist(next));
  ReplicaBatch term;
  term.epoch = Epoch{2};
  good(store.persist(term));
  store.crash();
  CHECK(good(store.read(Seq{0}, 5)).size() == 2);
  CHECK(good(store.recover([](const StoredEntry&) {})).epoch == Epoch{2});
}
