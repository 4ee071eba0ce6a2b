#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/coordinator_host.hpp"
#include "base/result.hpp"

namespace forerun {

struct BenchClusterSettings {
  std::filesystem::path binary;  ///< The `forerun` program, for the nodes.
  std::filesystem::path folder;  ///< Keys, data and logs.
  std::size_t nodes = 1;
  std::size_t slots = 64;   ///< Of each node.
  bool is_durable = false;  ///< The ledger on a disk, synced; else in memory.
  bool learns = false;      ///< The coordinator learns from every step.
  AdmissionSettings admission = no_op_admission();
  double hedge_share = 0;

  /// A no-op takes next to no slot time, so its waste, the way to the node and back, is many times
  /// what was useful. Nor does it hide any time: by value nothing would run ahead, and this
  /// measures running ahead.
  static AdmissionSettings no_op_admission();
};

/// The tasks that a bench cluster knows: so many that run the nodes' own function `noop`, as many
/// that run `brief`, and as many that run `nap`.
inline constexpr std::size_t bench_tasks = 8;
std::string bench_task(const std::string& function, std::size_t number);

/// A coordinator inside this process and nodes as child processes, on loopback with keys and
/// encryption. Start and destroy it on one thread that outlives it.
class BenchCluster {
public:
  /// Errors: io, with the last lines that a node logged.
  static Result<std::unique_ptr<BenchCluster>> start(const BenchClusterSettings& settings);
  virtual ~BenchCluster() = default;

  /// Who gets the answers to what is put() from now on; called on the coordinator's own threads.
  /// Set it while nothing is on its way.
  virtual void answer_to(std::function<void(ClientResponse)> receiver) = 0;
  virtual void put(CoordinatorInputs inputs) = 0;
  virtual std::uint16_t http_port() const = 0;
  /// Sends a signal to every node.
  virtual void signal_nodes(int signal) = 0;
  virtual std::vector<int> node_pids() const = 0;

  /// What the store has done since the start.
  struct StoreCounts {
    std::uint64_t syncs = 0;
    std::uint64_t commits = 0;        ///< Transactions.
    std::uint64_t entries = 0;        ///< Durable.
    std::uint64_t largest_batch = 0;  ///< Entries of one transaction.
  };
  virtual StoreCounts store_counts() const = 0;
};

}  // namespace forerun
