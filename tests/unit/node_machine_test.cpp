#include <algorithm>
#include <catch2/catch.hpp>

#include "node/machine.hpp"
#include "speculation/catalog.hpp"

using namespace forerun;
using namespace std::chrono_literals;

namespace {

const SigningKey key = SigningKey::from_seed({7});
const WorkerId worker{Uuid{{1}}};

/// A ledger that a coordinator would publish: an epoch entry, then one commit for each call of
/// `tasks`.
class Ledger {
public:
  explicit Ledger(Epoch epoch = Epoch{1}) : epoch_(epoch) {
    EpochEntry body;
    body.cause = "start";
    body.version = "test";
    body.public_key = key.public_key();
    add(body, "");
  }
  void commit(const std::string& task) {
    const Call call = Call::make(task, {});
    CommitEntry body;
    body.run_id = RunId{worker, 1};
    body.step = StepNumber{step_};
    body.task = task;
    body.input_hash = call.hash();
    body.branch_names = {task};
    body.branch_latencies = {1ms};
    body.branch_validities = {true};
    body.branch_causes = {std::nullopt};
    body.workers = {worker};
    body.winner = 0;
    chain_ = step_ == 0 ? chain_start(call.canonical(), to_string(body.run_id))
                        : chain_next(chain_, call.canonical());
    body.chain = chain_;
    body.output_hash = sha256("1");
    ++step_;
    add(body, call.canonical());
  }
  void discard(std::uint32_t speculation) {
    DiscardEntry body;
    body.run_id = RunId{worker, 1};
    body.speculation = SpeculationNumber{speculation};
    body.task = "b";
    add(body, "");
  }
  SignedHead head() const { return sign_head(key, {records.size(), frontier_.root(), epoch_}); }
  Entries from(std::uint64_t first) const {
    return {
        Seq{first}, {records.begin() + static_cast<std::ptrdiff_t>(first), records.end()}, head()};
  }
  std::vector<EntryRecord> records;

private:
  template <class Body>
  void add(Body body, std::string call) {
    Entry entry;
    entry.seq = Seq{records.size()};
    entry.epoch = epoch_;
    entry.body = std::move(body);
    records.push_back({leaf_of(entry), std::move(call)});
    frontier_.append(merkle::leaf_hash(records.back().leaf));
  }
  Epoch epoch_;
  merkle::Frontier frontier_;
  std::uint32_t step_ = 0;
  ChainValue chain_;
};

class Node {
public:
  Node() : machine(settings(), LedgerChecker(key.public_key()), Epoch{}) { give(TimePassed{}); }
  static NodeSettings settings() {
    NodeSettings result;
    result.name = "node";
    result.workers = {{worker, 1, 5}};
    return result;
  }
  const NodeOutput& give(const NodeInput& input) { return out = machine.step(now, input); }
  const NodeOutput& give(CoordinatorMessage message) { return give(NodeInput(std::move(message))); }
  void welcome(const Ledger& ledger, Epoch epoch = Epoch{1}) {
    Welcome message;
    message.epoch = epoch;
    message.publish_port = 1;
    message.catalog = "{}";
    message.head = ledger.head();
    give(CoordinatorMessage(message));
  }
  Dispatch dispatch(std::uint64_t token, bool speculative = false) const {
    Dispatch message;
    message.epoch = Epoch{1};
    message.token = BranchToken{token};
    message.worker = worker;
    message.owner.run_id = RunId{worker, 1};
    if (speculative) {
      message.owner.speculation = SpeculationNumber{0};
    } else {
      message.owner.step = StepNumber{0};
    }
    message.task = "a";
    message.input = "{}";
    message.state = "{}";
    message.speculative = speculative;
    message.timeout = 100ms;
    return message;
  }
  const NodeOutput& finish(std::uint64_t token, Ending ending = Ending::returned) {
    BranchFinished finished;
    finished.ended.token = BranchToken{token};
    finished.ended.ending = ending;
    finished.ended.output = "1";
    return give(NodeInput(finished));
  }
  template <class Message>
  const Message* sent() const {
    for (const NodeMessage& message : out.send) {
      if (const auto* found = std::get_if<Message>(&message)) {
        return found;
      }
    }
    return nullptr;
  }
  Instant now{1000s};
  NodeOutput out;
  NodeMachine machine;
};

}  // namespace

