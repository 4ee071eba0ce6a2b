#include <catch2/catch.hpp>

#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;
using namespace std::chrono_literals;

namespace {

constexpr RequestId audit_request{7000};

/// A cluster of some nodes with one step of task `a` committed, answered with 1.
struct Audited {
  explicit Audited(int nodes = 2, const std::string& failure = {}) {
    for (int node = 1; node <= nodes; ++node) {
      cluster.join(node);
    }
    const RunId run = cluster.open(SpeculationMode::off);
    cluster.confirm(run, {call("a")});
    const Dispatch dispatch = cluster.take_dispatch("a");
    recorded_by = dispatch.worker;
    if (failure.empty()) {
      cluster.finish(dispatch, "1");
    } else {
      cluster.end(dispatch, Ending::failed, failure);
    }
    cluster.persist();
    output = failure.empty() ? "1" : "";
  }
  void start(RequestId request = audit_request, std::uint32_t sample = 1) {
    StartAudit body;
    body.sample = sample;
    cluster.input(ClientRequest{request, "default", body});
  }
  /// What the node of this number says about its replica.
  void answer(int node) {
    for (const ToNode& message : std::vector<ToNode>(cluster.sent)) {
      if (const auto* order = std::get_if<AuditReplica>(&message.message);
          order != nullptr && message.connection.value == static_cast<std::uint64_t>(node)) {
        ReplicaAudited audited;
        audited.epoch = order->epoch;
        audited.audit = order->audit;
        audited.head.size = order->sizes.back();
        cluster.input(
            NodeSaid{message.connection, {"n" + std::to_string(node)}, std::move(audited)});
      }
    }
  }
  /// Gives the brain the committed step, as the store would.
  void read_step() {
    EntriesRead read{AuditNumber{1}, {}};
    for (const json::Value& entry : cluster.entries()) {
      if (*entry.find("kind") == json::Value("commit")) {
        StoredEntry stored;
        stored.seq = Seq{static_cast<std::uint64_t>(*entry.find("seq")->number())};
        stored.leaf = json::canonical(entry);
        stored.call = call("a").canonical();
        stored.output = output;
        read.entries.push_back(stored);
      }
    }
    cluster.input(read);
  }
  json::Value report(RequestId request = audit_request) const {
    const ResponseBody* body = cluster.answer(request);
    REQUIRE(body != nullptr);
    REQUIRE(std::holds_alternative<JsonReport>(*body));
    return std::get<JsonReport>(*body).body;
  }
  const json::Array& re_executed(const json::Value& value) const {
    return *value.find("re_executed")->array();
  }

  ScriptedCluster cluster;
  WorkerId recorded_by;
  std::string output;  ///< Of the step.
};

}  // namespace

TEST_CASE("a sampled step runs again on another node and belongs to no session", "[audit]") {
  Audited audited;
  audited.start();
  audited.read_step();
  const Dispatch again = audited.cluster.take_dispatch("a");
  CHECK(again.worker != audited.recorded_by);
  CHECK(again.owner.audit == AuditNumber{1});
  CHECK_FALSE(again.owner.step);
  audited.answer(1);
  audited.answer(2);
  CHECK(audited.cluster.answer(audit_request) == nullptr);
  audited.cluster.finish(again, "2");
  const json::Value report = audited.report();
  REQUIRE(audited.re_executed(report).size() == 1);
  CHECK(*audited.re_executed(report)[0].find("output_hash") == json::Value(to_hex(sha256("2"))));
  CHECK(report.find("nodes")->array()->size() == 2);
}

TEST_CASE("an audit is refused while one runs, and may follow it", "[audit]") {
  Audited audited;
  audited.start(audit_request, 0);
  audited.start(RequestId{7001}, 0);
  const ResponseBody* refused = audited.cluster.answer(RequestId{7001});
  REQUIRE(refused != nullptr);
  CHECK(std::get<RequestFailed>(*refused).refusal == Refusal::conflict);
  audited.answer(1);
  audited.answer(2);
  audited.report();
  audited.start(RequestId{7002}, 0);
  CHECK(audited.cluster.answer(RequestId{7002}) == nullptr);
}

TEST_CASE("a node that is lost in the middle of an audit, or silent to its end, is named",
          "[audit]") {
  Audited audited;
  audited.start(audit_request, 0);
  audited.answer(1);
  audited.cluster.input(NodeUnreachable{ConnectionId{2}});
  const json::Value report = audited.report();
  const json::Array& nodes = *report.find("nodes")->array();
  CHECK(nodes[0].find("problem")->is_null());
  CHECK(*nodes[1].find("problem") == json::Value("was lost: unreachable"));
}

TEST_CASE("an audit ends at its deadline with what it has", "[audit]") {
  Audited audited;
  StartAudit body;
  body.deadline = 100ms;
  audited.cluster.input(ClientRequest{audit_request, "default", body});
  audited.answer(1);
  audited.cluster.pass(100ms);
  const json::Value report = audited.report();
  CHECK(*(*report.find("nodes")->array())[1].find("problem") ==
        json::Value("did not answer: the audit's deadline passed"));
}

TEST_CASE("a worker lost under a step that runs again costs another attempt", "[audit]") {
  Audited audited;
  audited.start();
  audited.read_step();
  audited.answer(1);
  audited.answer(2);
  audited.cluster.end(audited.cluster.take_dispatch("a"), Ending::lost, "the worker crashed");
  const Dispatch second = audited.cluster.take_dispatch("a");
  audited.cluster.finish(second, "1");
  CHECK(audited.re_executed(audited.report()).size() == 1);
}

