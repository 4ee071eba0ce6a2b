#include "node/executors/sandbox.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "node/executors/executor.hpp"
#include "node/executors/outcome.hpp"
#include "node/executors/sandbox_arguments.hpp"
#include "tests/support/http_server.hpp"
#include "tests/support/started_run.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

/// A tasks folder, a node's data folder inside it, and an executor with this machine's sandbox.
class Place {
public:
  Place() {
    ::chmod(folder_.path().c_str(), 0755);
    std::ofstream(folder_.path() / "given") << "given";
    if (::geteuid() == 0) {
      // Root's commands run as nobody, whom only its own files let change their copies.
      constexpr uid_t nobody = 65534;
      REQUIRE(::chown((folder_.path() / "given").c_str(), nobody, nobody) == 0);
    }
    std::filesystem::create_directory(data());
    std::ofstream(data() / "secret") << "secret";
    sandbox_ = std::make_shared<const Sandbox>(Sandbox::probe(
        {.helper = FORERUN_SANDBOX_HELPER, .bwrap = {}, .hidden = {data().string()}}));
    ExecSettings settings;
    settings.folder = folder_.path().string();
    settings.sandbox = sandbox_;
    executor_ = make_exec_executor(settings);
  }
  /// False, said aloud, where this machine has no sandbox to test.
  bool is_usable() const {
    if (!sandbox_->is_usable()) {
      WARN("SKIPPED, since this machine has no usable sandbox: " << sandbox_->why());
    }
    return sandbox_->is_usable();
  }
  std::filesystem::path folder() const { return folder_.path(); }
  std::filesystem::path data() const { return folder_.path() / "data"; }
  Executor& executor() { return *executor_; }
  static Task shell(const std::string& script) {
    Task task;
    task.name = "tested";
    task.effect = Effect::read;
    task.command = {"sh", "-c", script};
    return task;
  }
  RunEnded end_of(Task task) {
    return test::StartedRun(*executor_, test::run_of(std::move(task))).end();
  }
  /// "yes" if the command succeeds in the sandbox, "no" if it fails.
  std::string can(const std::string& command) {
    const RunEnded ended = end_of(
        shell("if (" + command + ") >/dev/null 2>&1; then echo '\"yes\"'; else echo '\"no\"'; fi"));
    return ended.ending == Ending::returned ? ended.output : ended.cause;
  }

private:
  test::TempDirectory folder_;
  std::shared_ptr<const Sandbox> sandbox_;
  std::unique_ptr<Executor> executor_;
};

/// A `sleep` of this program alone: other runs of these tests on the machine have theirs.
std::string long_sleep() {
  return "sleep " + std::to_string(1'000'000 + ::getpid());
}

/// A command as /proc has it.
std::string line_of(std::string command) {
  std::replace(command.begin(), command.end(), ' ', '\0');
  return command + '\0';
}

/// Of a process that has memory, and so may run; else empty. One that ends while it is read has
/// none: the error of that read is the stream's, where an iterator over its buffer would throw it.
std::string command_line_of(const std::filesystem::path& process) {
  std::ifstream file(process / "cmdline");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Processes with this command line.
std::size_t running(const std::string& line) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    count += command_line_of(entry.path()) == line ? 1 : 0;
  }
  return count;
}

/// Children of this process that have ended and were not waited for.
std::size_t dead_children() {
  std::ifstream children("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  std::size_t count = 0;
  for (int child = 0; children >> child;) {
    std::ifstream file("/proc/" + std::to_string(child) + "/stat");
    std::string text;
    std::getline(file, text);
    const std::size_t name_end = text.rfind(')');
    count += name_end != std::string::npos && text.compare(name_end, 3, ") Z") == 0 ? 1 : 0;
  }
  return count;
}

/// The one process with this command line.
int one_running(const std::string& line) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    if (command_line_of(entry.path()) == line) {
      return std::stoi(entry.path().filename());
    }
  }
  return 0;
}

