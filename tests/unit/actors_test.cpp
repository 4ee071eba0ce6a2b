#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <catch2/catch.hpp>

#include "actors/coordinator_actor.hpp"
#include "actors/ledger_actor.hpp"
#include "actors/node_actor.hpp"
#include "actors/reader_actor.hpp"
#include "actors/replica_actor.hpp"
#include "actors/worker_actor.hpp"
#include "storage/memory_store.hpp"
#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

namespace {

class TestingConfig : public caf::actor_system_config {
public:
  TestingConfig() { set("scheduler.policy", caf::atom("testing")); }
};

/// An actor system that does nothing by itself.
class Stage {
public:
  caf::actor_system& system() { return system_; }
  /// Until nothing is left to do at this time.
  void run() {
    do {
      scheduler_.run();
    } while (scheduler_.clock().advance_time(Duration::zero()) > 0);
  }
  bool run_one() { return scheduler_.try_run_once(); }
  /// Moves the clock, which puts what is due into mailboxes, and runs all of it.
  void pass(Duration duration) {
    scheduler_.clock().advance_time(duration);
    run();
  }

private:
  TestingConfig config_;
  caf::actor_system system_{config_};
  caf::scheduler::test_coordinator& scheduler_ =
      dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
};

const NodeId node_id{"n1"};
const ConnectionId connection{1};
const WorkerId worker{Uuid{{1}}};

/// A coordinator actor on a memory store, with everything it says collected.
class Coordinator {
public:
  explicit Coordinator(Stage& stage) : stage_(stage) {
    auto scripted = std::make_unique<ScriptedPredictor>();
    predictor = scripted.get();
    auto machine = std::make_shared<CoordinatorMachine>(
        ScriptedCluster::settings_of(ScriptedCluster::default_catalog()),
        SigningKey::from_seed({1}), std::move(scripted));
    CoordinatorPorts ports;
    ports.persist = [this](CoordinatorBatch batch) {
      batches.push_back(batch.number);
      if (store) {
        caf::anon_send(store, batch.number.value);
      }
    };
    ports.send = [this](ConnectionId, std::vector<CoordinatorMessage> messages) {
      ++frames;
      for (const CoordinatorMessage& message : messages) {
        const auto* dispatch = std::get_if<Dispatch>(&message);
        if (dispatch != nullptr && dispatch->speculative) {
          events.emplace_back("run ahead");
        }
      }
      sent.insert(sent.end(), messages.begin(), messages.end());
    };
    ports.publish = [](Entries) {};
    ports.reply = [this](ClientResponse response) {
      events.emplace_back("reply");
      replies.push_back(std::move(response));
    };
    ports.serve_entries = [](ServeEntries) {};
    ports.serve_session = [](ServeSession) {};
    ports.race = [](const std::string&) {};
    ports.log = [this](const std::string& line) { log.push_back(line); };
    actor = stage.system().spawn(coordinator_actor, std::move(machine), std::move(ports));
    stage.run();
    persist();
  }
  ~Coordinator() {
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
    stage_.run();
  }
  void put(CoordinatorInput input) { caf::anon_send(actor, CoordinatorInputs{{std::move(input)}}); }
  void persist() {
    while (!batches.empty()) {
      const BatchNumber last = batches.back();
      batches.clear();
      put(Persisted{last});
      stage_.run();
    }
  }
  void join() {
    Join join;
    join.name = "node";
    join.instance = 1;
    join.workers = {{worker, 4, 0}};
    put(NodeSaid{connection, node_id, join});
    stage_.run();
    persist();
    put(NodeSaid{connection, node_id, MarkStored{worker, 1024}});
    stage_.run();
    persist();
  }
  RunId open() {
    put(ClientRequest{RequestId{1}, "default", OpenSession{}});
    stage_.run();
    persist();
    return std::get<SessionOpened>(replies.back().body).run_id;
  }
  CoordinatorInput confirm(const RunId& run, Call call) {
    ConfirmCalls body;
    body.run_id = run;
    body.calls = {std::move(call)};
    return ClientRequest{RequestId{2}, "default", std::move(body)};
  }
  CoordinatorInput finished(const Dispatch& dispatch) {
    BranchEnded ended;
    ended.epoch = dispatch.epoch;
    ended.token = dispatch.token;
    ended.output = "1";
    ended.latency = 1h;  // Fills the waste budget.
    return NodeSaid{connection, node_id, std::move(ended)};
  }
  std::vector<Dispatch> dispatches() const {
    std::vector<Dispatch> result;
    for (const CoordinatorMessage& message : sent) {
      if (const auto* dispatch = std::get_if<Dispatch>(&message)) {
        result.push_back(*dispatch);
      }
    }
    return result;
  }

