#include "files/replay_record.hpp"

#include <catch2/catch.hpp>

#include "files/exported_sessions.hpp"
#include "speculation/client_api.hpp"

using namespace forerun;
using How = ReplayRecord::Ruling::How;

namespace {

const RunId run = *RunId::parse("8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17");

Task task(const std::string& name, Effect effect, bool deterministic = true) {
  Task result;
  result.name = name;
  result.executor = ExecutorKind::native;
  result.function = name;
  result.effect = effect;
  result.deterministic = deterministic;
  result.timeout = std::chrono::milliseconds(300);
  return result;
}

Catalog catalog() {
  Task get = task("get", Effect::read);
  get.reads = std::vector<std::string>{"item/{key}"};
  Task put = task("put", Effect::write);
  put.writes = std::vector<std::string>{"item/{key}"};
  Race race;
  race.name = "vote";
  race.branches = {"calm", "model"};
  race.select = SelectRule::seeded;
  race.valid = {{"model", "/score/of~1all", ValidCondition::Test::at_least, json::Value(0.9)},
                {"model", "/score/of~1all", ValidCondition::Test::at_most, json::Value(0.95)},
                {"model", "/label", ValidCondition::Test::one_of,
                 json::Value(json::Array{json::Value("a"), json::Value("b")})}};
  auto made = Catalog::make(
      {task("calm", Effect::pure), task("model", Effect::pure, false), get, put}, {race}, {});
  REQUIRE(made);
  return *made;
}

Call call(const std::string& name, const std::string& input) {
  return Call::make(name, std::move(*json::parse(input)->object()));
}

/// A session written step by step, as an export would hold it.
struct Writer {
  LedgerExport ledger;
  ChainValue chain;
  std::uint32_t steps = 0;

  CommitEntry entry_for(const Call& asked) {
    chain = steps == 0 ? chain_start(asked.canonical(), to_string(run))
                       : chain_next(chain, asked.canonical());
    ledger.calls[asked.hash()] = asked.canonical();
    CommitEntry entry;
    entry.run_id = run;
    entry.step = StepNumber{steps++};
    entry.task = asked.task();
    entry.input_hash = asked.hash();
    entry.chain = chain;
    return entry;
  }
  void add(CommitEntry entry, const std::string& output) {
    if (entry.winner) {
      entry.output_hash = sha256(output);
      ledger.outputs[*entry.output_hash] = output;
    }
    ledger.leaves.push_back(leaf_of({Seq{ledger.leaves.size()}, Epoch{1}, std::move(entry)}));
  }
  void plain(const Call& asked, const std::string& output, const std::string& cause = "",
             const std::string& writes = "", const std::string& effects = "") {
    CommitEntry entry = entry_for(asked);
    entry.branch_names = {asked.task()};
    entry.branch_latencies = {Duration(1000)};
    entry.branch_validities = {cause.empty()};
    entry.branch_causes = {cause.empty() ? std::nullopt : std::optional(cause)};
    entry.workers = {std::nullopt};
    if (cause.empty()) {
      entry.winner = 0;
    }
    if (!writes.empty()) {
      entry.writes_hash = sha256(writes);
      ledger.writes[*entry.writes_hash] = writes;
    }
    if (!effects.empty()) {
      entry.effects_hash = sha256(effects);
      ledger.effects[*entry.effects_hash] = effects;
    }
    add(std::move(entry), output);
  }
  void vote(const Call& asked, std::vector<std::optional<bool>> validities, std::size_t winner,
            const std::string& output) {
    CommitEntry entry = entry_for(asked);
    entry.branch_names = {"calm", "model"};
    entry.branch_latencies = {Duration(1000), Duration(2000)};
    entry.branch_validities = std::move(validities);
    entry.branch_causes = {std::nullopt, std::nullopt};
    entry.workers = {std::nullopt, std::nullopt};
    entry.select = SelectRule::seeded;
    entry.winner = winner;
    add(std::move(entry), output);
  }
  RecordedSessions read() const {
    auto sessions = recorded_sessions(ledger);
    REQUIRE(sessions);
    return *sessions;
  }
  ReplayRecord record() const { return {read().sessions, catalog()}; }
};

ReplayRecord::Ruling rule(const ReplayRecord& record, const std::string& name,
                          const std::string& input, std::uint32_t committed,
                          std::optional<std::uint32_t> step = {}, bool can_run = true) {
  const Catalog tasks = catalog();
  return record.ruling(*tasks.task(name), call(name, input),
                       WorldPosition{to_string(run), committed, step}, can_run);
}

}  // namespace

