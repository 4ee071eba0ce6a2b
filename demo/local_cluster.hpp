#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "base/uuid.hpp"

namespace forerun {

struct LocalClusterSettings {
  std::filesystem::path binary;  ///< The `forerun` program.
  std::filesystem::path folder;  ///< All data, keys, tokens and logs; a kept one starts again.
  std::filesystem::path catalog;
  std::size_t nodes = 3;
  std::size_t slots = 8;        ///< Of each node.
  std::uint64_t seed = 1;       ///< Of the workers' UUIDs and of the recorded world.
  std::filesystem::path world;  ///< The trace file that answers `world` tasks.
  std::string read_only = "*";
  double speedup = 1;
  std::vector<std::string> coordinator_flags;        ///< Passed on as they are.
  std::vector<std::string> node_flags;               ///< Passed on to every node.
  Duration start_within = std::chrono::seconds(20);  ///< For each process.
  Duration stop_within = std::chrono::seconds(5);    ///< From SIGTERM to SIGKILL.
  bool starts_without_killed = false;  ///< A node that a signal ends before it joins is left out.
};

/// A coordinator and its nodes on loopback, as child processes, with keys and encryption on. They
/// die with this process, and when this object is destroyed. Start and destroy it on one thread
/// that outlives it: Linux ties a child's life to the thread that started it.
class LocalCluster {
public:
  /// Starts the coordinator, then one node after another, so that they join in the same order every
  /// time. Errors: io, with the last lines that the process logged, also where no node is left;
  /// invalid when a process says something unexpected.
  static Result<LocalCluster> start(const LocalClusterSettings& settings);
  ~LocalCluster();
  LocalCluster(LocalCluster&&) noexcept;
  LocalCluster& operator=(LocalCluster&&) noexcept;

  /// "http://127.0.0.1:PORT".
  const std::string& url() const;
  /// Where `forerun ledger` finds the coordinator's ledger once the cluster has stopped.
  std::filesystem::path coordinator_data() const;
  /// Empty while every process runs, else which one ended and its last log lines.
  std::string ended_process();
  /// False once every node's process has ended.
  bool has_node();
  /// Ends all processes, nodes first. Idempotent.
  void stop();

private:
  struct Impl;
  explicit LocalCluster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Exports the ledger in `data` (of a stopped coordinator) to `folder`. Errors: io.
Result<void> export_ledger(const std::filesystem::path& binary, const std::filesystem::path& data,
                           const std::filesystem::path& folder);

/// The UUID of a node's worker: equal for equal seeds, so that two clusters give equal run IDs.
Uuid demo_worker_uuid(std::uint64_t seed, std::size_t node);

std::vector<std::string> coordinator_arguments(const LocalClusterSettings& settings);
/// `join` is "HOST:PORT"; nodes are numbered from 1.
std::vector<std::string> node_arguments(const LocalClusterSettings& settings, std::size_t number,
                                        const std::string& join);

/// What a process printed when it was ready.
struct ReadyLine {
  std::string event;
  std::string http;  ///< Of a coordinator.
  std::string join;  ///< Of a coordinator.
};
/// Errors: invalid unless the line is a JSON object with an "event".
Result<ReadyLine> read_ready_line(const std::string& line);

}  // namespace forerun