TEST_CASE("a node joins, fetches what it lacks and follows", "[node_machine]") {
  Ledger ledger;
  ledger.commit("a");
  Node node;
  REQUIRE(node.sent<Join>() != nullptr);
  node.welcome(ledger);
  REQUIRE(node.sent<FetchEntries>() != nullptr);
  CHECK(node.sent<FetchEntries>()->from == Seq{0});
  node.give(CoordinatorMessage(ledger.from(0)));
  CHECK(node.machine.head().size == 2);
  CHECK(node.machine.head().root == ledger.head().head.root);
  REQUIRE(node.out.persist.has_value());
  CHECK(node.out.persist->entries.size() == 2);
  CHECK(node.out.persist->head.has_value());
  ledger.commit("b");
  ledger.commit("c");
  node.give(CoordinatorMessage(ledger.from(3)));
  CHECK(node.machine.head().size == 2);  // A gap: the one between was lost.
  REQUIRE(node.sent<FetchEntries>() != nullptr);
  CHECK(node.sent<FetchEntries>()->from == Seq{2});
  node.give(CoordinatorMessage(ledger.from(2)));
  CHECK(node.machine.head().size == 4);
  node.give(CoordinatorMessage(ledger.from(1)));  // Twice and late.
  CHECK(node.machine.head().size == 4);
  CHECK_FALSE(node.out.fatal.has_value());
}

TEST_CASE("a lost fetch is asked for again", "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.now += 600ms;
  node.give(TimePassed{});
  CHECK(node.sent<FetchEntries>() != nullptr);
}

TEST_CASE("an entry that does not hold stops the node, which keeps both heads", "[node_machine]") {
  Ledger ledger;
  ledger.commit("a");
  Node node;
  node.welcome(ledger);
  Entries forged = ledger.from(0);
  auto& leaf = forged.records[1].leaf;
  const std::string needle = "\"winning_branch_index\":0";
  leaf.replace(leaf.find(needle), needle.size(), "\"winning_branch_index\":-1");
  node.give(CoordinatorMessage(forged));
  REQUIRE(node.out.fatal.has_value());
  CHECK(node.out.fatal->code == Errc::verification);
  REQUIRE(node.sent<Diverged>() != nullptr);
  CHECK(node.sent<Diverged>()->own.size == 1);
  REQUIRE(node.out.diverged.has_value());
  CHECK(node.out.diverged->own.size == 1);
  CHECK(node.out.diverged->theirs == forged.head);
  CHECK(node.out.diverged->entry == leaf);
  CHECK(node.give(TimePassed{}).send.empty());
}

TEST_CASE("a node that diverges at a hand-over keeps its own signed head and the coordinator's",
          "[node_machine]") {
  Ledger ledger;
  ledger.commit("a");
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(ledger.from(0)));
  Ledger other(Epoch{2});  // A restored coordinator's: its own history, and a longer one.
  other.commit("b");
  other.commit("c");
  Entries handed_over;
  handed_over.first = Seq{2};
  handed_over.records = {other.records[2]};  // It comes without a head.

  SECTION("at an entry that does not follow from the replica") {
    node.welcome(other, Epoch{2});
    REQUIRE_FALSE(node.out.fatal.has_value());
    node.give(CoordinatorMessage(handed_over));
    REQUIRE(node.out.diverged.has_value());
    CHECK(node.out.diverged->entry == other.records[2].leaf);
    CHECK(node.out.diverged->theirs == other.head());
    CHECK(node.sent<Diverged>()->coordinator == other.head().head);
  }
  SECTION("at a coordinator that has less than the replica") {
    node.welcome(Ledger(), Epoch{2});
    REQUIRE(node.out.diverged.has_value());
    CHECK(node.out.diverged->entry.empty());
    CHECK(node.out.diverged->theirs == Ledger().head());
  }
  CHECK(node.out.fatal->code == Errc::verification);
  CHECK(node.out.diverged->own == ledger.head().head);
  CHECK(node.out.diverged->own_signed == ledger.head());
  const auto proof = json::parse(divergence_json(*node.out.diverged));
  REQUIRE(proof.has_value());
  CHECK(json::canonical(*proof->find("own_signed")) == head_json(ledger.head()));
  CHECK(json::canonical(*proof->find("coordinator")) == head_json(*node.out.diverged->theirs));
}