/// As the sandbox's helper would mount one, tried with the system's own tools.
bool kernel_allows_overlays() {
  test::TempDirectory folder;
  ::chmod(folder.path().c_str(), 0777);
  const std::string at = folder.path().string();
  const std::string script = "mount -t tmpfs none " + at + " && cd " + at +
                             " && mkdir l u w v && mount -t overlay -o "
                             "lowerdir=l,upperdir=u,workdir=w,userxattr overlay v";
  return std::system(
             ("unshare --user --map-root-user --mount sh -c '" + script + "' >/dev/null 2>&1")
                 .c_str()) == 0;
}

}  // namespace

TEST_CASE("without a usable sandbox a task that wants one is refused with what to do",
          "[sandbox]") {
  const auto executor = make_exec_executor({});
  const RunEnded ended = test::StartedRun(*executor, test::run_of(Place::shell("echo 1"))).end();
  CHECK(ended.ending == Ending::lost);
  CHECK_THAT(ended.cause, Contains("no usable sandbox") && Contains("sandbox = false"));
  const Sandbox none = Sandbox::probe({.helper = "/nowhere", .bwrap = "/nowhere", .hidden = {}});
  CHECK_THAT(none.why(), Contains("apt-get install bubblewrap"));
}

TEST_CASE("nothing of the machine can be reached from a sandbox", "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  const std::string data = place.data().string();
  const std::string node = std::to_string(::getpid());
  CHECK(place.can("cat given") == "\"yes\"");
  for (const std::string& escape : std::vector<std::string>{
           "cat /etc/shadow", "cat " + data + "/secret", "ls " + data, "touch /usr/x",
           "touch /etc/x", "touch /x", "touch /dev/x",
           "test -e /proc/" + node + "/environ && test " + node + " -gt 100", "kill -0 " + node,
           "mount -t tmpfs none /tmp", "unshare -U true", "unshare -n true", "chroot / true",
           "ls /proc/self/fd | grep -q 4",
           "python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)'",
           "python3 -c 'import socket; socket.socket(40, 1, 0)'", "ln -s /etc/shadow l && cat l",
           "ln -s " + data + "/secret l && cat l",
           "test $(grep CapEff /proc/self/status | cut -f2) != 0000000000000000"}) {
    INFO(escape);
    CHECK(place.can(escape) == "\"no\"");
  }
}

TEST_CASE("a sandbox has no network but its own, unless its task declares one", "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  const test::HttpServer server(
      [](const test::HttpRequestSeen&, test::HttpConnection& to) { to.answer(200, "1"); });
  const std::string port = server.url().substr(server.url().rfind(':') + 1);
  Task connects =
      Place::shell("python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", " + port +
                   "), 5)' && echo 1");
  CHECK(place.end_of(connects).ending == Ending::failed);
  CHECK(server.connections() == 0);
  connects.exec.network = true;
  CHECK(place.end_of(connects).output == "1");  // So what failed above was no mistake of the test.
}

TEST_CASE("a sandbox inherits no descriptor, not even one that lacks close-on-exec", "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  constexpr int high = 57;
  const int file = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  REQUIRE(::dup2(file, high) == high);  // Without close-on-exec.
  CHECK(place.can("test -e /proc/self/fd/57") == "\"no\"");
  Task bare = Place::shell("test -e /proc/self/fd/57 || echo 1");
  bare.sandbox = false;
  CHECK(place.end_of(bare).output == "1");
  ::close(high);
  ::close(file);
}

TEST_CASE("all that a sandbox shows of the machine is mounted read-only", "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  // Whoever the command runs as: its rights are not what keeps it from writing.
  const RunEnded ended = place.end_of(Place::shell(
      "awk '$6 !~ /^ro/ { printf \"%s \", $5 }' /proc/self/mountinfo | sed 's/.*/\"&\"/'"));
  REQUIRE(ended.ending == Ending::returned);
  std::istringstream writable(ended.output.substr(1, ended.output.size() - 2));
  const std::set<std::string> allowed = {place.folder().string(), sandbox_home, "/dev/shm",
                                         "/dev/pts", "/proc"};
  for (std::string path; writable >> path;) {
    INFO(path);
    const bool is_device = path.starts_with("/dev/");
    CHECK((allowed.contains(path) || is_device));
  }
  CHECK(ended.output.find(place.folder().string()) != std::string::npos);
}