  CoordinatorActor actor;
  caf::actor store;  ///< Gets the numbers of batches to persist; none: persist() answers for it.
  std::vector<std::string> events;
  ScriptedPredictor* predictor = nullptr;
  std::vector<BatchNumber> batches;
  std::vector<CoordinatorMessage> sent;
  std::size_t frames = 0;
  std::vector<ClientResponse> replies;
  std::vector<std::string> log;

private:
  Stage& stage_;
};

CoordinatorBatch batch(std::uint64_t number) {
  CoordinatorBatch result;
  result.number = BatchNumber{number};
  result.epoch = Epoch{1};
  result.marks = {{worker, number}};
  return result;
}

/// A run that ends when the test says so.
class HeldRun final : public RunningTask {
public:
  explicit HeldRun(std::shared_ptr<std::vector<std::string>> story) : story_(std::move(story)) {}
  ~HeldRun() override { story_->push_back("destroyed"); }
  void stop() override { story_->push_back("stopped"); }

private:
  std::shared_ptr<std::vector<std::string>> story_;
};

/// A worker whose node is this test.
struct Worker {
  explicit Worker(Stage& stage) {
    node = stage.system().spawn([this]() -> NodeActor::behavior_type {
      return {[this](const NodeInputs& message) {
                ++messages;
                for (const NodeInput& input : message.inputs) {
                  ended.push_back(std::get<BranchFinished>(input).ended);
                }
              },
              [](const Flush&) {}, [](const Wake&) {}, [](const StoreReplica&) {}};
    });
    worker_ref = stage.system().spawn(
        worker_actor, node,
        [this](const Dispatch& dispatch, const RunDeadline& run_deadline,
               RunDone run_done) -> std::unique_ptr<RunningTask> {
          deadline = run_deadline;
          if (dispatch.task == "throws") {
            throw std::runtime_error("broken");
          }
          if (dispatch.task == "quick") {
            RunEnded at_once;
            at_once.output = "2";
            run_done(at_once);
            run_done(std::move(at_once));  // An executor that calls twice reaches nobody.
            return nullptr;
          }
          done = std::move(run_done);
          return std::make_unique<HeldRun>(story);
        });
  }
  StartBranches start(std::uint64_t token, const std::string& task) const {
    StartBranch branch;
    branch.dispatch.token = BranchToken{token};
    branch.dispatch.task = task;
    return {{std::move(branch)}};
  }
  NodeActor node;
  WorkerActor worker_ref;
  RunDone done;
  RunDeadline deadline;
  std::shared_ptr<std::vector<std::string>> story = std::make_shared<std::vector<std::string>>();
  std::vector<BranchEnded> ended;
  std::size_t messages = 0;
};

}  // namespace

TEST_CASE("the coordinator actor looks ahead after all that waited in its mailbox", "[actors]") {
  Stage stage;
  Coordinator coordinator(stage);
  coordinator.join();
  const RunId run = coordinator.open();
  const RunId other = coordinator.open();
  coordinator.put(coordinator.confirm(run, call("a")));
  stage.run();
  coordinator.predictor->next[""] = {prediction(call("b"), 0.95)};
  const Dispatch first = coordinator.dispatches().at(0);
  coordinator.sent.clear();
  // Both wait in the mailbox before the actor runs: the answer wants to look ahead, the other
  // session's call is confirmed.
  coordinator.put(coordinator.finished(first));
  coordinator.put(coordinator.confirm(other, call("c")));
  stage.run();
  const std::vector<Dispatch> dispatches = coordinator.dispatches();
  REQUIRE(dispatches.size() == 2);
  CHECK(dispatches[0].task == "c");
  CHECK_FALSE(dispatches[0].speculative);
  CHECK(dispatches[1].task == "b");
  CHECK(dispatches[1].speculative);
}

