#include "node/executors/executor.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <latch>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "files/recorded_world.hpp"
#include "node/executors/child_process.hpp"
#include "node/executors/demo_functions.hpp"
#include "node/executors/outcome.hpp"
#include "node/executors/timed_executor.hpp"
#include "tests/support/started_run.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using test::run_of;

namespace {

constexpr auto patience = 20s;  ///< Only for a broken executor: no test waits for time to pass.

/// One started run and its end. Fails the test if it ends twice.
class Started {
public:
  Started(Executor& executor, Run run) {
    handle_ = executor.start(std::move(run), [state = state_](RunEnded ended) {
      const std::lock_guard lock(state->mutex);
      ++state->count;
      state->ended = std::move(ended);
      state->at = RunClock::now();
      state->changed.notify_all();
    });
  }
  void stop() { handle_->stop(); }
  void forget() { handle_.reset(); }
  RunEnded end() {
    std::unique_lock lock(state_->mutex);
    REQUIRE(state_->changed.wait_for(lock, patience, [this] { return state_->count > 0; }));
    REQUIRE(state_->count == 1);
    return state_->ended;
  }
  RunClock::time_point ended_at() {
    end();
    return state_->at;
  }
  int ends() {
    const std::lock_guard lock(state_->mutex);
    return state_->count;
  }

private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    int count = 0;
    RunEnded ended;
    RunClock::time_point at;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
  std::unique_ptr<RunningTask> handle_;
};

Run command(std::vector<std::string> words, json::Object input = {}) {
  Task task;
  task.name = "tested";
  task.command = std::move(words);
  task.sandbox = false;
  return run_of(std::move(task), std::move(input));
}

Run shell(const std::string& script, json::Object input = {}) {
  return command({"sh", "-c", script}, std::move(input));
}

RunEnded end_of(Executor& executor, Run run) {
  return Started(executor, std::move(run)).end();
}

/// A named pipe through which a command tells that it has come so far.
class Signpost {
public:
  explicit Signpost(const std::filesystem::path& folder) : path_(folder / "signpost") {
    REQUIRE(::mkfifo(path_.c_str(), 0600) == 0);
  }
  ~Signpost() { ::unlink(path_.c_str()); }
  std::string path() const { return path_.string(); }
  /// Waits for a line.
  std::string wait() const {
    std::ifstream file(path_);
    std::string line;
    std::getline(file, line);
    return line;
  }

private:
  std::filesystem::path path_;
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

/// True unless the process is gone or a zombie that waits for the machine's first process.
bool is_alive(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t name_end = line.rfind(')');
  return name_end != std::string::npos && line.size() > name_end + 2 && line[name_end + 2] != 'Z' &&
         line[name_end + 2] != 'X';
}

Duration percentile(std::vector<Duration> times, double part) {
  std::sort(times.begin(), times.end());
  return times[static_cast<std::size_t>(part * static_cast<double>(times.size() - 1))];
}

NativeFunctions one_function(NativeFunction function) {
  NativeFunctions functions;
  functions["tested"] = std::move(function);
  return functions;
}

Run native() {
  Task task;
  task.name = "tested";
  task.executor = ExecutorKind::native;
  return run_of(task);
}

}  // namespace

// ---- exec
// ------------------------------------------------------------------------------------------

TEST_CASE("a command gets the canonical input and its output becomes canonical", "[exec]") {
  const auto executor = make_exec_executor({});
  json::Object input;
  input.set("b", 1);
  input.set("a", "x");
  const RunEnded ended = end_of(*executor, shell("printf '{\"got\": '; cat; echo '}'", input));
  CHECK(ended.ending == Ending::returned);
  CHECK(ended.output == R"({"got":{"a":"x","b":1}})");
  CHECK(ended.cause.empty());
  CHECK(ended.latency > 0us);
  CHECK(ended.dead_handles == 0);
}

TEST_CASE("an input larger than a pipe reaches a command that answers meanwhile", "[exec]") {
  const auto executor = make_exec_executor({});
  json::Object input;
  input.set("text", std::string(700'000, 'x'));
  const RunEnded ended = end_of(*executor, command({"cat"}, input));
  CHECK(ended.ending == Ending::returned);
  CHECK(ended.output == json::canonical(input));
}

TEST_CASE("a command sees a clean environment, its folder and three descriptors", "[exec]") {
  const test::TempDirectory folder;
  ::setenv("FORERUN_TEST_SECRET", "1", 1);
  const Descriptor leaky(::open("/dev/null", O_RDONLY));  // Without close-on-exec.
  const auto executor = make_exec_executor({.folder = folder.path().string()});
  // What the shell was given, not what it exports; the fourth descriptor is the listing's own.
  Run run = shell(
      "printf '\"%s| %s %s%s\"' \"$(tr '\\0' ' ' < /proc/$$/environ)\" \"$(pwd)\" "
      "\"$(ls /proc/self/fd | tr '\\n' ' ')\" $(($(cut -d' ' -f5 /proc/$$/stat) == $$))");
  run.outside_key = "k1";
  run.task.effect = Effect::read;
  const RunEnded read = end_of(*executor, run);
  run.task.effect = Effect::write;
  const RunEnded write = end_of(*executor, run);
  ::unsetenv("FORERUN_TEST_SECRET");
  const std::string place = folder.path().string();
  const std::string path = std::string("PATH=") + ::getenv("PATH");
  const std::string clean = "HOME=" + place + " LANG=C.UTF-8 " + path + " ";
  CHECK(read.output == "\"" + clean + "| " + place + " 0 1 2 3 1\"");
  CHECK(write.output == "\"FORERUN_OUTSIDE_KEY=k1 " + clean + "| " + place + " 0 1 2 3 1\"");
}

TEST_CASE("a command in the tasks folder is found by its relative path", "[exec]") {
  const test::TempDirectory folder;
  std::ofstream(folder.path() / "answer") << "#!/bin/sh\necho 42\n";
  ::chmod((folder.path() / "answer").c_str(), 0700);
  const auto executor = make_exec_executor({.folder = folder.path().string()});
  CHECK(end_of(*executor, command({"./answer"})).output == "42");
}

TEST_CASE("an output that is not one strict JSON document fails the run", "[exec]") {
  struct Bad {
    const char* script;
    const char* cause;
  };
  const auto bad = GENERATE(values<Bad>({
      {"echo hello", "json: byte"},
      {"echo '{} {}'", "json: byte"},
      {":", "found the end, expected a value"},
      {R"(printf '"\377"')", "UTF-8"},
      {R"(printf '\357\273\2771')", "byte order mark"},
      {"echo 1e999", "out of a double's range"},
      {"echo 12345678901234567890", "send it as a string"},
      {R"(echo '{"a":1,"a":2}')", "duplicate key"},
  }));
  const auto executor = make_exec_executor({});
  const RunEnded ended = end_of(*executor, shell(bad.script));
  CHECK(ended.ending == Ending::failed);
  CHECK_THAT(ended.cause, StartsWith("output: "));
  CHECK_THAT(ended.cause, Contains(bad.cause));
  CHECK(ended.output.empty());
}

TEST_CASE("an output above the limit fails the run, and endless ones end at once", "[exec]") {
  const auto executor = make_exec_executor({.output_bytes = 1000});
  const RunEnded fits = end_of(*executor, shell("printf '\"%0998d\"' 0"));
  CHECK(fits.ending == Ending::returned);
  CHECK(fits.output.size() == 1000);
  const RunEnded larger = end_of(*executor, shell("printf '\"%0999d\"' 0"));
  CHECK(larger.ending == Ending::failed);
  CHECK(larger.cause == "output larger than 1000 bytes");
  const RunEnded endless = end_of(*executor, command({"yes"}));
  CHECK(endless.ending == Ending::failed);
  CHECK(endless.cause == "output larger than 1000 bytes");
  CHECK(endless.dead_handles == 0);
  // 1e20 is written out in canonical form, which counts.
  const RunEnded grows =
      end_of(*executor, shell("printf '[0'; for i in $(seq 100); do printf ',1e20'; done; echo ]"));
  CHECK(grows.cause == "output larger than 1000 bytes");
}

TEST_CASE("an exit code or a signal fails the run with the last line of stderr", "[exec]") {
  const auto executor = make_exec_executor({});
  const RunEnded code = end_of(*executor, shell("echo '{}'; echo one >&2; echo two >&2; exit 3"));
  CHECK(code.ending == Ending::failed);
  CHECK(code.cause == "exit code 3: two");
  CHECK(code.output.empty());
  CHECK(end_of(*executor, shell("exit 4")).cause == "exit code 4");
  CHECK(end_of(*executor, shell("echo '{}'; kill -SEGV $$")).cause == "killed by signal 11");
}

TEST_CASE("a cause is one short line of valid text, whatever the command wrote", "[exec]") {
  const auto executor = make_exec_executor({});
  CHECK(end_of(*executor, shell(R"(printf 'a\377b\tc\033\n' >&2; exit 1)")).cause ==
        "exit code 1: a\xEF\xBF\xBD"
        "b c ");
  const RunEnded flood = end_of(*executor, shell("yes e | head -c 5000000 >&2; exit 1"));
  CHECK(flood.cause == "exit code 1: e");
  const RunEnded wide =
      end_of(*executor, shell(R"(yes '\303\244' | head -4000 | tr -d '\n' >&2; exit 1)"));
  CHECK(wide.cause.size() <= cause_bytes_max);
  CHECK(clean_cause(std::string(511, 'x') + "\xC3\xA4") == std::string(511, 'x'));
}

TEST_CASE("what a command writes to stderr is for the node's log, too", "[exec]") {
  std::vector<std::string> lines;
  ExecSettings settings;
  settings.log = [&](const std::string& line) { lines.push_back(line); };
  auto exec = make_exec_executor(settings);
  CHECK(end_of(*exec, shell("echo one >&2; printf two >&2; echo 7")).output == "7");
  exec.reset();  // Its thread, which wrote the lines, has ended.
  CHECK(lines == std::vector<std::string>{"task tested: one", "task tested: two"});
}

TEST_CASE("a program that is not there fails the run and says so", "[exec]") {
  const auto executor = make_exec_executor({});
  const RunEnded ended = end_of(*executor, command({"forerun-no-such-program"}));
  CHECK(ended.ending == Ending::failed);
  CHECK(ended.cause == "cannot start forerun-no-such-program: No such file or directory");
  CHECK_THAT(end_of(*executor, command({"/"})).cause, StartsWith("cannot start /: "));
  CHECK(end_of(*executor, command({})).cause == "task tested: no command");
}

TEST_CASE("a node without its tasks folder loses the run but does not fail it", "[exec]") {
  const auto executor = make_exec_executor({.folder = "/forerun/no/such/folder"});
  const RunEnded ended = end_of(*executor, command({"true"}));
  CHECK(ended.ending == Ending::lost);
  CHECK_THAT(ended.cause, Contains("tasks folder"));
}

TEST_CASE("a command that closes its input without reading it may still answer", "[exec]") {
  const auto executor = make_exec_executor({});
  json::Object input;
  input.set("text", std::string(700'000, 'x'));
  const RunEnded ended = end_of(*executor, shell("exec 0<&-; echo true", input));
  CHECK(ended.ending == Ending::returned);
  CHECK(ended.output == "true");
}

TEST_CASE("a hung command is freed by its stop", "[exec]") {
  const bool use_pidfd = GENERATE(true, false);
  const test::TempDirectory folder;
  const Signpost signpost(folder.path());
  const auto executor =
      make_exec_executor({.kill_after = 60s, .use_pidfd = use_pidfd});  // SIGTERM must do.
  Started started(*executor, shell("echo $$ > " + signpost.path() + "; exec sleep 60"));
  const pid_t pid = std::stoi(signpost.wait());
  const auto stopped_at = RunClock::now();
  started.stop();
  started.stop();
  const RunEnded ended = started.end();
  CHECK(ended.ending == Ending::cancelled);
  CHECK(ended.dead_handles == 0);
  CHECK(started.ended_at() - stopped_at < 200ms);
  CHECK_FALSE(is_alive(pid));
}

TEST_CASE("a command that ignores SIGTERM is killed with its whole group", "[exec]") {
  const test::TempDirectory folder;
  const Signpost signpost(folder.path());
  const auto executor = make_exec_executor({.kill_after = 20ms});
  Started started(*executor, shell("trap '' TERM; sleep 60 & echo $! > " + signpost.path() +
                                   "; while :; do wait; done"));
  const pid_t child = std::stoi(signpost.wait());
  const auto stopped_at = RunClock::now();
  started.stop();
  const RunEnded ended = started.end();
  CHECK(ended.ending == Ending::cancelled);
  CHECK(ended.dead_handles == 0);
  CHECK(started.ended_at() - stopped_at >= 20ms);
  CHECK(started.ended_at() - stopped_at < 200ms);
  CHECK_FALSE(is_alive(child));
}

TEST_CASE("dropping the handle stops the command", "[exec]") {
  const auto executor = make_exec_executor({});
  Started started(*executor, command({"sleep", "60"}));
  started.forget();
  CHECK(started.end().ending == Ending::cancelled);
}

TEST_CASE("a stop after the end changes nothing", "[exec]") {
  const auto executor = make_exec_executor({});
  Started started(*executor, shell("echo 1"));
  CHECK(started.end().ending == Ending::returned);
  started.stop();
  CHECK(end_of(*executor, shell("echo 2")).output == "2");  // The stop was handled before this.
  CHECK(started.ends() == 1);
}

TEST_CASE("a grandchild that keeps stdout open neither hangs the run nor survives it", "[exec]") {
  const test::TempDirectory folder;
  const Signpost signpost(folder.path());
  const auto executor = make_exec_executor({});
  Started started(*executor, shell("sleep 60 & echo $! > " + signpost.path() + "; echo '[1]'"));
  const pid_t grandchild = std::stoi(signpost.wait());
  const RunEnded ended = started.end();
  CHECK(ended.ending == Ending::returned);
  CHECK(ended.output == "[1]");
  CHECK(ended.dead_handles == 0);
  CHECK(ended.latency < 1s);
  CHECK_FALSE(is_alive(grandchild));
}

TEST_CASE("a grandchild in a group of its own does not survive either", "[exec]") {
  const test::TempDirectory folder;
  const Signpost signpost(folder.path());
  const auto executor = make_exec_executor({.folder = folder.path().string()});
  // timeout(1) makes a group for itself and what it runs.
  Started started(*executor, shell("timeout 60 sh -c 'echo $$ > signpost; exec sleep 60' & wait"));
  const pid_t grandchild = std::stoi(signpost.wait());
  started.stop();
  const RunEnded ended = started.end();
  CHECK(ended.ending == Ending::cancelled);
  CHECK(ended.dead_handles == 0);
  CHECK_FALSE(is_alive(grandchild));
}

TEST_CASE("a grandchild that escapes into its own session is counted as a dead handle", "[exec]") {
  const test::TempDirectory folder;
  const Signpost signpost(folder.path());
  const auto executor = make_exec_executor({.folder = folder.path().string()});
  const RunEnded ended = end_of(
      *executor,
      shell("setsid sh -c 'echo > signpost; exec sleep 60' & read line < signpost; echo $!"));
  REQUIRE(ended.ending == Ending::returned);
  ::kill(std::stoi(ended.output), SIGKILL);
  CHECK(ended.dead_handles == 1);
}

TEST_CASE("a run without pidfds ends as well", "[exec]") {
  const auto executor = make_exec_executor({.use_pidfd = false});
  CHECK(end_of(*executor, shell("echo 1")).output == "1");
  CHECK(end_of(*executor, shell("exit 2")).cause == "exit code 2");
}

TEST_CASE("destroying the executor ends every command and reports it", "[exec]") {
  const test::TempDirectory folder;
  const Signpost signpost(folder.path());
  auto executor = make_exec_executor({});
  Started hung(*executor, shell("trap '' TERM; echo $$ > " + signpost.path() +
                                "; while :; do sleep 60; done"));
  Started other(*executor, command({"sleep", "60"}));
  const pid_t pid = std::stoi(signpost.wait());
  executor.reset();
  CHECK(hung.ends() == 1);
  CHECK(hung.end().ending == Ending::cancelled);
  CHECK(other.ends() == 1);
  CHECK_FALSE(is_alive(pid));
  hung.stop();  // The handle outlives the executor.
}

TEST_CASE("two hundred runs leave no descriptor and no process behind", "[exec]") {
  const auto executor = make_exec_executor({});
  CHECK(end_of(*executor, shell("echo 1")).output == "1");
  const std::size_t before = open_descriptors();
  for (int round = 0; round < 10; ++round) {
    std::vector<std::unique_ptr<Started>> runs;
    for (int i = 0; i < 5; ++i) {
      runs.push_back(std::make_unique<Started>(*executor, shell("echo 1")));
      runs.push_back(std::make_unique<Started>(*executor, shell("sleep 60 & exit 1")));
      runs.push_back(std::make_unique<Started>(*executor, command({"forerun-no-such-program"})));
      runs.push_back(std::make_unique<Started>(*executor, command({"sleep", "60"})));
      runs.back()->stop();
    }
    for (const auto& run : runs) {
      CHECK(run->end().dead_handles == 0);
    }
  }
  CHECK(open_descriptors() == before);
  const std::string children = "/proc/self/task/" + std::to_string(::getpid()) + "/children";
  std::ifstream file(children);
  std::string left;
  std::getline(file, left);
  CHECK(left.empty());
}

TEST_CASE("exec figures", "[.figures]") {
  constexpr int rounds = 300;
  const auto executor = make_exec_executor({});
  const test::TempDirectory folder;
  const Signpost signpost(folder.path());
  std::vector<Duration> whole;
  std::vector<Duration> freed;
  std::vector<Duration> stubborn;
  std::vector<Duration> bare;
  for (int i = 0; i < rounds; ++i) {
    const auto bare_started = RunClock::now();
    const auto child =
        start_command({.words = {"/bin/echo", "1"}, .environment = {}, .folder = "/"}, false);
    REQUIRE(child);
    REQUIRE(reap_leader(child->pid));
    bare.push_back(run_time_since(bare_started));
    whole.push_back(end_of(*executor, command({"/bin/echo", "1"})).latency);
    for (const bool ignores : {false, true}) {
      const std::string trap = ignores ? "trap '' TERM; " : "";
      Started started(*executor, shell(trap + "echo 1 > " + signpost.path() + "; exec sleep 60"));
      signpost.wait();
      const auto stopped_at = RunClock::now();
      started.stop();
      (ignores ? stubborn : freed)
          .push_back(std::chrono::duration_cast<Duration>(started.ended_at() - stopped_at));
    }
  }
  for (const auto& [name, times] :
       {std::pair{"bare spawn and wait", bare}, std::pair{"start to end", whole},
        std::pair{"stop to free", freed}, std::pair{"stop to free, SIGTERM ignored", stubborn}}) {
    std::printf("%-30s p50 %6.2f ms  p99 %6.2f ms\n", name, milliseconds_of(percentile(times, 0.5)),
                milliseconds_of(percentile(times, 0.99)));
  }
}

// ---- native
// ----------------------------------------------------------------------------------------

TEST_CASE("a function gets input, state and outside key, and its value is returned", "[native]") {
  NativeFunctions functions;
  functions["join"] = [](const NativeCall& call) -> Result<json::Value> {
    json::Object output;
    output.set("input", call.input);
    output.set("key", call.outside_key);
    output.set("state", call.state);
    return output;
  };
  const auto executor = make_native_executor(std::move(functions), 1);
  json::Object input;
  input.set("a", 1);
  Task task;
  task.name = "named";
  task.function = "join";
  Run run = run_of(task, input);
  run.outside_key = "k";
  run.state = json::Array{1, 2};
  const RunEnded ended = end_of(*executor, run);
  CHECK(ended.ending == Ending::returned);
  CHECK(ended.output == R"({"input":{"a":1},"key":"k","state":[1,2]})");
}

TEST_CASE("what a function throws or returns as error becomes the cause", "[native]") {
  struct Bad {
    NativeFunction function;
    std::string cause;
  };
  const std::vector<Bad> bad = {
      {[](const NativeCall&) -> Result<json::Value> { throw std::runtime_error("no luck"); },
       "exception: no luck"},
      {[](const NativeCall&) -> Result<json::Value> { throw 1; }, "exception of an unknown type"},
      {[](const NativeCall&) -> Result<json::Value> { return fail(Errc::invalid, "no key"); },
       "no key"},
      {[](const NativeCall&) -> Result<json::Value> { return std::string(output_bytes_max, 'x'); },
       "output larger than 1048576 bytes"},
      {[](const NativeCall&) -> Result<json::Value> { return std::stod("inf"); },
       "output: a number that is not finite"},
      {[](const NativeCall&) -> Result<json::Value> { return json::Array{"\xED\xA0\x80"}; },
       "output: a text that is not UTF-8"},
      {[](const NativeCall&) -> Result<json::Value> {
         json::Value value;
         for (std::size_t i = 0; i <= json::depth_max; ++i) {
           json::Array outer;
           outer.push_back(std::move(value));
           value = std::move(outer);
         }
         return value;
       },
       "output: nested deeper than 64"},
  };
  for (const Bad& one : bad) {
    const auto executor = make_native_executor(one_function(one.function), 1);
    const RunEnded ended = end_of(*executor, native());
    CHECK(ended.ending == Ending::failed);
    CHECK(ended.cause == one.cause);
  }
}

TEST_CASE("a function that is not registered fails the run and suggests a near one", "[native]") {
  const auto executor = make_native_executor(make_demo_functions("unused", 1), 1);
  Task task;
  task.name = "demo.classify_fats";
  const RunEnded ended = end_of(*executor, run_of(task));
  CHECK(ended.ending == Ending::failed);
  CHECK(ended.cause ==
        "native: function demo.classify_fats is not registered in this node's program, "
        "did you mean demo.classify_fast");
}

TEST_CASE("a stopped function is reported when its thread is free, not before", "[native]") {
  std::promise<void> is_running;
  std::promise<void> saw_stop;
  std::promise<void> may_return;
  const auto executor = make_native_executor(
      one_function([&](const NativeCall& call) -> Result<json::Value> {
        const std::stop_callback on_stop(call.stop, [&] { saw_stop.set_value(); });
        is_running.set_value();
        may_return.get_future().wait();  // Ignores its token.
        return 1;
      }),
      1);
  Started started(*executor, native());
  is_running.get_future().wait();
  started.stop();
  saw_stop.get_future().wait();
  CHECK(started.ends() == 0);
  may_return.set_value();
  const RunEnded ended = started.end();
  CHECK(ended.ending == Ending::cancelled);
  CHECK(ended.output.empty());
}

TEST_CASE("a run that waits for a thread is stopped without one", "[native]") {
  std::promise<void> may_return;
  const auto waiting = may_return.get_future().share();
  std::latch are_running(2);
  const auto executor =
      make_native_executor(one_function([&](const NativeCall&) -> Result<json::Value> {
                             are_running.count_down();
                             waiting.wait();
                             return 1;
                           }),
                           2);
  Started first(*executor, native());
  Started second(*executor, native());
  are_running.wait();  // Both threads at once.
  Started queued(*executor, native());
  queued.stop();
  CHECK(queued.end().ending == Ending::cancelled);
  CHECK(first.ends() == 0);
  may_return.set_value();
  CHECK(first.end().ending == Ending::returned);
  CHECK(second.end().ending == Ending::returned);
}

TEST_CASE("runs beyond the queue's limit are lost at once, not failed", "[native]") {
  std::promise<void> is_running;
  std::promise<void> may_return;
  std::atomic<bool> is_first = true;
  const auto released = may_return.get_future().share();
  const auto executor =
      make_native_executor(one_function([&](const NativeCall&) -> Result<json::Value> {
                             if (is_first.exchange(false)) {
                               is_running.set_value();
                               released.wait();
                             }
                             return 1;
                           }),
                           1);
  Started running(*executor, native());
  is_running.get_future().wait();
  std::vector<std::unique_ptr<Started>> queued;
  for (int i = 0; i < 4096; ++i) {
    queued.push_back(std::make_unique<Started>(*executor, native()));
  }
  CHECK(end_of(*executor, native()).ending == Ending::lost);
  may_return.set_value();
  for (const auto& run : queued) {
    CHECK(run->end().ending == Ending::returned);
  }
}

TEST_CASE("destroying the native executor stops and reports what runs and what waits", "[native]") {
  std::promise<void> is_running;
  auto executor =
      make_native_executor(one_function([&](const NativeCall& call) -> Result<json::Value> {
                             std::mutex mutex;
                             std::condition_variable_any changed;
                             std::unique_lock lock(mutex);
                             is_running.set_value();
                             changed.wait(lock, call.stop, [] { return false; });
                             return 1;
                           }),
                           1);
  Started running(*executor, native());
  is_running.get_future().wait();
  Started queued(*executor, native());
  executor.reset();
  CHECK(running.ends() == 1);
  CHECK(running.end().ending == Ending::cancelled);
  CHECK(queued.ends() == 1);
  CHECK(queued.end().ending == Ending::cancelled);
  running.stop();
}

// ---- world
// -----------------------------------------------------------------------------------------

namespace {

Run timed(const std::string& answer, int latency_ms) {
  Task task;
  task.name = answer;
  json::Object input;
  input.set("latency", latency_ms);
  return run_of(task, input);
}

std::unique_ptr<Executor> timed_executor() {
  return make_timed_executor([](const Run& run) -> Result<TimedAnswer> {
    const double latency = *run.call.input().find("latency")->number();
    if (latency < 0) {
      return fail(Errc::not_found, "world: not recorded");
    }
    return TimedAnswer{json::canonical(run.task.name),
                       std::chrono::milliseconds(static_cast<int>(latency))};
  });
}

}  // namespace

TEST_CASE("answers come in the order of their latencies", "[world]") {
  const auto executor = timed_executor();
  Started slow(*executor, timed("slow", 60));
  Started fast(*executor, timed("fast", 20));
  Started none(*executor, timed("none", 0));
  CHECK(slow.ended_at() > fast.ended_at());
  CHECK(fast.ended_at() > none.ended_at());
  CHECK(slow.end().output == "\"slow\"");
  CHECK(slow.end().latency >= 60ms);
  CHECK(fast.end().latency >= 20ms);
}

TEST_CASE("a stopped answer is cancelled at once", "[world]") {
  const auto executor = timed_executor();
  Started slow(*executor, timed("slow", 3'600'000));
  Started other(*executor, timed("other", 3'600'000));
  slow.stop();
  slow.stop();
  CHECK(slow.end().ending == Ending::cancelled);
  CHECK(slow.end().output.empty());
  CHECK(slow.end().latency < 1s);
  CHECK(other.ends() == 0);
}

TEST_CASE("what the world does not know fails the run with its message", "[world]") {
  const auto executor = timed_executor();
  const RunEnded ended = end_of(*executor, timed("x", -1));
  CHECK(ended.ending == Ending::failed);
  CHECK(ended.cause == "world: not recorded");
}

TEST_CASE("destroying the timer reports what it held", "[world]") {
  auto executor = timed_executor();
  Started slow(*executor, timed("slow", 3'600'000));
  executor.reset();
  CHECK(slow.ends() == 1);
  CHECK(slow.end().ending == Ending::cancelled);
  slow.stop();
}

TEST_CASE("a recorded world answers a confirmed step and marks what it never saw", "[world]") {
  TraceSession session;
  session.name = "s";
  json::Object input;
  input.set("q", 1);
  TraceStep step{.call = Call::make("ask", input),
                 .output = json::Array{"yes"},
                 .latency = {},
                 .think = {},
                 .texts = {}};
  step.latency = 10ms;
  session.steps.push_back(step);
  const auto world =
      std::make_shared<const RecordedWorld>(std::vector{session}, ReadOnlyTasks::all(), 1, 1000.0);
  const auto executor = make_world_executor(world);
  Task task;
  task.name = "ask";
  Run run = run_of(task, input);
  CHECK_THAT(end_of(*executor, run).cause, Contains("no recorded world"));
  run.world = WorldPosition{.session = "s", .committed = 0, .step = 0};
  CHECK(end_of(*executor, run).output == R"(["yes"])");
  input.set("q", 2);
  Run unknown = run_of(task, input);
  unknown.world = WorldPosition{.session = "s", .committed = 0, .step = {}};
  CHECK_THAT(end_of(*executor, unknown).output, Contains("forerun_marker"));
  unknown.world->session = "t";
  CHECK(end_of(*executor, unknown).ending == Ending::failed);
}

// ---- demo functions
// --------------------------------------------------------------------------------

namespace {

class Demo {
public:
  std::string call(const std::string& name, const std::string& input, const std::string& key = {}) {
    const RunEnded ended = start(name, input, key)->end();
    return ended.ending == Ending::returned ? ended.output : ended.cause;
  }
  std::unique_ptr<Started> start(const std::string& name, const std::string& input,
                                 const std::string& key = {}) {
    Task task;
    task.name = name;
    Run run = run_of(task, *json::parse(input)->object());
    run.outside_key = key;
    return std::make_unique<Started>(*executor_, std::move(run));
  }

private:
  test::TempDirectory folder_;
  std::unique_ptr<Executor> executor_ =
      make_native_executor(make_demo_functions(folder_.path() / "store", 1000), 4);
};

}  // namespace

TEST_CASE("the demo store counts versions and writes once for each outside key", "[demo]") {
  Demo demo;
  CHECK(demo.call("demo.store_get", R"({"key":"a/b"})") == R"({"value":null,"version":0})");
  CHECK(demo.call("demo.store_put", R"({"key":"a/b","value":[1]})", "k1") == R"({"version":1})");
  CHECK(demo.call("demo.store_put", R"({"key":"a/b","value":[2]})", "k2") == R"({"version":2})");
  CHECK(demo.call("demo.store_put", R"({"key":"a/b","value":[1]})", "k1") == R"({"version":1})");
  CHECK(demo.call("demo.store_get", R"({"key":"a/b"})") == R"({"value":[2],"version":2})");
  CHECK(demo.call("demo.store_get", R"({"key":"other"})") == R"({"value":null,"version":0})");
  CHECK(demo.call("demo.store_get", "{}") == "demo.store_get: key: absent, expected a string");
  CHECK(demo.call("demo.store_put", R"({"key":"a"})") ==
        "demo.store_put: value: absent, expected any value");
}

TEST_CASE("puts side by side lose no version", "[demo]") {
  Demo demo;
  std::vector<std::unique_ptr<Started>> puts;
  for (int i = 0; i < 40; ++i) {
    puts.push_back(demo.start("demo.store_put", R"({"key":"a","value":1})", std::to_string(i)));
  }
  for (const auto& put : puts) {
    CHECK(put->end().ending == Ending::returned);
  }
  CHECK(demo.call("demo.store_get", R"({"key":"a"})") == R"({"value":1,"version":40})");
}

TEST_CASE("the demo classifiers answer alike for a text and differ from each other", "[demo]") {
  Demo demo;
  const std::string fast = demo.call("demo.classify_fast", R"({"text":"late parcel"})");
  CHECK_THAT(fast, StartsWith(R"({"by":"fast","confidence":0.)"));
  CHECK(demo.call("demo.classify_fast", R"({"n":1,"text":"late parcel"})") == fast);
  CHECK(demo.call("demo.classify_fast", R"({"text":"other"})") != fast);
  CHECK(demo.call("demo.classify_slow", R"({"text":"late parcel"})") != fast);
  CHECK_THAT(demo.call("demo.classify_rules", "{}"), StartsWith(R"({"by":"rules")"));
}

TEST_CASE("a stopped put writes nothing", "[demo]") {
  const test::TempDirectory folder;
  const auto functions = make_demo_functions(folder.path(), 0.0001);
  std::stop_source stop;
  stop.request_stop();
  json::Object input;
  input.set("key", "a");
  input.set("value", 1);
  const json::Value state;
  CHECK_FALSE(functions.at("demo.store_put")(NativeCall{input, state, "k", stop.get_token()}));
  CHECK(std::filesystem::is_empty(folder.path()));
}