TEST_CASE("confirmed work takes a slot back from an audit", "[audit]") {
  Audited audited;
  audited.start();
  audited.read_step();
  const RunId run = audited.cluster.open(SpeculationMode::off);
  std::vector<Call> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(call("b", "{\"n\":" + std::to_string(i) + "}"));
  }
  const std::size_t cancelled = audited.cluster.cancels();
  audited.cluster.confirm(run, calls);
  CHECK(audited.cluster.cancels() == cancelled + 1);
  CHECK_FALSE(audited.cluster.has_dispatch("a"));
}

TEST_CASE("where two answers differ a third node answers, and the report tells all", "[audit]") {
  Audited audited(3);
  audited.start();
  audited.read_step();
  const Dispatch second = audited.cluster.take_dispatch("a");
  audited.cluster.finish(second, "2");
  const Dispatch third = audited.cluster.take_dispatch("a");
  CHECK(third.worker != audited.recorded_by);
  CHECK(third.worker != second.worker);
  audited.cluster.finish(third, "1");
  for (int node = 1; node <= 3; ++node) {
    audited.answer(node);
  }
  const json::Value report = audited.report();
  REQUIRE(audited.re_executed(report).size() == 1);
  const json::Value& step = audited.re_executed(report)[0];
  CHECK(*step.find("output_hash") == json::Value(to_hex(sha256("2"))));
  CHECK(*step.find("worker") == json::Value(to_string(second.worker)));
  CHECK(*step.find("third")->find("output_hash") == json::Value(to_hex(sha256("1"))));
  CHECK(*step.find("third")->find("worker") == json::Value(to_string(third.worker)));
  CHECK(*report.find("without_verdict") == json::Value(0));
}

TEST_CASE("write-sets and effects are part of an answer", "[audit]") {
  Audited audited(3);
  audited.start();
  audited.read_step();
  const auto part = GENERATE(as<std::string>(), "writes", "effects");
  audited.cluster.finish_with(audited.cluster.take_dispatch("a"), "1",
                              part == "writes" ? R"({"x":1})" : "",
                              part == "effects" ? R"([{"task":"b"}])" : "");
  audited.cluster.finish(audited.cluster.take_dispatch("a"), "1");  // The third one.
  for (int node = 1; node <= 3; ++node) {
    audited.answer(node);
  }
  const json::Value report = audited.report();
  const json::Value& run = audited.re_executed(report).at(0);
  CHECK(*run.find("output_hash") == json::Value(to_hex(sha256("1"))));
  CHECK(run.find(part + "_hash")->string() != nullptr);
  CHECK(run.find("third")->find(part + "_hash")->is_null());
}

TEST_CASE("a command's exit code is run again, another failure is not", "[audit]") {
  Audited failed(2, "exit code 3");
  failed.start();
  failed.read_step();
  failed.cluster.end(failed.cluster.take_dispatch("a"), Ending::failed, "exit code 4");
  failed.answer(1);
  failed.answer(2);
  const json::Value report = failed.report();
  CHECK(failed.re_executed(report).at(0).find("output_hash")->is_null());
  CHECK(failed.re_executed(report).at(0).find("third")->is_null());  // Both failed: they agree.
  for (const char* cause : {"timed out after 300 ms", "killed by signal 9", "effects: item 0: no",
                            "http://x: status 500"}) {
    Audited other(2, cause);
    other.start();
    other.read_step();
    CHECK_FALSE(other.cluster.has_dispatch("a"));
  }
}

TEST_CASE("without a third node nobody is asked, and without a difference neither", "[audit]") {
  const int nodes = GENERATE(2, 3);
  Audited audited(nodes);
  audited.start();
  audited.read_step();
  audited.cluster.finish(audited.cluster.take_dispatch("a"), nodes == 2 ? "2" : "1");
  CHECK_FALSE(audited.cluster.has_dispatch("a"));
  for (int node = 1; node <= nodes; ++node) {
    audited.answer(node);
  }
  const json::Value report = audited.report();
  REQUIRE(audited.re_executed(report).size() == 1);
  CHECK(audited.re_executed(report)[0].find("third")->is_null());
}

TEST_CASE("nodes that were lost are told in status and audits until they are back or shut out",
          "[audit]") {
  Audited audited;
  std::uint64_t requests = 7100;
  const auto absent = [&] {
    const RequestId request{++requests};
    audited.cluster.input(ClientRequest{request, "default", ShowStatus{}});
    const ResponseBody* body = audited.cluster.answer(request);
    return *std::get<JsonReport>(*body).body.find("absent")->array();
  };
  CHECK(absent().empty());
  Diverged diverged;
  diverged.why = "entry 3: root";
  audited.cluster.input(NodeSaid{ConnectionId{2}, {"n2"}, diverged});
  REQUIRE(absent().size() == 1);
  CHECK(*absent()[0].find("node") == json::Value("n2"));
  CHECK(*absent()[0].find("why") == json::Value("its ledger diverged: entry 3: root"));
  audited.start(audit_request, 0);
  audited.answer(1);
  CHECK(audited.report().find("absent")->array()->size() == 1);
  audited.cluster.input(NodesAllowed{{{NodeId{"n1"}, "one"}}});
  CHECK(absent().empty());
}
