#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "node/executors/native_function.hpp"

namespace forerun {

/// The flags of `forerun node`.
struct NodeProcessSettings {
  std::string join;  ///< HOST:PORT of a coordinator.
  /// From `forerun keys add`, by the environment; kept in the data directory after the first time.
  std::string token;
  std::filesystem::path token_file;
  std::filesystem::path data = "forerun-node";
  std::string name = "node";
  std::uint32_t workers = 1;  ///< Made at the first start.
  std::vector<std::string>
      worker_uuids;         ///< Given instead of made; must agree with the data directory later.
  std::uint32_t slots = 4;  ///< Of each worker.
  std::filesystem::path
      tasks_dir;  ///< Where `exec` commands run; empty: here, and at replay they do not run.
  std::filesystem::path world;  ///< A trace file that answers `world` tasks.
  std::string read_only;        ///< For the world: which of its tasks only read; empty: all.
  std::uint64_t seed = 1;
  double speedup = 1;
  std::filesystem::path demo_store;  ///< Offers the demo's native functions, with their store here.
  bool resync = false;
  std::filesystem::path replay;  ///< An export: runs what may run again, answers the rest from it.
  std::string plant_wrong_output;  ///< At replay: a task whose outputs are changed.
};

/// What every node offers, for measuring what a step costs beside its task: `noop` answers `{}`,
/// `brief` does so after a fifth of a millisecond, `nap` after as many as it is told.
NativeFunctions built_in_functions();

/// Runs a node until SIGTERM or SIGINT, or until it is refused or its ledger diverges. Prints one
/// line of JSON when it has joined. Returns the exit code. `own`: offered beside those that
/// every node offers.
Result<int> run_node(const NodeProcessSettings& settings, NativeFunctions own = {});

}  // namespace forerun
