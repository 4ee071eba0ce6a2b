#include <algorithm>
#include <catch2/catch.hpp>

#include "coordinator/adoption.hpp"
#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

namespace {

const SigningKey ledger_key = SigningKey::from_seed({1});  // ScriptedCluster's.

/// Leaves that a coordinator would write, with the heads that it would sign.
class Replica {
public:
  explicit Replica(std::size_t entries, const std::string& version = "test") {
    for (std::size_t i = 0; i < entries; ++i) {
      EpochEntry body;
      body.cause = "start";
      body.version = version;
      body.public_key = ledger_key.public_key();
      body.root = tree_.root();
      body.previous_signature = Signature{};
      add({leaf_of(Entry{Seq{i}, Epoch{i + 1}, body}), ""});
    }
  }
  void add(EntryRecord record) {
    tree_.append(merkle::leaf_hash(record.leaf));
    records_.push_back(std::move(record));
  }
  LedgerHead head() const { return {records_.size(), tree_.root(), Epoch{records_.size()}}; }
  SignedHead signed_head(const SigningKey& key = ledger_key) const {
    return sign_head(key, head());
  }
  Entries page(Seq from, std::size_t count, SignedHead head) const {
    Entries page{from, {}, head};
    for (std::size_t i = from.value; i < std::min(from.value + count, records_.size()); ++i) {
      page.records.push_back(records_[i]);
    }
    return page;
  }
  merkle::Frontier tree_of(std::size_t entries) const {
    merkle::Frontier tree;
    for (std::size_t i = 0; i < entries; ++i) {
      tree.append(merkle::leaf_hash(records_[i].leaf));
    }
    return tree;
  }

private:
  std::vector<EntryRecord> records_;
  merkle::Frontier tree_;
};

const NodeId node_a{"a"};
const NodeId node_b{"b"};
const ConnectionId connection_a{1};
const ConnectionId connection_b{2};

/// Holds two entries of its own.
struct Start {
  explicit Start(const Replica& replica, AdoptionSettings settings = {1s})
      : adoption(settings, now, replica.tree_of(2), Epoch{2}, ledger_key.public_key()) {}
  bool is_done() {
    adoption.next(now);
    return adoption.is_done(now);
  }
  std::string log() {
    std::string text;
    for (const std::string& line : adoption.take_log()) {
      text += line + '\n';
    }
    return text;
  }
  Instant now{100s};
  Adoption adoption;
};

}  // namespace

TEST_CASE("a start waits for all who may join, and no longer than it is told", "[adoption]") {
  const Replica replica(2);
  Start start(replica);
  CHECK_FALSE(start.is_done());
  start.adoption.expect({node_a, node_b});
  start.adoption.heard(connection_a, node_a, replica.head(), Epoch{9});
  CHECK_FALSE(start.is_done());
  SECTION("all were heard") {
    start.adoption.heard(connection_b, node_b, {}, Epoch{1});
    CHECK(start.is_done());
  }
  SECTION("one is down") {
    CHECK(start.adoption.deadline() == start.now + 1s);
    start.now += 1s;
    CHECK(start.is_done());
  }
  CHECK(start.adoption.take_entries().empty());
  CHECK(start.adoption.highest_epoch() == Epoch{9});
}

TEST_CASE("an epoch that no coordinator can have reached is not believed", "[adoption]") {
  const Replica replica(2);
  Start start(replica);
  LedgerHead head = replica.head();
  start.adoption.heard(connection_a, node_a, head, Epoch{~std::uint64_t{0}});
  head.epoch = Epoch{std::uint64_t{1} << 53};
  start.adoption.heard(connection_b, node_b, head, Epoch{9});
  CHECK(start.adoption.highest_epoch() == Epoch{2});
  start.adoption.heard(connection_a, node_a, head, Epoch{std::uint64_t{1} << 53});
  const std::string log = start.log();
  CHECK(
      log.find("node a says that it accepted epoch 18446744073709551615, which is not believed") !=
      std::string::npos);
  CHECK(std::count(log.begin(), log.end(), '\n') == 2);  // Once for each node.
  start.adoption.heard(connection_b, node_b, replica.head(), Epoch{1'000'002});
  CHECK(start.adoption.highest_epoch() == Epoch{1'000'002});
}

