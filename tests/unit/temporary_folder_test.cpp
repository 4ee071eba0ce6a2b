#include "cluster/local/temporary_folder.hpp"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <string>

using namespace forerun;
using namespace std::chrono_literals;

namespace {

/// A name that no other test's folders have.
std::string unique_prefix() {
  return "forerun-test-folder-" + std::to_string(::getpid());
}

/// What a process leaves that is killed while it has a folder.
std::filesystem::path folder_of_a_killed_process(const std::string& prefix) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto folder = TemporaryFolder::make(prefix);
    const std::string path = folder ? folder->path().string() : "";
    if (::write(ends[1], path.data(), path.size()) > 0) {
      ::pause();
    }
    ::_exit(1);
  }
  char text[4096];
  const ssize_t size = ::read(ends[0], text, sizeof text);
  REQUIRE(size > 0);
  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  ::close(ends[0]);
  ::close(ends[1]);
  return std::string(text, static_cast<std::size_t>(size));
}

}  // namespace

TEST_CASE("a folder goes with its object", "[temporary_folder]") {
  std::filesystem::path path;
  {
    const auto folder = TemporaryFolder::make(unique_prefix());
    REQUIRE(folder);
    path = folder->path();
    std::ofstream(path / "file") << "x";
    CHECK(std::filesystem::exists(path / "file"));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("what a killed process left behind goes when the next one starts", "[temporary_folder]") {
  const std::string prefix = unique_prefix();
  const auto left = folder_of_a_killed_process(prefix);
  REQUIRE(std::filesystem::exists(left));
  {
    const auto young = TemporaryFolder::make(prefix);
    CHECK(std::filesystem::exists(left));  // It may be that its owner has not locked it yet.
    const auto other_prefix = TemporaryFolder::make(prefix + "-other", 0s);
    CHECK(std::filesystem::exists(left));

    const auto next = TemporaryFolder::make(prefix, 0s);
    REQUIRE(next);
    CHECK_FALSE(std::filesystem::exists(left));
    CHECK(std::filesystem::exists(young->path()));  // Its owner lives.
    CHECK(std::filesystem::exists(next->path()));
  }
}
