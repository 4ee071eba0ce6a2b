#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "node/executors/cgroup_place.hpp"
#include "node/executors/cgroups.hpp"
#include "node/executors/executor.hpp"
#include "node/executors/sandbox.hpp"
#include "node/executors/sandbox_arguments.hpp"
#include "tests/support/started_run.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;

namespace {

constexpr const char* hybrid_mounts =
    "23 28 0:21 / /sys rw,relatime - sysfs sysfs rw\n"
    "30 23 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
    "31 23 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

/// This machine's cgroups, for the time of a test; says so where there are none.
std::shared_ptr<Cgroups> usable_cgroups() {
  auto cgroups = Cgroups::probe();
  if (!cgroups->is_usable()) {
    WARN("SKIPPED, since this machine lets nobody make cgroups: " << cgroups->why());
    return nullptr;
  }
  return cgroups;
}

Task shell(const std::string& script) {
  Task task;
  task.name = "tested";
  task.effect = Effect::read;
  task.sandbox = false;
  task.command = {"sh", "-c", script};
  return task;
}

RunEnded end_of(Executor& executor, Task task) {
  return test::StartedRun(executor, test::run_of(std::move(task))).end();
}

bool is_alive(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number;
  std::string name;
  std::string state;
  return file >> number >> name >> state && state != "Z" && state != "X";
}

/// Written by a command once it is where a test wants it.
class Note {
public:
  std::string path() const { return (folder_.path() / "note").string(); }
  pid_t wait() const {
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < until) {
      std::ifstream file(path());
      std::string line;
      if (std::getline(file, line) && !file.eof()) {
        return std::stoi(line);
      }
      std::this_thread::sleep_for(1ms);
    }
    FAIL("no note within 20 s");
    return 0;
  }

private:
  test::TempDirectory folder_;
};

std::size_t folders_in(const std::string& path) {
  std::size_t count = 0;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(path, problem)) {
    count += entry.is_directory(problem) ? 1 : 0;
  }
  return count;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

// ---- what the kernel's files say

TEST_CASE("a process finds its own cgroup under the mount that shows it", "[cgroup]") {
  CHECK(own_cgroup(hybrid_mounts, "9:name=systemd:/\n4:memory:/a\n0::/\n") ==
        "/sys/fs/cgroup/unified");
  CHECK(own_cgroup(hybrid_mounts, "0::/system.slice/forerun.service\n") ==
        "/sys/fs/cgroup/unified/system.slice/forerun.service");
  // A container that shows a part of the tree, under a name with a space.
  const char* const part = R"(9 8 0:5 /docker/a /my\040cgroups ro - cgroup2 cgroup rw)";
  CHECK(own_cgroup(part, "0::/docker/a/b") == "/my cgroups/b");
  CHECK(own_cgroup(part, "0::/docker/a") == "/my cgroups");
  CHECK_THAT(own_cgroup(part, "0::/docker/ab").error().message,
             Contains("no cgroup v2 is mounted"));
  CHECK_THAT(own_cgroup(part, "0::/../x").error().message, Contains("outside"));
  CHECK_THAT(own_cgroup(hybrid_mounts, "4:memory:/a\n").error().message, Contains("no cgroup v2"));
  CHECK_FALSE(own_cgroup("", "0::/"));
  CHECK_FALSE(own_cgroup("a b c - cgroup2", "0::/"));
  CHECK_FALSE(own_cgroup("1 2 0:1 / /x rw -", "0::/"));
}

TEST_CASE("only what a node has made is taken for its left-over", "[cgroup]") {
  CHECK(is_cgroup_of_node("forerun-node-17-0"));
  for (const char* const name :
       {"forerun-node", "forerun-node-", "forerun-node-17", "forerun-node-17-", "forerun-node--1",
        "forerun-node-17-0.service", "forerun-node-a-1", "my-forerun-node-1-1", "system.slice"}) {
    CHECK_FALSE(is_cgroup_of_node(name));
  }
}

TEST_CASE("controllers and events are read whole words at a time", "[cgroup]") {
  CHECK(has_word("cpuset memory pids\n", "pids"));
  CHECK_FALSE(has_word("cpuset hugetlb.memory\n", "memory"));
  CHECK_FALSE(has_word("", "memory"));
  CHECK(value_of("populated 1\nfrozen 0\n", "populated") == 1);
  CHECK(value_of("low 0\noom 3\noom_kill 2\n", "oom_kill") == 2);
  CHECK(value_of("populated x\n", "populated") == 0);
  CHECK(value_of("", "populated") == 0);
}