TEST_CASE("a replay runs deterministic pure tasks only where it can, and no other", "[replay]") {
  Writer writer;
  writer.plain(call("calm", "{}"), "1");
  writer.plain(call("model", "{}"), "2");
  writer.plain(call("get", R"({"key":"k"})"), "3");
  writer.plain(call("put", R"({"key":"k"})"), "4");
  const ReplayRecord record = writer.record();
  CHECK(rule(record, "calm", "{}", 0, 0).how == How::run);
  CHECK(rule(record, "calm", "{}", 0, 0, false).text == "1");
  CHECK(rule(record, "model", "{}", 1, 1).text == "2");
  CHECK(rule(record, "get", R"({"key":"k"})", 2, 2).text == "3");
  CHECK(rule(record, "put", R"({"key":"k"})", 3, 3).text == "4");
}

TEST_CASE("a recorded failure is taken as it was, a time-out is never measured again", "[replay]") {
  Writer writer;
  writer.plain(call("calm", R"({"n":1})"), "", "timed out after 300 ms");
  writer.plain(call("calm", R"({"n":2})"), "", "exit code 1");
  writer.plain(call("model", "{}"), "", "exit code 2");
  const ReplayRecord record = writer.record();
  const auto timed_out = rule(record, "calm", R"({"n":1})", 0, 0);
  CHECK(timed_out.how == How::failed);
  CHECK(timed_out.text == "timed out after 300 ms");
  CHECK(rule(record, "calm", R"({"n":1})", 0).how == How::failed);
  CHECK(rule(record, "calm", R"({"n":2})", 1, 1).how == How::run);
  CHECK(rule(record, "model", "{}", 2, 2).text == "exit code 2");
}

TEST_CASE("a speculated read is answered up to the write that conflicts with it", "[replay]") {
  Writer writer;
  writer.plain(call("get", R"({"key":"k"})"), "1");
  writer.plain(call("put", R"({"key":"other"})"), "null");
  writer.plain(call("get", R"({"key":"k"})"), "1");
  writer.plain(call("put", R"({"key":"k"})"), "null");
  writer.plain(call("get", R"({"key":"k"})"), "2");
  const ReplayRecord record = writer.record();
  CHECK(rule(record, "get", R"({"key":"k"})", 0).text == "1");
  CHECK(rule(record, "get", R"({"key":"k"})", 1).text == "1");  // Past a write of something else.
  CHECK(rule(record, "get", R"({"key":"k"})", 3).text.find("forerun_marker") != std::string::npos);
  CHECK(rule(record, "get", R"({"key":"k"})", 4).text == "2");
  CHECK(rule(record, "get", R"({"key":"z"})", 0).text.find("forerun_marker") != std::string::npos);
}

TEST_CASE("a call that was answered in two ways is not answered ahead", "[replay]") {
  Writer writer;
  writer.plain(call("model", "{}"), "1");
  writer.plain(call("model", "{}"), "2");
  writer.plain(call("calm", "{}"), "1");
  writer.plain(call("calm", "{}"), "", "timed out after 300 ms");
  const ReplayRecord record = writer.record();
  CHECK(rule(record, "model", "{}", 0).how == How::lost);
  CHECK(rule(record, "model", "{}", 1).text == "2");
  CHECK(rule(record, "calm", "{}", 0).how == How::lost);
  CHECK(rule(record, "calm", "{}", 2, 2).how == How::run);
}

TEST_CASE("a valid branch whose output was not kept gets one that meets its conditions",
          "[replay]") {
  Writer writer;
  writer.vote(call("vote", "{}"), {true, true}, 0, "1");
  writer.vote(call("vote", R"({"n":1})"), {true, std::nullopt}, 0, "1");
  const ReplayRecord record = writer.record();
  const auto answer = rule(record, "model", "{}", 0, 0);
  REQUIRE(answer.how == How::returned);
  const Catalog tasks = catalog();
  CHECK(output_is_valid(tasks.races().at("vote").valid, "model", *json::parse(answer.text)));
  const auto not_needed = rule(record, "model", R"({"n":1})", 1, 1);
  CHECK(not_needed.text.find("forerun_marker") != std::string::npos);
}

