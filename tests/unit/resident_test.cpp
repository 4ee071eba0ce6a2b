#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "node/executors/executor.hpp"
#include "tests/support/started_run.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

/// A resident that does what its input's `do` says.
constexpr const char* program = R"(
import json, os, sys, time
print('{"ready":true}', flush=True)
def say(text): print(text, flush=True)
for line in sys.stdin:
    call = json.loads(line)
    if "cancel" in call: continue
    what = call["input"].get("do", "")
    if what == "text": say("hello")
    elif what == "utf8": os.write(1, b'{"id":%d,"output":"\xff"}\n' % call["id"])
    elif what == "huge": say('{"id":%d,"output":1e999}' % call["id"])
    elif what == "large": say('{"id":%d,"output":"%s"}' % (call["id"], "x" * 5000))
    elif what == "endless":
        while True: os.write(1, b"x" * 65536)
    elif what == "exit": sys.exit(3)
    elif what == "crash": os.kill(os.getpid(), 11)
    elif what == "hang": open(call["input"]["mark"], "w").write("x"); time.sleep(60)
    elif what == "close": os.close(1); time.sleep(60)
    elif what == "id": say('{"id":99,"output":1}')
    elif what == "error": say(json.dumps({"id": call["id"], "error": "no such order"}))
    elif what == "honour": sys.stdin.readline(); say(json.dumps({"id": call["id"], "cancelled": True}))
    elif what == "last": say('{"id":%d,"output":[0,%d],"last":true}' % (call["id"], os.getpid())); time.sleep(60)
    elif what == "not last": say('{"id":%d,"output":0,"last":1}' % call["id"])
    elif what == "envelope":
        n = call.get("state", {}).get("n", 0)
        say(json.dumps({"id": call["id"], "output": call.get("state"), "writes": {"n": n + 1}}))
    else: say(json.dumps({"id": call["id"], "output": [call["task"], os.getpid()]}))
)";

Run asked(const std::string& what, const std::string& name = "tool") {
  Task task;
  task.name = name;
  task.effect = Effect::read;
  task.command = {"python3", "-c", program};
  task.sandbox = false;
  task.exec.resident = true;
  task.exec.limits.output_kb = 4;
  json::Object input;
  input.set("do", what);
  return test::run_of(std::move(task), std::move(input));
}

RunEnded end_of(Executor& executor, Run run) {
  return test::StartedRun(executor, std::move(run)).end();
}

std::string pid_in(const RunEnded& ended) {
  return ended.output.substr(ended.output.find(',') + 1);
}

}  // namespace

TEST_CASE("tasks that share a program share its resident, tenants never do", "[resident]") {
  const auto executor = make_exec_executor({});
  const RunEnded first = end_of(*executor, asked(""));
  const RunEnded other = end_of(*executor, asked("", "other"));
  CHECK_THAT(first.output, Contains("[\"tool\","));
  CHECK_THAT(other.output, Contains("[\"other\","));
  CHECK(pid_in(first) == pid_in(other));
  Run stranger = asked("");
  stranger.tenant = "stranger";
  CHECK(pid_in(end_of(*executor, stranger)) != pid_in(first));
}

TEST_CASE("what a resident does wrong fails its call, and the next one is answered", "[resident]") {
  struct Bad {
    const char* what;
    const char* cause;
  };
  const auto bad = GENERATE(values<Bad>({{"text", "answer: json"},
                                         {"utf8", "UTF-8"},
                                         {"huge", "double's range"},
                                         {"large", "larger than"},
                                         {"endless", "larger than"},
                                         {"exit", "exit code 3"},
                                         {"crash", "signal 11"},
                                         {"close", "closed its stdout"},
                                         {"id", "id 99"},
                                         {"not last", "last is not true"},
                                         {"error", "no such order"}}));
  const auto executor = make_exec_executor({});
  const RunEnded ended = end_of(*executor, asked(bad.what));
  INFO(bad.what);
  CHECK(ended.ending == Ending::failed);
  CHECK_THAT(ended.cause, Contains(bad.cause));
  CHECK(ended.dead_handles == 0);
  CHECK(end_of(*executor, asked("")).ending == Ending::returned);
}

TEST_CASE("a resident that honours a cancellation stays, one that does not is replaced",
          "[resident]") {
  const auto executor = make_exec_executor({});
  const std::string before = pid_in(end_of(*executor, asked("")));
  // Stopped before its call was sent, it would stay: it says so through a pipe.
  const test::TempDirectory folder;
  const std::string mark = (folder.path() / "mark").string();
  REQUIRE(::mkfifo(mark.c_str(), 0600) == 0);
  const int pipe = ::open(mark.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(pipe >= 0);
  Run hanging = asked("hang");
  json::Object input = hanging.call.input();
  input.set("mark", mark);
  hanging.call = Call::make(hanging.call.task(), std::move(input));
  test::StartedRun hung(*executor, std::move(hanging));
  pollfd has_call{pipe, POLLIN, 0};
  REQUIRE(::poll(&has_call, 1, 20'000) == 1);
  ::close(pipe);
  hung.stop();
  CHECK(hung.end().ending == Ending::cancelled);
  const std::string after = pid_in(end_of(*executor, asked("")));
  CHECK(after != before);
}

TEST_CASE("a resident that says that an answer is its last gets no other call", "[resident]") {
  const auto executor = make_exec_executor({});
  const RunEnded last = end_of(*executor, asked("last"));
  CHECK(last.ending == Ending::returned);
  const RunEnded next = end_of(*executor, asked(""));
  CHECK(next.ending == Ending::returned);
  CHECK(pid_in(next) != pid_in(last));
}

TEST_CASE("a resident's envelope brings state in, and writes and effects out", "[resident]") {
  const auto executor = make_exec_executor({});
  json::Object state;
  state.set("n", 1);
  Run run = asked("envelope");
  run.task.envelope = true;
  run.state = std::move(state);
  const RunEnded ended = end_of(*executor, std::move(run));
  CHECK(ended.cause.empty());
  CHECK(ended.output == R"({"n":1})");
  CHECK(ended.writes == R"({"n":2})");
  const RunEnded refused = end_of(*executor, asked("envelope"));
  CHECK(refused.ending == Ending::failed);
  CHECK_THAT(refused.cause, Contains("expected only of a task with envelope = true"));
  Run plain = asked("");
  plain.task.envelope = true;
  CHECK(end_of(*executor, std::move(plain)).ending == Ending::returned);
}