TEST_CASE("a kill for want of memory is the task's own limit's only if that was in the way",
          "[cgroup]") {
  const MemoryEvents before = memory_events_of("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n");
  const auto after = [&](std::string_view file) {
    return memory_kill(before, memory_events_of(file));
  };
  CHECK(after("max 20\noom 2\noom_kill 3\noom_group_kill 1\n") == MemoryKill::own_limit);
  CHECK(after("max 9\noom 1\noom_kill 3\n") == MemoryKill::outside);
  CHECK(after("max 20\noom 2\noom_kill 1\n") == MemoryKill::none);
  CHECK(after("max 9\noom 1\noom_kill 1\n") == MemoryKill::none);
  CHECK(after("") == MemoryKill::none);  // Not limited: the kernel keeps no such file.
}

TEST_CASE("a cgroup's memory is a command's and its scratch, its processes include the sandbox's",
          "[cgroup]") {
  Task task;
  task.exec.limits.memory_mb = 100;
  task.exec.limits.scratch_mb = 28;
  task.exec.limits.processes = 5;
  CHECK(cgroup_limits(task) == CgroupLimits{128U << 20U, 7});
}

// ---- this machine's

TEST_CASE("a daemon that leaves group, session and pipes is killed with its command's cgroup",
          "[cgroup]") {
  const auto cgroups = usable_cgroups();
  if (!cgroups) {
    return;
  }
  ExecSettings settings;
  settings.cgroups = cgroups;
  const auto executor = make_exec_executor(settings);
  const std::string daemon = "setsid setsid sh -c 'echo $$ > $0; exec sleep 60' ";
  SECTION("when the command has answered") {
    const Note note;
    const RunEnded ended =
        end_of(*executor, shell(daemon + note.path() + " <&- >/dev/null 2>&1 & while ! grep -q . " +
                                note.path() + " 2>/dev/null; do :; done; echo 1"));
    CHECK(ended.output == "1");
    CHECK(ended.dead_handles == 0);
    CHECK_FALSE(is_alive(note.wait()));
  }
  SECTION("when the branch is cancelled") {
    const Note note;
    test::StartedRun run(*executor,
                         test::run_of(shell(daemon + note.path() +
                                            " <&- >/dev/null 2>&1 & while :; do sleep 60; done")));
    const pid_t pid = note.wait();
    CHECK(is_alive(pid));
    run.stop();
    CHECK(run.end().ending == Ending::cancelled);
    CHECK_FALSE(is_alive(pid));
  }
}

TEST_CASE("a command born in a cgroup is like any other", "[cgroup]") {
  const auto cgroups = usable_cgroups();
  if (!cgroups) {
    return;
  }
  const test::TempDirectory folder;
  ExecSettings settings;
  settings.cgroups = cgroups;
  settings.folder = folder.path().string();
  const auto executor = make_exec_executor(settings);
  ::signal(SIGPIPE, SIG_IGN);  // As in a node.
  const int open = ::dup(2);   // Without close-on-exec.
  // The fourth is the listing's own.
  CHECK(end_of(*executor, shell("printf '\"%s\"' \"$(ls /proc/self/fd | tr '\\n' ' ')\"")).output ==
        "\"0 1 2 3 \"");
  ::close(open);
  CHECK(end_of(*executor, shell("echo \\\"$(pwd)\\\"")).output ==
        "\"" + std::filesystem::canonical(folder.path()).string() + "\"");
  // Neither blocked nor ignored signals, a session of its own.
  CHECK(end_of(*executor, shell("grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d '\\n\\t' | sed "
                                "'s/.*/\"&\"/'"))
            .output == "\"SigBlk:0000000000000000SigIgn:0000000000000000\"");
  CHECK(end_of(*executor, shell("[ $(ps -o sid= $$) = $$ ] && echo true")).output == "true");
  CHECK(end_of(*executor, shell("exit 3")).cause == "exit code 3");
  Task task = shell("");
  task.command = {"forerun-no-such-program"};
  CHECK(end_of(*executor, task).cause ==
        "cannot start forerun-no-such-program: No such file or directory");
  task.command = {"/"};
  CHECK(end_of(*executor, task).cause == "cannot start /: Permission denied");
  ::signal(SIGPIPE, SIG_DFL);
}