TEST_CASE("signed entries are adopted page by page, and none beyond the head", "[adoption]") {
  Replica replica(7);
  const SignedHead head = replica.signed_head();
  replica.add({"{\"not\":\"signed yet\"}", ""});
  Start start(replica);
  start.adoption.expect({node_a});
  start.adoption.heard(connection_a, node_a, replica.head(), Epoch{7});
  std::vector<std::uint64_t> asked;
  while (const auto question = start.adoption.next(start.now)) {
    CHECK(question->connection == connection_a);
    asked.push_back(question->from.value);
    CHECK_FALSE(start.adoption.is_done(start.now));
    start.adoption.answered(node_a, replica.page(question->from, 2, head));
  }
  CHECK(asked == std::vector<std::uint64_t>{2, 4, 6});
  CHECK(start.is_done());
  const auto adopted = start.adoption.take_entries();
  REQUIRE(adopted.size() == 5);
  CHECK(adopted.front().seq == Seq{2});
  CHECK(adopted.back().epoch == Epoch{7});
  CHECK(start.log().find("adopted 5 entries") != std::string::npos);
}

TEST_CASE("what is not this ledger's is not adopted, and the next node is asked", "[adoption]") {
  const Replica replica(7);
  Start start(replica);
  start.adoption.expect({node_a, node_b});
  start.adoption.heard(connection_a, node_a, replica.head(), Epoch{7});
  start.adoption.heard(connection_b, node_b, Replica(5).head(), Epoch{5});
  const auto first = start.adoption.next(start.now);
  REQUIRE(first.has_value());
  CHECK(first->connection == connection_a);  // The longest first.
  SECTION("a foreign key") {
    start.adoption.answered(
        node_a, replica.page(Seq{2}, 9, replica.signed_head(SigningKey::from_seed({9}))));
  }
  SECTION("a changed signature") {
    SignedHead head = replica.signed_head();
    head.signature.bytes[3] ^= 1U;
    start.adoption.answered(node_a, replica.page(Seq{2}, 9, head));
  }
  SECTION("a ledger that forked before") {
    const Replica other(7, "other");
    start.adoption.answered(node_a, other.page(Seq{2}, 9, other.signed_head()));
  }
  SECTION("a leaf that is none") {
    Entries page = replica.page(Seq{2}, 9, replica.signed_head());
    page.records[1].leaf = "{}";
    start.adoption.answered(node_a, page);
  }
  SECTION("a head that ends where the own ledger does") {
    start.adoption.answered(node_a, replica.page(Seq{2}, 9, Replica(2).signed_head()));
  }
  SECTION("no head") {
    Entries page = replica.page(Seq{2}, 9, replica.signed_head());
    page.head.reset();
    start.adoption.answered(node_a, page);
  }
  SECTION("nothing at all") {
    start.adoption.answered(node_a, replica.page(Seq{2}, 0, replica.signed_head()));
  }
  const auto second = start.adoption.next(start.now);
  REQUIRE(second.has_value());
  CHECK(second->connection == connection_b);
  CHECK(second->from == Seq{2});
  CHECK(start.log().find("node a holds 7 entries, and nothing of them was adopted: ") == 0);
  start.adoption.answered(node_b, Replica(5).page(Seq{2}, 9, Replica(5).signed_head()));
  CHECK(start.is_done());
  CHECK(start.adoption.take_entries().size() == 3);
}

