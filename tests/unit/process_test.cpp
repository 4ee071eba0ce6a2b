#include "cluster/local/process.hpp"

#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <fstream>
#include <sstream>

using namespace forerun;
using namespace std::chrono_literals;

namespace {

struct StderrFile {
  std::filesystem::path path;
  StderrFile() {
    std::string name = (std::filesystem::temp_directory_path() / "forerun-stderr-XXXXXX").string();
    const int fd = ::mkstemp(name.data());
    REQUIRE(fd >= 0);
    ::close(fd);
    path = name;
  }
  ~StderrFile() { std::filesystem::remove(path); }
  std::string text() const {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
};

ChildProcess shell(const StderrFile& errors, const std::string& script) {
  auto child = ChildProcess::start({{"sh", "-c", script}, errors.path});
  REQUIRE(child);
  return std::move(*child);
}

auto soon() {
  return std::chrono::steady_clock::now() + 20s;
}

bool is_gone(int pid) {
  return ::kill(pid, 0) != 0 && errno == ESRCH;
}

}  // namespace

TEST_CASE("a child's lines come in order, also the last without an end", "[process]") {
  const StderrFile errors;
  auto child =
      shell(errors, "echo listening 127.0.0.1:1; echo; echo oops >&2; printf last; exit 7");
  REQUIRE(child.read_line(soon()) == "listening 127.0.0.1:1");
  REQUIRE(child.read_line(soon()) == "");
  REQUIRE(child.read_line(soon()) == "last");
  REQUIRE(child.read_line(soon()).error().code == Errc::not_found);
  REQUIRE(child.wait(20s) == ChildExit{7, 0});
  REQUIRE(child.wait(0ms) == ChildExit{7, 0});
  REQUIRE(errors.text() == "oops\n");
}

TEST_CASE("a program that cannot be run is an error at once", "[process]") {
  const StderrFile errors;
  const auto child = ChildProcess::start({{"/nowhere/forerun"}, errors.path});
  REQUIRE(child.error().code == Errc::io);
  REQUIRE(child.error().message ==
          "process: /nowhere/forerun: cannot be run: No such file or directory");
  REQUIRE(ChildProcess::start({{"true"}, "/nowhere/err"}).error().code == Errc::io);
  REQUIRE(ChildProcess::start({{}, errors.path}).error().code == Errc::invalid);
}

TEST_CASE("reading and waiting end at their deadlines", "[process]") {
  const StderrFile errors;
  auto child = shell(errors, "echo up; exec tail -f /dev/null");
  REQUIRE(child.read_line(soon()) == "up");
  REQUIRE(child.read_line(std::chrono::steady_clock::now()).error().code == Errc::io);
  REQUIRE_FALSE(child.wait(0ms));
  child.kill(SIGTERM);
  REQUIRE(child.wait(20s) == ChildExit{0, SIGTERM});
}

TEST_CASE("an endless line is refused", "[process]") {
  const StderrFile errors;
  auto child = shell(errors, "exec cat /dev/zero");
  REQUIRE(child.read_line(soon()).error().code == Errc::too_large);
}

TEST_CASE("a child and its own children end with the object, and with the child", "[process]") {
  const StderrFile errors;
  int child_pid = 0;
  {
    auto child = shell(errors, "echo up; exec tail -f /dev/null");
    child_pid = child.pid();
    REQUIRE(child.read_line(soon()) == "up");
    auto moved = std::move(child);
    REQUIRE(moved.pid() == child_pid);
    REQUIRE_FALSE(is_gone(child_pid));
  }
  REQUIRE(is_gone(child_pid));
  // The grandchild holds the pipe: the output ends when it has died.
  auto leaving = shell(errors, "tail -f /dev/null & echo $!; exit 3");
  REQUIRE(leaving.read_line(soon()));
  REQUIRE(leaving.wait(20s) == ChildExit{3, 0});
  REQUIRE(leaving.read_line(soon()).error().code == Errc::not_found);
}