TEST_CASE("two branches side by side cannot see or touch each other", "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  // The other one is the same user's, and has told where it is as the machine sees it.
  test::StartedRun other(place.executor(), test::run_of(Place::shell("exec " + long_sleep())));
  const std::string line = line_of(long_sleep());
  const auto until = RunClock::now() + 20s;
  while (running(line) == 0 && RunClock::now() < until) {
    ::usleep(1000);
  }
  REQUIRE(running(line) == 1);
  const std::string pid = std::to_string(one_running(line));
  for (const std::string& touch :
       {"kill -0 " + pid, "test -e /proc/" + pid + "/mem",
        "python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(16, " + pid +
            ", 0, 0) != 0)'"}) {
    INFO(touch);
    CHECK(place.can(touch) == "\"no\"");
  }
  other.stop();
  CHECK(other.end().ending == Ending::cancelled);
}

TEST_CASE("the work folder is an overlay where the kernel allows one, and a copy is as private",
          "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  const std::string type =
      "awk '$5 == \"" + place.folder().string() +
      "\" { for (i = 7; i <= NF; ++i) if ($i == \"-\") print \"\\\"\" $(i + 1) "
      "\"\\\"\" }' /proc/self/mountinfo";
  if (kernel_allows_overlays()) {
    CHECK(place.end_of(Place::shell(type)).output == "\"overlay\"");
  } else {
    WARN("SKIPPED, since this kernel allows no overlay in a user namespace");
  }
  Task copied = Place::shell(type);
  copied.exec.environment["FORERUN_SANDBOX_COPY"] = "1";
  CHECK(place.end_of(copied).output == "\"tmpfs\"");
  copied.command.back() = "echo x > given; echo y > new; cat given new | tr -d '\\n'";
  copied.command.back() += " | sed 's/.*/\"&\"/'";
  CHECK(place.end_of(copied).output == "\"xy\"");
  CHECK(place.can("grep -q given given && ! test -e new") == "\"yes\"");
}

TEST_CASE("the secrets of http tasks are hidden from commands, also if they share a user",
          "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  const auto secrets = place.folder() / "secrets";
  std::filesystem::create_directory(secrets);
  std::ofstream(secrets / "key") << "sk-1";
  for (const std::string& look : std::vector<std::string>{
           "cat secrets/key", "ls secrets", "mv secrets s && cat s/key",
           "ln -s secrets s && cat s/key", "chmod 755 secrets && cat secrets/key",
           "rmdir secrets && cat secrets/key"}) {
    INFO(look);
    CHECK(place.can(look) == "\"no\"");
  }
  CHECK(place.can("cat given") == "\"yes\"");
  Task within = place.shell("cat key");
  within.exec.workdir = "secrets";
  CHECK_THAT(place.end_of(within).cause, Contains("which no command may see"));
}

TEST_CASE("what a branch writes is gone with it, in scratch and in its work folder", "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  CHECK(place
            .end_of(Place::shell("echo x > given; echo y > new; echo z > /tmp/left; echo w > "
                                 "$HOME/left2; cat given new /tmp/left | tr -d '\\n' | "
                                 "sed 's/.*/\"&\"/'"))
            .output == "\"xyz\"");
  CHECK(place.can("grep -q given given && ! test -e new && ! test -e /tmp/left") == "\"yes\"");
  CHECK_FALSE(std::filesystem::exists(place.folder() / "new"));
}

TEST_CASE("what is readable in the work folder is shown over its view, which may be a copy",
          "[sandbox]") {
  Task task = Place::shell("true");
  task.exec.readable = {"/srv", "/srv/work/shared", "/srv/workshop"};
  const SandboxSite site{
      .helper = "h", .bwrap = "b", .stage = "/stage", .system = {}, .hidden = {}};
  const auto words = sandbox_words(site, task, "/srv/work");
  REQUIRE(words);
  const auto place_of = [&](const std::string& path) {
    return std::find(words->begin(), words->end(), path) - words->begin();
  };
  const auto view = place_of("/stage/view");
  CHECK(place_of("/srv") < view);
  CHECK(place_of("/srv/workshop") < view);
  CHECK(view < place_of("/srv/work/shared"));
  CHECK(place_of("/srv/work/shared") < static_cast<std::ptrdiff_t>(words->size()));
}