TEST_CASE("a node that does not answer is asked once more, after the others", "[adoption]") {
  const Replica replica(7);
  Start start(replica);
  start.adoption.expect({node_a, node_b});
  start.adoption.heard(connection_a, node_a, replica.head(), Epoch{7});
  start.adoption.heard(connection_b, node_b, Replica(5).head(), Epoch{5});
  REQUIRE(start.adoption.next(start.now)->connection == connection_a);
  const bool is_lost = GENERATE(false, true);
  const auto fail = [&] {
    if (is_lost) {
      start.adoption.lost(connection_a);
    } else {
      CHECK_FALSE(start.adoption.next(start.now + 1999ms).has_value());
      start.now += 2s;
    }
  };
  fail();
  const auto other = start.adoption.next(start.now);
  REQUIRE(other.has_value());
  REQUIRE(other->connection == connection_b);
  start.adoption.answered(node_b, Replica(5).page(Seq{2}, 9, Replica(5).signed_head()));
  const auto again = start.adoption.next(start.now);
  REQUIRE(again.has_value());
  CHECK(again->connection == connection_a);
  CHECK(again->from == Seq{5});
  SECTION("it answers now") {
    start.adoption.answered(node_a, replica.page(Seq{5}, 9, replica.signed_head()));
    CHECK(start.is_done());
    CHECK(start.adoption.take_entries().size() == 5);
    CHECK(start.log().find("nothing of them") == std::string::npos);
  }
  SECTION("it comes back by another connection") {
    const ConnectionId next{3};
    start.adoption.heard(next, node_a, replica.head(), Epoch{7});
    REQUIRE(start.adoption.next(start.now)->connection == next);
    start.adoption.answered(node_a, replica.page(Seq{5}, 9, replica.signed_head()));
    CHECK(start.is_done());
    CHECK(start.adoption.take_entries().size() == 5);
  }
  SECTION("it fails again") {
    fail();
    CHECK(start.is_done());
    CHECK(start.adoption.take_entries().size() == 3);
    CHECK(start.log().find("node a holds 7 entries, and nothing of them was adopted: it") !=
          std::string::npos);
  }
}

TEST_CASE("of two histories the longer one is taken, whoever speaks first", "[adoption]") {
  const Replica replica(7);
  const Replica begun_since(3, "since the copy");
  Start start(replica);
  start.adoption.expect({node_a, node_b});
  start.adoption.heard(connection_b, node_b, begun_since.head(), Epoch{3});
  CHECK_FALSE(start.adoption.next(start.now).has_value());
  CHECK(start.adoption.deadline() == start.now + 1s);
  start.adoption.heard(connection_a, node_a, replica.head(), Epoch{7});
  REQUIRE(start.adoption.next(start.now)->connection == connection_a);
  start.adoption.answered(node_a, replica.page(Seq{2}, 9, replica.signed_head()));
  CHECK(start.is_done());
  CHECK(start.adoption.take_entries().size() == 5);
}

TEST_CASE("a node that hands over entry by entry holds no start up for ever", "[adoption]") {
  const Replica replica(200);
  AdoptionSettings settings{1s};
  settings.reading_max = 10s;
  Start start(replica, settings);
  start.adoption.expect({node_a, node_b});
  start.adoption.heard(connection_a, node_a, replica.head(), Epoch{200});
  start.adoption.heard(connection_b, node_b, replica.head(), Epoch{200});
  const Instant began = start.now;
  while (const auto question = start.adoption.next(start.now)) {
    const NodeId& node = question->connection == connection_a ? node_a : node_b;
    start.now += 1s;
    start.adoption.answered(node, replica.page(question->from, 1, replica.signed_head()));
  }
  CHECK(start.now - began == 10s);
  CHECK(start.is_done());
  CHECK(start.adoption.take_entries().empty());
  CHECK(start.log().find("were not here 10 s after the first question") != std::string::npos);
}

TEST_CASE("more than a start may hold is refused", "[adoption]") {
  const Replica replica(7);
  AdoptionSettings settings{1s};
  settings.entries_max = 4;
  Start start(replica, settings);
  start.adoption.expect({node_a});
  start.adoption.heard(connection_a, node_a, replica.head(), Epoch{7});
  REQUIRE(start.adoption.next(start.now).has_value());
  start.adoption.answered(node_a, replica.page(Seq{2}, 9, replica.signed_head()));
  CHECK(start.log().find("5 entries ahead, more than 4") != std::string::npos);
  CHECK_FALSE(start.adoption.next(start.now).has_value());
}

