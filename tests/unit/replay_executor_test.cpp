#include "node/executors/replay_executor.hpp"

#include <catch2/catch.hpp>
#include <future>

#include "node/executors/replay_journal.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;

namespace {

const RunId run_id = *RunId::parse("8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17");

Task task(const std::string& name, Effect effect) {
  Task result;
  result.name = name;
  result.executor = ExecutorKind::native;
  result.function = name;
  result.effect = effect;
  return result;
}

/// An executor that counts what reaches it.
class CountingExecutor final : public Executor {
public:
  explicit CountingExecutor(int& count) : count_(count) {}
  std::unique_ptr<RunningTask> start(Run, RunDone done) override {
    ++count_;
    RunEnded ended;
    ended.output = R"({"ran":true})";
    done(std::move(ended));
    return nullptr;
  }

private:
  int& count_;
};

/// One session with one step, asked of `task` and answered by `{"recorded":true}`.
std::shared_ptr<const ReplayRecord> record_of(const Task& asked) {
  const Call call = Call::make(asked.name, {});
  const std::string output = R"({"recorded":true})";
  CommitEntry entry;
  entry.run_id = run_id;
  entry.step = StepNumber{0};
  entry.task = asked.name;
  entry.input_hash = call.hash();
  entry.branch_names = {asked.name};
  entry.branch_latencies = {Duration(5000)};
  entry.branch_validities = {true};
  entry.branch_causes = {std::nullopt};
  entry.workers = {std::nullopt};
  entry.winner = 0;
  entry.chain = chain_start(call.canonical(), to_string(run_id));
  entry.output_hash = sha256(output);
  LedgerExport ledger;
  ledger.leaves = {leaf_of({Seq{0}, Epoch{1}, entry})};
  ledger.calls[call.hash()] = call.canonical();
  ledger.outputs[sha256(output)] = output;
  auto recorded = recorded_sessions(ledger);
  REQUIRE(recorded);
  auto catalog = Catalog::make({asked}, {}, {});
  REQUIRE(catalog);
  return std::make_shared<const ReplayRecord>(recorded->sessions, *catalog);
}

struct Replayed {
  RunEnded ended;
  int real_runs = 0;
  int noted = 0;
};

Replayed replay(const Task& asked, const std::string& plant = "") {
  Replayed result;
  ReplaySettings settings;
  settings.plant_task = plant;
  settings.can_run = [](const Task&) { return true; };
  settings.on_executed = [&result](const ReplayedRun&) { ++result.noted; };
  const auto executor = make_replay_executor(
      record_of(asked), std::make_unique<CountingExecutor>(result.real_runs), settings);
  std::promise<RunEnded> ended;
  Run run{asked, Call::make(asked.name, {}), {}, "", WorldPosition{to_string(run_id), 0, 0}};
  const auto handle =
      executor->start(std::move(run), [&ended](RunEnded how) { ended.set_value(std::move(how)); });
  result.ended = ended.get_future().get();
  return result;
}

}  // namespace

TEST_CASE("a replay never lets a write or a read reach its executor", "[replay]") {
  const Replayed replayed = replay(task("t", GENERATE(Effect::write, Effect::read)));
  CHECK(replayed.real_runs == 0);
  CHECK(replayed.noted == 0);
  CHECK(replayed.ended.output == R"({"recorded":true})");
  CHECK(replayed.ended.latency >= Duration(5000));  // As recorded, though it came at once.
}

TEST_CASE("what is run again is noted before it is answered", "[replay]") {
  const Replayed replayed = replay(task("t", Effect::pure));
  CHECK(replayed.real_runs == 1);
  CHECK(replayed.noted == 1);
  CHECK(replayed.ended.output == R"({"ran":true})");
}

TEST_CASE("a planted task answers differently", "[replay]") {
  CHECK(replay(task("t", Effect::pure), "t").ended.output ==
        R"({"forerun_planted":true,"ran":true})");
  CHECK(replay(task("t", Effect::pure), "other").ended.output == R"({"ran":true})");
}

TEST_CASE("a journal that kill -9 cut is read up to its last whole line", "[replay]") {
  const test::TempDirectory folder;
  const auto file = folder.path() / replay_journal_name;
  {
    auto journal = ReplayJournal::open(file);
    REQUIRE(journal);
    REQUIRE(journal->add({to_string(run_id), "t", "{}"}));
    REQUIRE(journal->add({to_string(run_id), "u", "{}"}));
  }
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  std::set<JournalKey> runs;
  REQUIRE(read_replay_journal(file, runs));
  CHECK(runs == std::set<JournalKey>{{to_string(run_id), "t", sha256("{}")}});
}