TEST_CASE("what arrived together with an entry that does not hold is kept, and nothing after it",
          "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(ledger.from(0)));
  ledger.commit("a");
  const Entries good = ledger.from(1);
  const SignedHead own = ledger.head();
  ledger.commit("b");
  Entries bad = ledger.from(2);
  std::string& leaf = bad.records[0].leaf;
  leaf.replace(leaf.find("\"task\":\"b\""), 10, "\"task\":\"x\"");
  std::vector<NodeInput> inputs;
  inputs.emplace_back(CoordinatorMessage(good));
  inputs.emplace_back(CoordinatorMessage(bad));
  inputs.emplace_back(CoordinatorMessage(node.dispatch(1)));
  node.out = node.machine.step(node.now, std::move(inputs));
  REQUIRE(node.out.persist.has_value());
  CHECK(node.out.persist->entries.size() == 1);
  CHECK(node.out.persist->head == own);
  REQUIRE(node.out.diverged.has_value());
  CHECK(node.out.diverged->own == own.head);
  CHECK(node.out.diverged->own_signed == own);
  CHECK(node.out.diverged->theirs == bad.head);
  CHECK(node.out.diverged->entry == leaf);
  CHECK(node.out.fatal.has_value());
  CHECK(node.out.start.empty());
}

TEST_CASE("a coordinator that was away is joined once, however many heartbeats waited for it",
          "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.now += 10s;
  std::size_t joins = 0;
  for (int i = 0; i < 10; ++i) {
    node.give(CoordinatorMessage(JoinAgain{Epoch{2}}));
    joins += node.sent<Join>() != nullptr ? 1 : 0;
  }
  CHECK(joins == 1);
  node.welcome(ledger, Epoch{2});
  CHECK(node.out.catalog.has_value());
  node.welcome(ledger, Epoch{2});
  CHECK_FALSE(node.out.catalog.has_value());
}

TEST_CASE("a coordinator with less than the replica is not followed", "[node_machine]") {
  Ledger ledger;
  ledger.commit("a");
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(ledger.from(0)));
  node.give(CoordinatorMessage(JoinAgain{Epoch{1}}));
  node.welcome(Ledger());  // Of the same term: only older than what was published since.
  CHECK_FALSE(node.out.fatal.has_value());
  node.welcome(Ledger(), Epoch{2});
  CHECK(node.out.fatal.has_value());
}

TEST_CASE("a branch starts, ends and is released by its commit", "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(ledger.from(0)));
  node.give(CoordinatorMessage(node.dispatch(1)));
  REQUIRE(node.out.start.size() == 1);
  node.give(CoordinatorMessage(node.dispatch(1)));
  CHECK(node.out.start.empty());  // The same token again.
  node.give(CoordinatorMessage(node.dispatch(2)));
  REQUIRE(node.sent<BranchEnded>() != nullptr);  // One slot.
  CHECK(node.sent<BranchEnded>()->ending == Ending::lost);
  node.finish(1);
  CHECK(node.sent<BranchEnded>()->ending == Ending::returned);
  node.give(CoordinatorMessage(ResendResult{Epoch{1}, BranchToken{1}}));
  REQUIRE(node.sent<BranchEnded>() != nullptr);
  CHECK(node.sent<BranchEnded>()->output == "1");
  ledger.commit("a");
  node.give(CoordinatorMessage(ledger.from(1)));
  CHECK(node.out.destroyed == std::vector<BranchToken>{BranchToken{1}});
}