TEST_CASE("a restored coordinator takes over its lost term and ends what it cannot go on with",
          "[adoption][coordinator_machine]") {
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.adoption.wait = 1s;
  ScriptedCluster cluster(settings);
  cluster.input(NodesAllowed{});
  cluster.persist();
  cluster.join(1);
  const RunId continued = cluster.open(SpeculationMode::off);
  const RunId untouched = cluster.open(SpeculationMode::off);
  for (const RunId& run : {continued, untouched}) {
    cluster.confirm(run, {call("a")});
    cluster.finish(cluster.take_dispatch("a"), "1");
    cluster.persist();
  }
  cluster.confirm(continued, {call("put", R"({"key":"x"})")});
  cluster.persist();  // Its intent.
  cluster.finish(cluster.take_dispatch("put"), "null");
  Replica replica(0);
  for (const json::Value& entry : cluster.entries()) {
    replica.add({json::canonical(entry), ""});
  }
  const std::uint64_t size = replica.head().size;

  cluster.crash_and_restart();  // The last commit was not durable here; say that it was published.
  CHECK(cluster.sent.empty());
  CHECK(cluster.machine->ledger_size() == size - 1);
  cluster.input(NodesAllowed{{{NodeId{"n1"}, "one"}}});
  const RequestId early = cluster.confirm(untouched, {call("b")});
  CHECK(cluster.answer(early) == nullptr);
  LedgerHead head = replica.head();
  head.epoch = Epoch{6};
  const ConnectionId connection{40};
  cluster.input(NodeSaid{connection, {"n1"}, Heartbeat{Epoch{6}, head, {}, {}}});
  REQUIRE(cluster.sent.size() == 1);
  CHECK(std::get<JoinAgain>(cluster.sent.front().message).epoch == Epoch{6});
  cluster.sent.clear();
  Join join;
  join.name = "node-1";
  join.workers = {{WorkerId{Uuid{{1}}}, 4, 1024}};
  join.head = head;
  join.epoch = Epoch{6};
  cluster.input(NodeSaid{connection, {"n1"}, join});
  REQUIRE(cluster.sent.size() == 1);
  CHECK(std::get<FetchReplica>(cluster.sent.front().message).from == Seq{size - 1});
  CHECK(cluster.entries().size() == size - 1);

  cluster.input(NodeSaid{
      connection, {"n1"}, ReplicaEntries{replica.page(Seq{size - 1}, 512, replica.signed_head())}});
  CHECK(cluster.machine->epoch() == Epoch{7});
  const auto entries = cluster.entries();
  REQUIRE(entries.size() == size + 1);
  CHECK(json::canonical(entries[size - 1]) ==
        replica.page(Seq{size - 1}, 1, replica.signed_head()).records[0].leaf);
  CHECK(*entries[size].find("kind") == json::Value(std::string("epoch")));
  CHECK(*entries[size].find("cause") == json::Value(std::string("restore")));
  CHECK(*entries[size].find("root") == json::Value(to_hex(replica.head().root)));
  const auto welcomes = [&cluster] {
    return std::count_if(cluster.sent.begin(), cluster.sent.end(), [&](const ToNode& message) {
      const auto* welcome = std::get_if<Welcome>(&message.message);
      return welcome != nullptr && welcome->head.head.size == cluster.entries().size();
    });
  };
  CHECK(welcomes() == 0);  // Nothing that it could welcome to is durable yet.
  cluster.persist();
  CHECK(welcomes() == 1);
  CHECK_FALSE(cluster.has_dispatch("put"));  // It was committed: its intent is over.
  CHECK(cluster.count_entries("commit") == 3);

  const RequestId late = cluster.confirm(continued, {call("c")});
  REQUIRE(cluster.answer(late) != nullptr);
  CHECK(std::get<RequestFailed>(*cluster.answer(late)).message.find("ended") != std::string::npos);

  const Dispatch waited = cluster.take_dispatch("b");
  BranchEnded ended;
  ended.epoch = waited.epoch;
  ended.token = waited.token;
  ended.output = "2";
  cluster.input(NodeSaid{connection, {"n1"}, ended});
  cluster.persist();
  CHECK(cluster.step(early).step == 1);
  for (const ToNode& message : std::vector<ToNode>(cluster.sent)) {
    if (const auto* reserve = std::get_if<ReserveRunIds>(&message.message)) {
      cluster.input(NodeSaid{connection, {"n1"}, MarkStored{reserve->worker, reserve->mark}});
    }
  }
  CHECK(cluster.open(SpeculationMode::off).counter > untouched.counter);
}