TEST_CASE("a branch that its decision did not need is not run again", "[replay]") {
  Writer writer;
  writer.vote(call("vote", "{}"), {std::nullopt, true}, 1, "1");
  const ReplayRecord record = writer.record();
  CHECK(rule(record, "calm", "{}", 0, 0).text.find("forerun_marker") != std::string::npos);
  CHECK(rule(record, "calm", "{}", 0).how == How::returned);
}

TEST_CASE("a session is replayed up to the step whose input was erased", "[replay]") {
  Writer writer;
  for (int n = 0; n < 3; ++n) {
    writer.plain(call("calm", "{\"n\":" + std::to_string(n) + "}"), "1");
  }
  writer.ledger.calls.erase(call("calm", R"({"n":1})").hash());
  const RecordedSessions read = writer.read();
  CHECK(read.sessions.front().replayable == 1);
  CHECK(read.sessions.front().stopped_by == "its input was erased");
}

TEST_CASE("writes and effects are answered as recorded, beside the output", "[replay]") {
  Writer writer;
  writer.plain(call("model", "{}"), "1", "", R"({"x":1})", "[1]");
  writer.plain(call("model", "{}"), "1", "", R"({"x":2})");
  writer.ledger.states[Seq{1}] = sha256(R"({"x":1})");
  const ReplayRecord record = writer.record();
  const auto first = rule(record, "model", "{}", 0, 0);
  CHECK(first.text == "1");
  CHECK(first.writes == R"({"x":1})");
  CHECK(first.effects == "[1]");
  CHECK(rule(record, "model", "{}", 1, 1).writes == R"({"x":2})");
  CHECK(rule(record, "model", "{}", 0).how == How::lost);  // Equal outputs, other writes.
}

TEST_CASE("a session is replayed as long as its state follows from its own steps", "[replay]") {
  const std::string state = R"({"x":1})";
  Writer writer;
  writer.plain(call("model", R"({"n":0})"), "1", "", state, "[1]");
  writer.plain(call("calm", R"({"n":1})"), "1");
  writer.plain(call("calm", R"({"n":2})"), "1");
  const auto replayable = [](Writer changed, const std::string& why) {
    const RecordedSession session = changed.read().sessions.front();
    CHECK_THAT(session.stopped_by, Catch::Contains(why));
    return session.replayable;
  };
  CHECK(replayable(writer, "state that does not follow") == 1);  // Older exports hold no states.
  writer.ledger.has_states = true;
  writer.ledger.states = {{Seq{1}, sha256(state)}, {Seq{2}, sha256(state)}};
  CHECK(replayable(writer, "") == 3);
  writer.ledger.states[Seq{2}] = sha256("another");
  CHECK(replayable(writer, "state that does not follow") == 2);
  writer.ledger.states[Seq{0}] = sha256("opened with one");
  CHECK(replayable(writer, "state that does not follow") == 0);
  writer.ledger.states.erase(Seq{0});
  Writer opened;
  opened.ledger.has_states = true;
  opened.plain(call("calm", R"({"n":0})"), "1", "", R"({"y":2})");
  opened.plain(call("calm", R"({"n":1})"), "1");
  opened.ledger.states = {{Seq{0}, sha256(state)}, {Seq{1}, sha256(R"({"x":1,"y":2})")}};
  CHECK(replayable(opened, "state that does not follow") == 0);  // Older exports do not hold it.
  opened.ledger.opened_with[Seq{0}] = state;
  CHECK(replayable(opened, "") == 2);
  CHECK(opened.read().sessions.front().opened_with == state);
  opened.ledger.opened_with[Seq{0}] = "[]";
  CHECK(replayable(opened, "the state that it was opened with") == 0);
  Writer erased = writer;
  erased.ledger.writes.clear();
  CHECK(replayable(erased, "writes or effects were erased") == 0);
  writer.ledger.effects.clear();
  CHECK(replayable(writer, "writes or effects were erased") == 0);
}