TEST_CASE("a branch that has ended does not run again, though its dispatch comes once more",
          "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(ledger.from(0)));
  node.give(CoordinatorMessage(node.dispatch(1)));
  node.finish(1);
  ledger.commit("a");
  node.give(CoordinatorMessage(ledger.from(1)));
  REQUIRE(node.out.destroyed.size() == 1);  // Nothing here knows the branch any more.
  node.give(CoordinatorMessage(node.dispatch(1)));
  CHECK(node.out.start.empty());
  CHECK(node.out.send.empty());
  node.give(CoordinatorMessage(node.dispatch(2)));
  CHECK(node.out.start.size() == 1);
}

TEST_CASE("a discard destroys the branch, running or not", "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(ledger.from(0)));
  node.give(CoordinatorMessage(node.dispatch(1, true)));
  ledger.discard(0);
  node.give(CoordinatorMessage(ledger.from(1)));
  REQUIRE(node.out.stop.size() == 1);
  node.finish(1);  // It returned in the same moment: its answer must not leave.
  CHECK(node.sent<BranchEnded>()->ending == Ending::cancelled);
  CHECK(node.sent<BranchEnded>()->output.empty());
  CHECK(node.out.destroyed.size() == 1);
}

TEST_CASE("a speculation that gave up for want of time runs again once it is confirmed",
          "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(node.dispatch(1, true)));
  const bool is_confirmed = GENERATE(false, true);
  if (is_confirmed) {
    node.give(CoordinatorMessage(ConfirmBranch{Epoch{1}, BranchToken{1}, StepNumber{0}, 100ms}));
  }
  node.finish(1, Ending::expired);
  CHECK(node.sent<BranchEnded>()->ending == (is_confirmed ? Ending::lost : Ending::expired));
}

TEST_CASE("a deadline is a timeout for confirmed work and says nothing of a speculation",
          "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(node.dispatch(1, true)));
  node.now += 60ms;
  node.give(CoordinatorMessage(ConfirmBranch{Epoch{1}, BranchToken{1}, StepNumber{0}, 100ms}));
  REQUIRE(node.out.confirm.size() == 1);
  CHECK(node.out.confirm[0].timeout == 100ms);
  node.now += 60ms;
  node.give(TimePassed{});
  CHECK(node.out.stop.empty());  // The deadline counts from the confirmation.
  node.now += 60ms;
  node.give(TimePassed{});
  REQUIRE(node.out.stop.size() == 1);
  node.finish(1);
  CHECK(node.sent<BranchEnded>()->ending == Ending::timed_out);
  node.give(CoordinatorMessage(node.dispatch(2, true)));
  node.now += 110ms;
  node.give(TimePassed{});
  node.finish(2);
  CHECK(node.sent<BranchEnded>()->ending == Ending::expired);
}

TEST_CASE("a dispatch waits for a slot that is being freed", "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(node.dispatch(1, true)));
  node.give(CoordinatorMessage(CancelBranch{Epoch{1}, BranchToken{1}}));
  node.give(CoordinatorMessage(node.dispatch(2)));
  CHECK(node.out.start.empty());
  CHECK(node.sent<BranchEnded>() == nullptr);
  node.finish(1);
  REQUIRE(node.out.start.size() == 1);
  CHECK(node.out.start.front().dispatch.token == BranchToken{2});
}