TEST_CASE("a sandbox bounds memory, processes, files and output", "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  Task memory = Place::shell("exec python3 -c 'bytearray(300 << 20)'");
  memory.exec.limits.memory_mb = 100;
  CHECK_THAT(place.end_of(memory).cause, Contains("MemoryError"));
  Task processes = Place::shell("for i in $(seq 60); do sleep 60 & done; echo 1");
  processes.exec.limits.processes = 10;
  const RunEnded forked = place.end_of(processes);
  CHECK(forked.ending == Ending::failed);
  CHECK_THAT(forked.cause, Contains("fork"));
  CHECK(forked.dead_handles == 0);
  Task file = Place::shell("exec head -c 3000000 /dev/zero > /tmp/large");
  file.exec.limits.file_mb = 1;
  CHECK_THAT(place.end_of(file).cause, Contains("file_mb"));
  Task scratch =
      Place::shell("for i in 1 2 3 4; do head -c 900000 /dev/zero > /tmp/f$i || exit 7; done");
  scratch.exec.limits.scratch_mb = 2;
  CHECK_THAT(place.end_of(scratch).cause, Contains("exit code 7"));
  Task output = Place::shell("exec yes");
  output.exec.limits.output_kb = 1;
  CHECK(place.end_of(output).cause == "output larger than 1024 bytes");
  Task spin = Place::shell("while :; do :; done");
  spin.exec.limits.cpu_s = 1;
  CHECK_THAT(place.end_of(spin).cause, Contains("the limit cpu_s"));
}

TEST_CASE("a node that is a container's first process does not collect the dead", "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  // Orphans become its children, as a container's first process has them. A sandbox's first process
  // is one when its leader dies before it.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const auto cancel_one = [&] {
    test::StartedRun run(place.executor(), test::run_of(Place::shell(long_sleep())));
    ::usleep(15'000);
    run.stop();
    REQUIRE(run.end().ending == Ending::cancelled);
  };
  std::size_t most = 0;
  for (int i = 0; i < 200; ++i) {
    cancel_one();
    most = std::max(most, dead_children());
  }
  const auto until = RunClock::now() + 20s;
  std::size_t left = dead_children();
  while (left > 1 && RunClock::now() < until) {
    cancel_one();
    left = dead_children();
  }
  CHECK(left <= 1);  // The last one's, until there is another.
  CHECK(most <= 64);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_CASE("three hundred cancelled branches leave no process and no descriptor", "[sandbox]") {
  Place place;
  if (!place.is_usable()) {
    return;
  }
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  place.end_of(Place::shell("echo 1"));
  const auto before = descriptors();
  std::vector<Duration> freed;
  for (int i = 0; i < 300; ++i) {
    test::StartedRun run(
        place.executor(),
        test::run_of(Place::shell("setsid " + long_sleep() + " & trap '' TERM; " + long_sleep())));
    ::usleep(i % 3 == 0 ? 0 : 15'000);
    const auto stopped = RunClock::now();
    run.stop();
    const RunEnded ended = run.end();
    freed.push_back(run_time_since(stopped));
    REQUIRE(ended.ending == Ending::cancelled);
    REQUIRE(ended.dead_handles == 0);
    REQUIRE(running(line_of(long_sleep())) == 0);
  }
  // The kernel removes the last ones' namespaces; their leaders are reaped then.
  const auto until = RunClock::now() + 10s;
  while (descriptors() != before && RunClock::now() < until) {
    ::usleep(1000);
  }
  CHECK(descriptors() == before);
  std::sort(freed.begin(), freed.end());
  std::printf("sandboxed command freed: p50 %.2f ms, p99 %.2f ms\n", milliseconds_of(freed[150]),
              milliseconds_of(freed[297]));
}