TEST_CASE("a node whose signed entries the store lacks ends a term that has decided nothing",
          "[adoption][coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.persist();
  const bool has_decided = GENERATE(false, true);
  if (has_decided) {
    cluster.join(1);
    cluster.confirm(cluster.open(SpeculationMode::off), {call("a")});
    if (GENERATE(false, true)) {  // Else its branch runs, and may have done something.
      cluster.finish(cluster.take_dispatch("a"), "1");
    }
    cluster.persist();
  }
  const Epoch epoch = cluster.machine->epoch();
  const Replica replica(9);
  Join join;
  join.name = "node-2";
  join.workers = {{WorkerId{Uuid{{2}}}, 4, 1024}};
  join.head = {9, replica.head().root, epoch};
  join.epoch = epoch;
  join.signed_head = replica.signed_head();
  const ConnectionId connection{40};
  const auto is_refused = [&] {
    cluster.sent.clear();
    cluster.input(NodeSaid{connection, {"n2"}, join});
    REQUIRE(cluster.sent.size() == 1);
    const auto* refused = std::get_if<JoinRefused>(&cluster.sent.front().message);
    return refused != nullptr && !refused->is_final;
  };
  SECTION("nobody's signature") {
    join.signed_head = replica.signed_head(SigningKey::from_seed({9}));
    CHECK(is_refused());
  }
  SECTION("a signature over something else") {
    join.signed_head->head.size = 8;
    CHECK(is_refused());
  }
  SECTION("none at all") {
    join.signed_head.reset();
    CHECK(is_refused());
  }
  SECTION("this key's") {
    if (has_decided) {
      CHECK(is_refused());  // The histories are two already: to end would mend nothing.
    } else {
      const auto output =
          cluster.machine->step(cluster.now, NodeSaid{connection, {"n2"}, join});
      REQUIRE(output.fatal.has_value());
      CHECK(output.fatal->code == Errc::verification);
      CHECK(output.fatal->message.find("node node-2 holds 9 entries that this ledger's key has "
                                       "signed, this store only 1") != std::string::npos);
      CHECK(output.send.empty());
    }
  }
}

TEST_CASE("no node is welcomed before the term is durable", "[adoption][coordinator_machine]") {
  const Duration wait = GENERATE(Duration{}, Duration{1ms});
  CoordinatorSettings settings = ScriptedCluster::settings_of(ScriptedCluster::default_catalog());
  settings.adoption.wait = wait;
  CoordinatorMachine machine(settings, ledger_key, std::make_unique<ScriptedPredictor>());
  Instant now{1000s};
  CoordinatorOutput started = machine.start(now);
  Join join;
  join.name = "a";
  join.instance = 1;
  join.workers = {{WorkerId{}, 1, 0}};
  CoordinatorOutput joined = machine.step(now, NodeSaid{connection_a, node_a, join});
  CHECK(joined.send.empty());
  if (!started.persist) {
    now += wait;
    started = machine.step(now, TimePassed{});
  }
  REQUIRE(started.persist);
  CHECK(started.send.empty());
  // A crash now would undo the term, and the next one would have its number.
  CHECK(machine.step(now, NodeSaid{connection_a, node_a, Heartbeat{}}).send.empty());
  const CoordinatorOutput durable = machine.step(now, Persisted{started.persist->number});
  REQUIRE_FALSE(durable.send.empty());
  CHECK(std::holds_alternative<Welcome>(durable.send.front().message));
}

TEST_CASE("a node of a later term gets no seat, and is told why",
          "[adoption][coordinator_machine]") {
  ScriptedCluster cluster;
  cluster.persist();
  Join join;
  join.name = "node-1";
  join.workers = {{WorkerId{Uuid{{1}}}, 4, 1024}};
  join.epoch = Epoch{cluster.machine->epoch().value + 1};
  const std::size_t logged = cluster.log.size();
  for (int again = 0; again < 2; ++again) {
    cluster.sent.clear();
    cluster.input(NodeSaid{ConnectionId{40}, {"n1"}, join});
    REQUIRE(cluster.sent.size() == 1);
    const auto* refused = std::get_if<JoinRefused>(&cluster.sent.front().message);
    REQUIRE(refused != nullptr);
    CHECK_FALSE(refused->is_final);
    CHECK(refused->why.find("has accepted epoch 2 and holds 0 entries, this term is epoch 1 with "
                            "1: an older copy") != std::string::npos);
  }
  REQUIRE(cluster.log.size() == logged + 1);
  join.epoch = cluster.machine->epoch();
  cluster.sent.clear();
  cluster.input(NodeSaid{ConnectionId{40}, {"n1"}, join});
  REQUIRE_FALSE(cluster.sent.empty());
  CHECK(std::holds_alternative<Welcome>(cluster.sent.front().message));
}
