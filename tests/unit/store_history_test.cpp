// What a coordinator learns from, as stores keep it: on a disk and in memory alike.
#include <catch2/catch.hpp>

#include "storage/memory_store.hpp"
#include "storage/past_page.hpp"
#include "storage/session_page.hpp"
#include "storage/store.hpp"
#include "store_values.hpp"

using namespace forerun;
using namespace forerun::store_values;

namespace {

struct OnDisk {
  OnDisk() { reopen(); }
  void reopen() {
    store.reset();
    store = good(open_coordinator_store(directory.path(), simulated_settings()));
  }
  TempDirectory directory;
  std::unique_ptr<CoordinatorStore> store;
};

struct InMemory {
  void reopen() { memory->crash(); }
  std::shared_ptr<MemoryCoordinatorStore> memory = std::make_shared<MemoryCoordinatorStore>();
  std::shared_ptr<CoordinatorStore> store = memory;
};

HistoryRow taught(std::uint64_t number, const std::string& name, std::uint32_t steps) {
  HistorySession session{name, "context of " + name, {}};
  for (std::uint32_t i = 0; i < steps; ++i) {
    session.steps.push_back(
        {{"text"},
         Call::make("task", *json::parse("{\"n\":" + std::to_string(i) + "}")->object()),
         i % 2 == 0 ? std::optional<Output>(Output::make(json::Value(i > 0))) : std::nullopt});
  }
  HistoryRow row;
  row.text = history_text(session);
  row.entry = {number, "tenant", name, Seq{3}, steps, row.text.size(), sha256(row.text)};
  return row;
}

CoordinatorBatch batch_of(std::uint64_t number) {
  CoordinatorBatch batch;
  batch.number = BatchNumber{number};
  batch.epoch = Epoch{1};
  return batch;
}

void persist(CoordinatorStore& store, const CoordinatorBatch& batch) {
  const CoordinatorBatch whole = with_head(batch);
  good(store.persist({&whole, 1}));
}

std::vector<std::string> names_of(const std::vector<HistoryRow>& rows) {
  std::vector<std::string> names;
  for (const HistoryRow& row : rows) {
    names.push_back(row.entry.name);
  }
  return names;
}

/// Of two sessions whose steps take turns the first, of two steps, has ended.
CoordinatorBatch one_ended_of_two() {
  CoordinatorBatch batch = batch_of(1);
  batch.entries = {epoch_entry(0, 1), commit(1, run(1), 0), commit(2, run(2), 0),
                   commit(3, run(1), 1)};
  batch.sessions = {session(run(1), 2), session(run(2), 1)};
  batch.sessions[0].ended = true;
  return batch;
}

}  // namespace

TEMPLATE_TEST_CASE("taught sessions are kept until they are forgotten", "[store]", OnDisk,
                   InMemory) {
  TestType kept;
  CoordinatorBatch batch = batch_of(1);
  batch.history = {taught(1, "a", 2), taught(2, "b", 3), taught(3, "c", 1)};
  REQUIRE_FALSE(batch.empty());
  persist(*kept.store, batch);
  kept.reopen();
  const auto recovery = good(kept.store->recover([](const StoredEntry&) {}));
  REQUIRE(recovery.history.size() == 3);
  CHECK(recovery.history[1].number == 2);
  CHECK(recovery.history[1].tenant == "tenant");
  CHECK(recovery.history[1].name == "b");
  CHECK(recovery.history[1].at == Seq{3});
  CHECK(recovery.history[1].steps == 3);
  CHECK(recovery.history[1].bytes == batch.history[1].text.size());
  CHECK(recovery.history[1].hash == batch.history[1].entry.hash);

  CHECK(names_of(good(kept.store->history(1, 4, 100))) == std::vector<std::string>{"a", "b", "c"});
  CHECK(names_of(good(kept.store->history(2, 3, 100))) == std::vector<std::string>{"b"});
  CHECK(names_of(good(kept.store->history(1, 4, 4))) == std::vector<std::string>{"a", "b"});

  // One goes and its name comes again, in one transaction.
  CoordinatorBatch again = batch_of(2);
  again.forgotten = {1};
  again.history = {taught(4, "a", 1)};
  persist(*kept.store, again);
  CHECK(names_of(good(kept.store->history(0, 100, 100))) ==
        std::vector<std::string>{"b", "c", "a"});
}

TEMPLATE_TEST_CASE("commits come back with what learning needs of their sessions", "[store]",
                   OnDisk, InMemory) {
  TestType kept;
  CoordinatorBatch batch = one_ended_of_two();
  persist(*kept.store, batch);
  kept.reopen();
  const auto all = good(kept.store->commits(Seq{0}, Seq{100}, 100));
  REQUIRE(all.size() == 3);
  CHECK(all[0].seq == Seq{1});
  CHECK(all[0].run_id == run(1));
  CHECK(all[0].tenant == "tenant");
  CHECK(all[0].context == "a context");
  CHECK(all[0].call == "{\"call\":1}");
  CHECK_FALSE(all[0].is_last);
  CHECK_FALSE(all[1].is_last);  // Its session is open.
  CHECK(all[2].step == StepNumber{1});
  CHECK(all[2].context.empty());
  CHECK(all[2].is_last);
  CHECK(good(kept.store->commits(Seq{2}, Seq{3}, 100)).size() == 1);
  CHECK(good(kept.store->commits(Seq{0}, Seq{100}, 2)).size() == 2);
}