TEST_CASE("nothing from an older term is acted on", "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger, Epoch{3});
  node.give(CoordinatorMessage(node.dispatch(1)));
  CHECK(node.out.start.empty());
  node.welcome(ledger, Epoch{2});
  CHECK(node.out.alerts.size() == 1);
  CHECK_FALSE(node.out.catalog.has_value());
}

TEST_CASE("a new term destroys what an older one started", "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(node.dispatch(1)));
  node.welcome(ledger, Epoch{2});
  CHECK(node.out.stop.size() == 1);
}

TEST_CASE("a run-ID mark is durable before it is confirmed and never falls", "[node_machine]") {
  Node node;
  node.give(CoordinatorMessage(ReserveRunIds{worker, 100}));
  REQUIRE(node.out.marks.size() == 1);
  CHECK(node.sent<MarkStored>() == nullptr);
  node.give(MarkPersisted{worker, 100});
  REQUIRE(node.sent<MarkStored>() != nullptr);
  node.give(CoordinatorMessage(ReserveRunIds{worker, 50}));
  CHECK(node.out.marks.empty());
  CHECK(node.sent<MarkStored>()->mark == 100);
}

TEST_CASE("heartbeats tell what runs and what is finished", "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);
  node.give(CoordinatorMessage(node.dispatch(1)));
  node.now += 250ms;
  node.give(TimePassed{});
  REQUIRE(node.sent<Heartbeat>() != nullptr);
  CHECK(node.sent<Heartbeat>()->running == std::vector<BranchToken>{BranchToken{1}});
  REQUIRE(node.out.wake_at.has_value());
  CHECK(*node.out.wake_at <= node.now + 250ms);
}

TEST_CASE("a node that must join again minds its deadlines and does not ask to be woken at once",
          "[node_machine]") {
  Ledger ledger;
  Node node;
  node.welcome(ledger);  // Fetches what it lacks.
  node.give(CoordinatorMessage(node.dispatch(1)));
  node.give(CoordinatorMessage(JoinAgain{Epoch{1}}));
  node.now += 10s;
  node.give(TimePassed{});
  REQUIRE(node.out.stop.size() == 1);
  CHECK(node.out.stop.front().token == BranchToken{1});
  REQUIRE(node.out.wake_at.has_value());
  CHECK(*node.out.wake_at > node.now);
}

TEST_CASE("a node that has not joined says what it holds and serves it", "[node_machine]") {
  Ledger ledger(Epoch{4});
  ledger.commit("a");
  Node node;
  node.welcome(ledger, Epoch{4});
  node.give(CoordinatorMessage(ledger.from(0)));
  ledger.commit("b");
  Entries not_signed = ledger.from(2);
  not_signed.head.reset();
  node.give(CoordinatorMessage(not_signed));
  node.now += 600ms;
  node.give(CoordinatorMessage(JoinAgain{Epoch{4}}));  // Of a coordinator before its term.
  REQUIRE(node.sent<Join>() != nullptr);
  CHECK(node.sent<Join>()->head.size == 3);
  CHECK(node.sent<Join>()->epoch == Epoch{4});
  node.give(CoordinatorMessage(FetchReplica{Seq{1}}));
  REQUIRE(node.out.page.has_value());
  CHECK(node.out.page->from == Seq{1});
  REQUIRE(node.out.page->head.has_value());
  CHECK(node.out.page->head->head.size == 2);  // Of what is signed, not of all that it holds.
  node.give(NodeInput(ReplicaEntries{ledger.from(1)}));
  REQUIRE(node.sent<ReplicaEntries>() != nullptr);
  CHECK(node.sent<ReplicaEntries>()->entries == ledger.from(1));
}

TEST_CASE("a refusal that is not final is told once", "[node_machine]") {
  Node node;
  std::size_t told = 0;
  for (const char* why : {"not yet", "not yet", "another reason"}) {
    told += node.give(CoordinatorMessage(JoinRefused{why, false})).alerts.size();
  }
  CHECK(told == 2);
  CHECK_FALSE(node.out.fatal.has_value());
}