TEST_CASE("an answer that a quick store releases does not wait for the look ahead", "[actors]") {
  Stage stage;
  Coordinator coordinator(stage);
  coordinator.join();
  const RunId run = coordinator.open();
  coordinator.put(coordinator.confirm(run, call("a")));
  stage.run();
  coordinator.predictor->next[""] = {prediction(call("b"), 0.95)};
  coordinator.store =
      stage.system().spawn([actor = coordinator.actor](caf::event_based_actor*) -> caf::behavior {
        return {[actor](std::uint64_t batch) {
          caf::anon_send(actor,
                         CoordinatorInputs{{CoordinatorInput(Persisted{BatchNumber{batch}})}});
        }};
      });
  coordinator.events.clear();
  coordinator.put(coordinator.finished(coordinator.dispatches().at(0)));
  stage.run();
  CHECK(coordinator.events == std::vector<std::string>{"reply", "run ahead"});
  caf::anon_send_exit(coordinator.store, caf::exit_reason::user_shutdown);
  coordinator.store = nullptr;
}

TEST_CASE("inputs that arrive together leave as one frame a peer", "[actors]") {
  Stage stage;
  Coordinator coordinator(stage);
  coordinator.join();
  const RunId run = coordinator.open();
  const RunId other = coordinator.open();
  coordinator.frames = 0;
  caf::anon_send(coordinator.actor, CoordinatorInputs{{coordinator.confirm(run, call("a")),
                                                       coordinator.confirm(other, call("a"))}});
  stage.run();
  CHECK(coordinator.dispatches().size() == 2);
  CHECK(coordinator.frames == 1);
}

TEST_CASE("the coordinator actor wakes up by itself to find a silent node", "[actors]") {
  Stage stage;
  Coordinator coordinator(stage);
  coordinator.join();
  coordinator.log.clear();
  for (int i = 0; i < 30 && coordinator.log.empty(); ++i) {
    stage.pass(100ms);
    coordinator.persist();
  }
  REQUIRE(coordinator.log.size() == 1);
  CHECK(coordinator.log.front().find("silent") != std::string::npos);
}

TEST_CASE("batches that wait together are synced together", "[actors]") {
  Stage stage;
  const auto store = std::make_shared<MemoryCoordinatorStore>();
  std::vector<BatchNumber> durable;
  LedgerPorts ports;
  ports.persisted = [&](BatchNumber number) { durable.push_back(number); };
  const LedgerActor ledger = stage.system().spawn(ledger_actor, store, std::move(ports));
  for (std::uint64_t number = 1; number <= 3; ++number) {
    caf::anon_send(ledger, batch(number));
  }
  const std::uint64_t before = store->sync_count();
  stage.run();
  CHECK(store->sync_count() == before + 1);
  CHECK(durable == std::vector<BatchNumber>{BatchNumber{3}});
}

TEST_CASE("after a failed sync nothing is called durable", "[actors]") {
  Stage stage;
  const auto store = std::make_shared<MemoryCoordinatorStore>();
  std::vector<BatchNumber> durable;
  std::vector<std::string> fatal;
  LedgerPorts ports;
  ports.persisted = [&](BatchNumber number) { durable.push_back(number); };
  ports.fatal = [&](const std::string& why) { fatal.push_back(why); };
  const LedgerActor ledger = stage.system().spawn(ledger_actor, store, std::move(ports));
  store->fail_next_write(FailedWrite::is_kept);
  caf::anon_send(ledger, batch(1));
  stage.run();
  CHECK(durable.empty());
  CHECK(fatal.size() == 1);
  caf::anon_send(ledger, batch(2));
  stage.run();
  CHECK(durable.empty());
}