TEMPLATE_TEST_CASE("texts come back with the commits that they came before", "[store]", OnDisk,
                   InMemory) {
  TestType kept;
  CoordinatorBatch batch = one_ended_of_two();
  batch.texts = {{run(1), StepNumber{0}, 0, "first"},
                 {run(1), StepNumber{1}, 1, "second"},
                 {run(1), StepNumber{1}, 2, "third"},
                 {run(2), StepNumber{0}, 0, "of another"}};
  persist(*kept.store, batch);
  CoordinatorBatch later = batch_of(2);
  later.texts = {{run(2), StepNumber{1}, 1, "behind its last step"}};
  REQUIRE_FALSE(later.empty());
  persist(*kept.store, later);
  kept.reopen();
  const auto all = good(kept.store->commits(Seq{0}, Seq{100}, 100));
  REQUIRE(all.size() == 3);
  CHECK(all[0].texts == std::vector<std::string>{"first"});
  CHECK(all[1].texts == std::vector<std::string>{"of another"});
  CHECK(all[2].texts == std::vector<std::string>{"second", "third"});
  const auto page = good(read_past(*kept.store, {1, 1, Seq{0}, Seq{100}, 100}));
  REQUIRE(page.steps.size() == 3);
  CHECK(page.steps[2].texts == all[2].texts);
  // A start needs those of open sessions.
  const auto recovery = good(kept.store->recover([](const StoredEntry&) {}));
  REQUIRE(recovery.text_totals.size() == 1);
  CHECK(recovery.text_totals[0].run_id == run(2));
  CHECK(recovery.text_totals[0].count == 2);
  REQUIRE(recovery.texts.size() == 2);
  CHECK(recovery.texts[0].run_id == run(2));
  CHECK(recovery.texts[0].text == "of another");
  CHECK(recovery.texts[1].before == StepNumber{1});
  CHECK(recovery.texts[1].place == 1);
  CHECK(recovery.texts[1].text == "behind its last step");
}

TEMPLATE_TEST_CASE("the keys of a session that ended are answered from the store", "[store]",
                   OnDisk, InMemory) {
  TestType kept;
  CoordinatorBatch batch = one_ended_of_two();
  Digest hash;
  hash.bytes[0] = 7;
  batch.keys = {{to_string(run(1)), "whole", hash, run(1), 0, 2},
                {to_string(run(1)), "cut", hash, run(1), 1, 3}};
  persist(*kept.store, batch);
  kept.reopen();
  const auto found = good(kept.store->key(run(1), "whole"));
  REQUIRE(found.has_value());
  CHECK(found->step_count == 2);
  CHECK_FALSE(good(kept.store->key(run(2), "whole")).has_value());

  const auto ask = [&](const RunId& run_id, decltype(ServeSession::what) what,
                       const std::string& tenant) {
    return read_session(*kept.store, {RequestId{1}, tenant, run_id, std::move(what)});
  };
  const std::string tenant = batch.sessions[0].tenant;
  const auto refusal = [](const ResponseBody& body) {
    return std::get<RequestFailed>(body).refusal;
  };
  const ResponseBody ended = ask(run(1), ServeSession::Ended{}, tenant);
  CHECK(std::get<SessionEnded>(ended).steps == 2);
  CHECK(refusal(ask(run(2), ServeSession::Ended{}, tenant)) == Refusal::not_found);
  CHECK(refusal(ask(run(1), ServeSession::Ended{}, "other")) == Refusal::not_found);
  using Keyed = ServeSession::Keyed;
  const ResponseBody whole = ask(run(1), Keyed{"whole", hash, true}, tenant);
  // These entries are made up, and hold no commit that could be read.
  CHECK_THAT(std::get<RequestFailed>(whole).message, Catch::Contains("cannot be read back"));
  CHECK(refusal(ask(run(1), Keyed{"whole", Digest{}, true}, tenant)) == Refusal::key_reused);
  CHECK(refusal(ask(run(1), Keyed{"new", hash, true}, tenant)) == Refusal::conflict);
  const ResponseBody cut = ask(run(1), Keyed{"cut", hash, true}, tenant);
  CHECK_THAT(std::get<RequestFailed>(cut).message, Catch::Contains("ended with 1 of the 3 steps"));
  CHECK(refusal(ask(run(1), Keyed{"whole", hash, true}, "other")) == Refusal::not_found);
}

TEMPLATE_TEST_CASE("a page of the past says where the next one begins", "[store]", OnDisk,
                   InMemory) {
  TestType kept;
  CoordinatorBatch batch = batch_of(1);
  batch.entries = {epoch_entry(0, 1), commit(1, run(1), 0), commit(2, run(1), 1)};
  batch.sessions = {session(run(1), 2)};
  batch.history = {taught(1, "a", 2), taught(2, "b", 1)};
  persist(*kept.store, batch);

  const auto first = good(read_past(*kept.store, {1, 3, {}, {}, 2}));
  REQUIRE(first.sessions.size() == 1);
  CHECK(first.next == 2);
  const HistorySession& read = first.sessions[0].session;
  CHECK(read.context == "context of a");
  REQUIRE(read.steps.size() == 2);
  CHECK(read.steps[0].texts == std::vector<std::string>{"text"});
  CHECK(read.steps[0].output->canonical() == "false");
  CHECK_FALSE(read.steps[1].output);
  CHECK(good(read_past(*kept.store, {2, 3, {}, {}, 2})).next == 3);
  CHECK(good(read_past(*kept.store, {7, 9, {}, {}, 2})).next == 9);

  const auto steps = good(read_past(*kept.store, {0, 0, Seq{0}, Seq{3}, 1}));
  REQUIRE(steps.steps.size() == 1);
  CHECK(steps.next_seq == Seq{2});
  CHECK_FALSE(steps.steps[0].call);  // No call is written like this one.
  CHECK(good(read_past(*kept.store, {0, 0, Seq{2}, Seq{3}, 10})).next_seq == Seq{3});
  CHECK(good(read_past(*kept.store, {0, 0, Seq{3}, Seq{3}, 10})).steps.empty());
}