TEST_CASE("calls that were given the state before a list are told as one list", "[replay]") {
  Writer writer;
  writer.ledger.has_states = true;
  const auto write = [&](int n) {
    writer.plain(call("model", "{\"n\":" + std::to_string(n) + "}"), "1", "",
                 "{\"x\":" + std::to_string(n) + "}");
  };
  const auto in_list = [&] {
    std::string marks;
    const RecordedSession session = writer.read().sessions.front();
    for (std::size_t i = 0; i < session.replayable; ++i) {
      marks += session.steps[i].is_in_list ? '+' : '.';
    }
    return marks;
  };
  write(0);
  write(1);
  write(2);
  const Digest first = sha256(R"({"x":0})");
  const Digest third = sha256(R"({"x":2})");
  SECTION("from the start") {
    CHECK(in_list() == ".++");
  }
  SECTION("each alone") {
    writer.ledger.states = {{Seq{1}, first}, {Seq{2}, sha256(R"({"x":1})")}};
    CHECK(in_list() == "...");
  }
  SECTION("later on, one list after another, the end of one cut off") {
    writer.plain(call("calm", R"({"n":3})"), "1");
    writer.plain(call("calm", R"({"n":4})"), "1");
    write(5);
    write(6);
    writer.ledger.states = {{Seq{1}, first}, {Seq{2}, first}, {Seq{3}, first}, {Seq{4}, third},
                            {Seq{5}, third}, {Seq{6}, third}};
    CHECK(in_list() == "..++..+");
    writer.ledger.states[Seq{6}] = first;
    CHECK(in_list() == "..++..");
  }
  SECTION("no longer than a request may be") {
    while (writer.steps <= calls_per_request_max) {
      write(static_cast<int>(writer.steps));
    }
    CHECK(in_list() == "." + std::string(calls_per_request_max - 1, '+'));
  }
}

TEST_CASE("a forged leaf is told apart from the session that it belongs to", "[replay]") {
  Writer writer;
  writer.plain(call("calm", R"({"n":0})"), "1");
  writer.plain(call("calm", R"({"n":1})"), "1");
  std::string& leaf = writer.ledger.leaves[1];
  leaf.replace(leaf.find("\"winning_branch_index\":0"), 24, "\"winning_branch_index\":-1");
  const RecordedSessions read = writer.read();
  REQUIRE(read.broken.size() == 1);
  CHECK(read.broken.front().run_id == to_string(run));
  CHECK(read.broken.front().step == "1");
  CHECK(read.sessions.front().steps.size() == 1);
}

TEST_CASE("the catalog of a replay asks lost writes again and gives tasks time", "[replay]") {
  const auto replayed = replay_catalog(catalog());
  REQUIRE(replayed);
  CHECK(replayed->task("put")->idempotent);
  CHECK(replayed->task("calm")->timeout == replay_timeout_min);
}

TEST_CASE("an export's sessions read as traces, up to what was erased", "[exported_sessions]") {
  Writer writer;
  const Call get = call("get", R"({"key":"k"})");
  const Call erased = call("get", R"({"key":"gone"})");
  writer.vote(call("vote", "{}"), {std::nullopt, true}, 1, R"({"label":"a"})");
  writer.plain(get, "3");
  writer.plain(call("put", R"({"key":"k"})"), "", "exit code 1");
  writer.plain(erased, "4");
  writer.plain(get, "5");
  writer.ledger.calls.erase(erased.hash());

  const auto exported = exported_sessions(writer.ledger, catalog());
  REQUIRE(exported.has_value());
  CHECK(exported->cut == 2);
  REQUIRE(exported->sessions.size() == 1);
  const TraceSession& session = exported->sessions.front();
  CHECK(session.name == to_string(run));
  REQUIRE(session.steps.size() == 3);
  CHECK(session.steps[0].latency == Duration(2000));
  CHECK_FALSE(session.steps[0].think.has_value());
  CHECK(session.steps[1].call == get);
  CHECK(session.steps[1].output == json::Value(3));
  CHECK(session.steps[2].output.is_null());
  CHECK(exported->read_only.contains("get"));
  CHECK(exported->read_only.contains("vote"));
  CHECK_FALSE(exported->read_only.contains("put"));
}