TEST_CASE("a client's read waits for its turn, or is refused, and the cluster's reads go first",
          "[actors]") {
  Stage stage;
  const auto store = std::make_shared<MemoryCoordinatorStore>();
  std::vector<std::string> story;
  ReaderPorts ports;
  ports.reply = [&](const ClientResponse& response) {
    const auto* failed = std::get_if<RequestFailed>(&response.body);
    const bool is_refused = failed != nullptr && failed->refusal == Refusal::overloaded;
    story.push_back((is_refused ? "refuse " : "read ") + to_string(response.id));
  };
  ports.past_read = [&](const PastRead&) { story.emplace_back("past"); };
  const ReaderActor reader = stage.system().spawn(reader_actor, store, std::move(ports));
  const WaitingReads::Limits limits;
  const auto ask = [&](std::uint64_t id, const std::string& tenant) {
    caf::anon_send(reader,
                   ServeSession{RequestId{id}, tenant, RunId{worker, 1}, ServeSession::View{}});
  };
  for (std::uint64_t id = 1; id <= limits.of_tenant + 1; ++id) {
    ask(id, "greedy");
  }
  ask(1000, "modest");
  caf::anon_send(reader, ReadPast{});
  stage.run();
  REQUIRE(story.size() == limits.of_tenant + 3);
  CHECK(story[0] == "refuse " + std::to_string(limits.of_tenant + 1));
  CHECK(story[1] == "past");
  CHECK(story[2] == "read 1");
  CHECK(story[3] == "read 1000");
  CHECK(story[4] == "read 2");
  ask(2000, "greedy");  // There is room again.
  stage.run();
  CHECK(story.back() == "read 2000");
}

TEST_CASE("a node's marks are told only after they are stored", "[actors]") {
  Stage stage;
  const auto replica = std::make_shared<MemoryReplicaStore>();
  const auto identity = std::make_shared<MemoryIdentityStore>();
  std::vector<MarkRow> told;
  ReplicaPorts ports;
  ports.marks_persisted = [&](std::vector<MarkRow> marks) {
    REQUIRE(identity->load()->workers.size() == 1);
    told = std::move(marks);
  };
  const ReplicaActor actor =
      stage.system().spawn(replica_actor, replica, identity, std::move(ports));
  caf::anon_send(actor, PersistMarks{{{worker, 5}}});
  stage.run();
  CHECK(told.size() == 1);
}

TEST_CASE("a branch's result is told once, and its run is gone with its actor", "[actors]") {
  Stage stage;
  Worker worker_stage(stage);
  caf::anon_send(worker_stage.worker_ref, worker_stage.start(1, "task"));
  stage.run();
  REQUIRE(worker_stage.done);
  CHECK(worker_stage.story->empty());
  RunEnded ended;
  ended.output = "1";
  worker_stage.done(ended);
  stage.run();
  worker_stage.done(ended);  // An executor that calls twice reaches nobody.
  stage.run();
  REQUIRE(worker_stage.ended.size() == 1);
  CHECK(worker_stage.ended[0].token == BranchToken{1});
  CHECK(worker_stage.ended[0].output == "1");
  CHECK(*worker_stage.story == std::vector<std::string>{"destroyed"});
}

TEST_CASE("a run that goes on is told of its confirmation", "[actors]") {
  Stage stage;
  Worker worker_stage(stage);
  StartBranches guess = worker_stage.start(1, "held");
  guess.branches[0].dispatch.speculative = true;
  guess.branches[0].dispatch.timeout = 100ms;
  caf::anon_send(worker_stage.worker_ref, std::move(guess));
  stage.run();
  const auto first = worker_stage.deadline.at();
  CHECK(worker_stage.deadline.is_speculative());
  caf::anon_send(worker_stage.worker_ref, ConfirmRun{BranchToken{1}, worker, 250ms});
  stage.run();
  CHECK_FALSE(worker_stage.deadline.is_speculative());
  CHECK(worker_stage.deadline.at() == first + 150ms);  // No time passes here by itself.
}

TEST_CASE("a stopped branch is told to stop and reports when it has", "[actors]") {
  Stage stage;
  Worker worker_stage(stage);
  caf::anon_send(worker_stage.worker_ref, worker_stage.start(1, "task"));
  stage.run();
  caf::anon_send(worker_stage.worker_ref, StopBranch{BranchToken{1}, worker});
  caf::anon_send(worker_stage.worker_ref, StopBranch{BranchToken{2}, worker});  // Unknown: ignored.
  stage.run();
  CHECK(*worker_stage.story == std::vector<std::string>{"stopped"});
  CHECK(worker_stage.ended.empty());
  RunEnded ended;
  ended.ending = Ending::cancelled;
  worker_stage.done(ended);
  stage.run();
  REQUIRE(worker_stage.ended.size() == 1);
  CHECK(worker_stage.ended[0].ending == Ending::cancelled);
}