TEST_CASE("cgroups are used again unless they were killed, and gone with their node", "[cgroup]") {
  auto cgroups = usable_cgroups();
  if (!cgroups) {
    return;
  }
  const std::string folder = cgroups->folder();
  ExecSettings settings;
  settings.cgroups = cgroups;
  auto executor = make_exec_executor(settings);
  CHECK(end_of(*executor, shell("echo 1")).output == "1");
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    test::StartedRun run(*executor, test::run_of(shell("sleep 60")));
    if (i % 2 == 0) {
      run.stop();
    }
    CHECK(end_of(*executor, shell("echo 1")).output == "1");
    run.stop();
    CHECK(run.end().dead_handles == 0);
  }
  CHECK(folders_in(folder) <= 4);
  CHECK(open_descriptors() <= before + folders_in(folder));
  executor.reset();
  settings.cgroups.reset();
  cgroups.reset();
  CHECK_FALSE(std::filesystem::exists(folder));
}

TEST_CASE("what a dead node has left is killed and removed, a living one's stays", "[cgroup]") {
  const auto living = usable_cgroups();
  if (!living) {
    return;
  }
  const std::filesystem::path own = std::filesystem::path(living->folder()).parent_path();
  // Beyond any process's number: nobody's but this test's.
  const auto left = own / (std::string(cgroup_prefix) + "99999999-" + std::to_string(::getpid()));
  const auto command = left / "command-1";
  const auto foreign = own / ("forerun-test-" + std::to_string(::getpid()));
  for (const auto& path : {left, command, foreign}) {
    REQUIRE(std::filesystem::create_directory(path));
  }
  CommandLine line;
  line.words = {"sleep", "60"};
  line.folder = "/";
  const Descriptor folder(::open(command.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto child = start_command(line, false, folder.get());
  REQUIRE(child);
  REQUIRE(child->is_in_cgroup);
  const auto next = Cgroups::probe(own.string());
  CHECK(next->is_usable());
  CHECK_FALSE(std::filesystem::exists(left));
  CHECK(reap_leader(child->pid)->number == SIGKILL);
  CHECK(std::filesystem::exists(living->folder()));
  CHECK(std::filesystem::exists(foreign));
  std::filesystem::remove(foreign);
}

TEST_CASE("without a cgroup to write to, all is as without cgroups, and is said", "[cgroup]") {
  const test::TempDirectory folder;
  const auto readable = Cgroups::probe((folder.path() / "none").string());
  CHECK_FALSE(readable->is_usable());
  CHECK_THAT(readable->description(), Contains("No such file") && Contains("process group"));
  // No cgroup file system: the kernel's files are missing.
  const auto plain = Cgroups::probe(folder.path().string());
  CHECK_THAT(plain->why(), Contains("cgroup.kill"));
  ExecSettings settings;
  settings.cgroups = plain;
  const auto executor = make_exec_executor(settings);
  CHECK(end_of(*executor, shell("echo 1")).output == "1");
}

TEST_CASE("a cgroup bounds memory and processes of a sandbox together", "[cgroup]") {
  const auto cgroups = usable_cgroups();
  if (!cgroups) {
    return;
  }
  if (!cgroups->limits_memory() || !cgroups->limits_processes()) {
    WARN("SKIPPED, since this machine has no memory and pids controllers for its cgroups: "
         << cgroups->description());
    return;
  }
  ExecSettings settings;
  settings.cgroups = cgroups;
  settings.sandbox = std::make_shared<const Sandbox>(
      Sandbox::probe({.helper = FORERUN_SANDBOX_HELPER, .bwrap = {}, .hidden = {}}));
  const test::TempDirectory folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  settings.folder = folder.path().string();
  if (!settings.sandbox->is_usable()) {
    WARN("SKIPPED, since this machine has no usable sandbox: " << settings.sandbox->why());
    return;
  }
  const auto executor = make_exec_executor(settings);
  // Each of four stays below memory_mb; together they are above memory_mb and scratch_mb.
  Task greedy =
      shell("for i in 1 2 3 4; do head -c 20000000 /dev/zero | tail & done; wait; echo 1");
  greedy.sandbox = true;
  greedy.exec.limits.memory_mb = 32;
  greedy.exec.limits.scratch_mb = 4;
  CHECK_THAT(end_of(*executor, greedy).cause, Contains("memory_mb"));
  greedy.command.back() = "head -c 20000000 /dev/zero | tail -c 1000 >/dev/null; echo 1";
  CHECK(end_of(*executor, greedy).output == "1");
  Task many = shell("for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo 1");
  many.sandbox = true;
  many.exec.limits.processes = 4;
  CHECK(end_of(*executor, many).ending == Ending::failed);
}
