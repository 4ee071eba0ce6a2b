#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "demo/local_cluster.hpp"
#include "demo/run_demo.hpp"
#include "tests/support/temp_directory.hpp"

namespace forerun {
namespace {

std::string content(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A script in the program's place: it notes how it was called, and with which process ID, and
/// stays as the program would.
struct Bench {
  test::TempDirectory directory;
  std::filesystem::path folder = directory.path();
  LocalClusterSettings settings;

  explicit Bench(const std::string& node = "echo '{\"event\":\"joined\"}'; exec sleep 600",
                 const std::string& coordinator_stays = "exec sleep 600") {
    settings.binary = folder / "program";
    settings.folder = folder / "cluster";
    settings.catalog = folder / "catalog.toml";
    settings.world = folder / "world.jsonl";
    settings.nodes = 2;
    settings.slots = 5;
    settings.speedup = 40;
    std::ofstream(settings.binary)
        << "#!/bin/sh\necho \"$$ $*\" >> " << (folder / "calls").string() << "\ncase \"$1\" in\n"
        << "keys) echo \"token of $3\";;\n"
        << "ledger) mkdir \"$3\"; echo done;;\n"
        << "coordinator) echo '{\"event\":\"starting\"}'\n"
        << "echo '{\"event\":\"ready\",\"http\":\"http://127.0.0.1:1\",\"join\":\"127.0.0.1:2\"}'; "
        << coordinator_stays << ";;\n"
        << "node) " << node << ";;\nesac\n";
    std::filesystem::permissions(settings.binary, std::filesystem::perms::owner_all);
  }
  /// First words after the process ID, by call.
  std::vector<std::string> calls() const {
    std::vector<std::string> words;
    std::istringstream lines(content(folder / "calls"));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream in(line);
      std::string pid;
      std::string word;
      in >> pid >> word;
      words.push_back(word);
    }
    return words;
  }
  bool runs_anything() const {
    std::istringstream lines(content(folder / "calls"));
    for (std::string line; std::getline(lines, line);) {
      if (::kill(std::atoi(line.c_str()), 0) == 0) {
        return true;
      }
    }
    return false;
  }
};

}  // namespace

TEST_CASE("a local cluster makes keys, then starts the coordinator, then node after node",
          "[local_cluster]") {
  Bench bench;
  auto cluster = LocalCluster::start(bench.settings);
  REQUIRE(cluster);
  CHECK(cluster->url() == "http://127.0.0.1:1");
  CHECK(bench.calls() == std::vector<std::string>{"keys", "keys", "coordinator", "node", "node"});
  CHECK(content(bench.settings.folder / "node-2.token") == "token of node-2\n");
  CHECK(std::filesystem::status(bench.settings.folder / "node-2.token").permissions() ==
        (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  CHECK(cluster->ended_process().empty());
  CHECK(bench.runs_anything());
  cluster->stop();
  CHECK_FALSE(bench.runs_anything());
  cluster->stop();
}

TEST_CASE("a cluster that is dropped leaves no process", "[local_cluster]") {
  Bench bench;
  { REQUIRE(LocalCluster::start(bench.settings)); }
  CHECK_FALSE(bench.runs_anything());
}

TEST_CASE("a process that does not listen is killed", "[local_cluster]") {
  Bench bench("echo '{\"event\":\"joined\"}'; exec sleep 600",
              "trap '' TERM; while true; do sleep 600; done");
  bench.settings.stop_within = std::chrono::milliseconds(50);
  { REQUIRE(LocalCluster::start(bench.settings)); }
  CHECK_FALSE(bench.runs_anything());
}

TEST_CASE("a node that cannot start is told with its last words, and nothing keeps running",
          "[local_cluster]") {
  Bench bench("echo 'no such world' >&2; exit 1");
  const auto cluster = LocalCluster::start(bench.settings);
  REQUIRE_FALSE(cluster);
  CHECK(cluster.error().message.find("node-1") != std::string::npos);
  CHECK(cluster.error().message.find("no such world") != std::string::npos);
  CHECK_FALSE(bench.runs_anything());
}

TEST_CASE("a cluster that may start without killed nodes does, unless none is left",
          "[local_cluster]") {
  Bench one("case \"$*\" in *node-1*) kill -9 $$;; esac; echo '{\"event\":\"joined\"}'; sleep 600");
  CHECK_FALSE(LocalCluster::start(one.settings));
  one.settings.starts_without_killed = true;
  auto cluster = LocalCluster::start(one.settings);
  REQUIRE(cluster);
  CHECK(cluster->has_node());
  Bench all("kill -9 $$");
  all.settings.starts_without_killed = true;
  const auto none = LocalCluster::start(all.settings);
  REQUIRE_FALSE(none);
  CHECK_THAT(none.error().message, Catch::Contains("every node was killed"));
  Bench wrong("exit 3");
  wrong.settings.starts_without_killed = true;
  const auto refused = LocalCluster::start(wrong.settings);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::not_found);
}

TEST_CASE("a process that never says it is ready is given up at the deadline", "[local_cluster]") {
  Bench bench("exec sleep 600");
  bench.settings.start_within = std::chrono::milliseconds(100);
  CHECK_FALSE(LocalCluster::start(bench.settings).has_value());
  CHECK_FALSE(bench.runs_anything());
}

TEST_CASE("a process that ended is named", "[local_cluster]") {
  Bench bench("echo '{\"event\":\"joined\"}'; exit 3");
  auto cluster = LocalCluster::start(bench.settings);
  REQUIRE(cluster);
  std::string ended;
  while (ended.empty()) {
    ended = cluster->ended_process();
  }
  CHECK(ended.find("ended with code 3") != std::string::npos);
}

TEST_CASE("workers have the same UUIDs in every cluster of a seed", "[local_cluster]") {
  CHECK(demo_worker_uuid(1, 1) == demo_worker_uuid(1, 1));
  CHECK(demo_worker_uuid(1, 1) != demo_worker_uuid(1, 2));
  CHECK(demo_worker_uuid(1, 1) != demo_worker_uuid(2, 1));
}

TEST_CASE("a node is told its world, its store and its worker", "[local_cluster]") {
  Bench bench;
  bench.settings.coordinator_flags = {"--plant", "skip-hazards"};
  const auto node = node_arguments(bench.settings, 1, "127.0.0.1:2");
  const auto value_of = [&node](const std::string& flag) {
    const auto found = std::find(node.begin(), node.end(), flag);
    return found == node.end() || found + 1 == node.end() ? std::string("absent") : *(found + 1);
  };
  CHECK(value_of("--join") == "127.0.0.1:2");
  CHECK(value_of("--worker") == to_string(demo_worker_uuid(1, 1)));
  CHECK(value_of("--slots") == "5");
  CHECK(value_of("--speedup") == "40");
  CHECK(value_of("--world") == bench.settings.world.string());
  CHECK(value_of("--demo-store") == (bench.settings.folder / "store").string());
  CHECK(value_of("--name") == "node-1");
  const auto coordinator = coordinator_arguments(bench.settings);
  CHECK(coordinator.back() == "skip-hazards");
  CHECK(std::find(coordinator.begin(), coordinator.end(), "127.0.0.1:0") != coordinator.end());
}

TEST_CASE("a ready line is an object with an event", "[local_cluster]") {
  CHECK(read_ready_line(R"({"event":"ready","http":"h","join":"j"})")->join == "j");
  CHECK(read_ready_line(R"({"event":"joined"})")->event == "joined");
  CHECK_FALSE(read_ready_line("ready").has_value());
  CHECK_FALSE(read_ready_line("{}").has_value());
}

TEST_CASE("a ledger is exported by the program itself", "[local_cluster]") {
  Bench bench;
  CHECK(export_ledger(bench.settings.binary, bench.folder / "data", bench.folder / "out")
            .has_value());
  CHECK(std::filesystem::exists(bench.folder / "out"));
  CHECK_FALSE(export_ledger(bench.folder / "absent", bench.folder / "data", bench.folder / "out")
                  .has_value());
}

TEST_CASE("settings out of range are refused before anything starts", "[run_demo]") {
  std::ostringstream out;
  std::ostringstream progress;
  DemoSettings settings;
  settings.speedup = 0;
  CHECK(run_demo(settings, out, progress) == 2);
  settings = {};
  settings.nodes = 0;
  CHECK(run_demo(settings, out, progress) == 2);
  settings = {};
  settings.read_only = "Get*";
  CHECK(run_demo(settings, out, progress) == 2);
  CHECK(out.str().empty());
}

TEST_CASE("a program that cannot run ends the demo with an error that names it", "[run_demo]") {
  std::ostringstream out;
  std::ostringstream progress;
  DemoSettings settings;
  settings.binary = "/absent/forerun";
  CHECK(run_demo(settings, out, progress) == 1);
  CHECK(progress.str().find("/absent/forerun") != std::string::npos);
}

}  // namespace forerun