TEST_CASE("a branch whose actor breaks is lost, and its worker lives on", "[actors]") {
  Stage stage;
  Worker worker_stage(stage);
  caf::anon_send(worker_stage.worker_ref, worker_stage.start(1, "throws"));
  stage.run();
  REQUIRE(worker_stage.ended.size() == 1);
  CHECK(worker_stage.ended[0].ending == Ending::lost);
  caf::anon_send(worker_stage.worker_ref, worker_stage.start(2, "task"));
  stage.run();
  worker_stage.done(RunEnded{});
  stage.run();
  REQUIRE(worker_stage.ended.size() == 2);
  CHECK(worker_stage.ended[1].ending == Ending::returned);
}

TEST_CASE("branches that return while they are started are told together, each once", "[actors]") {
  Stage stage;
  Worker worker_stage(stage);
  StartBranches starts;
  for (std::uint64_t token = 1; token <= 3; ++token) {
    starts.branches.push_back(
        worker_stage.start(token, token == 2 ? "task" : "quick").branches.front());
  }
  caf::anon_send(worker_stage.worker_ref, std::move(starts));
  stage.run();
  REQUIRE(worker_stage.ended.size() == 2);
  CHECK(worker_stage.messages == 1);
  CHECK(worker_stage.ended[0].token == BranchToken{1});
  CHECK(worker_stage.ended[1].token == BranchToken{3});
  CHECK(worker_stage.ended[1].output == "2");
  worker_stage.done(RunEnded{});  // The one that runs on has its own actor.
  stage.run();
  REQUIRE(worker_stage.ended.size() == 3);
  CHECK(worker_stage.ended[2].token == BranchToken{2});
}

TEST_CASE("a node's inputs that wait together leave as one frame", "[actors]") {
  Stage stage;
  const auto key = SigningKey::from_seed({1});
  NodeSettings settings;
  settings.workers = {{worker, 4, 0}};
  std::vector<std::vector<NodeMessage>> frames;
  NodePorts ports;
  ports.send = [&](std::vector<NodeMessage> messages) { frames.push_back(std::move(messages)); };
  ports.persist = [](ReplicaBatch) {};
  ports.subscribe = [](std::uint16_t) {};
  ports.use_catalog = [](const std::string&) {};
  ports.joined = [] {};
  const auto quick = [](const Dispatch&, const RunDeadline&,
                        RunDone done) -> std::unique_ptr<RunningTask> {
    done(RunEnded{});
    return nullptr;
  };
  const NodeActor node = stage.system().spawn(
      node_actor, std::make_shared<NodeMachine>(settings, LedgerChecker(key.public_key()), Epoch{}),
      std::vector<WorkerId>{worker}, SpawnWorker([&](WorkerId, NodeActor self) {
        return stage.system().spawn(worker_actor, std::move(self), StartRun(quick));
      }),
      std::move(ports));
  stage.run();
  Welcome welcome;
  welcome.epoch = Epoch{1};
  welcome.catalog = "{}";
  caf::anon_send(node, NodeInputs{{NodeInput(CoordinatorMessage(welcome))}});
  stage.run();
  frames.clear();
  for (std::uint64_t token = 1; token <= 3; ++token) {  // As frames of one turn of the bus.
    Dispatch dispatch;
    dispatch.epoch = Epoch{1};
    dispatch.token = BranchToken{token};
    dispatch.worker = worker;
    dispatch.timeout = 1s;
    caf::anon_send(node, NodeInputs{{NodeInput(CoordinatorMessage(dispatch))}});
  }
  stage.run();
  REQUIRE(frames.size() == 1);
  CHECK(frames.front().size() == 3);
  caf::anon_send_exit(node, caf::exit_reason::user_shutdown);
  stage.run();
}
