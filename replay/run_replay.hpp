#pragma once

#include <cstddef>
#include <filesystem>
#include <iosfwd>
#include <string>

namespace forerun {

/// The flags of `forerun replay`.
struct ReplayCommandSettings {
  std::filesystem::path binary;         ///< The `forerun` program; the caller knows its own path.
  std::filesystem::path export_folder;  ///< As `ledger export` wrote it.
  std::filesystem::path catalog;        ///< Instead of the export's own, for steps of an older one.
  std::filesystem::path tasks_dir;      ///< Where `exec` commands run; empty: none is run again.
  std::string session;                  ///< A run ID: this one alone, with its story; empty: all.
  std::size_t nodes = 3;
  std::size_t workers = 1;  ///< Of each node.
  std::size_t slots = 8;    ///< Of each worker.
  std::size_t concurrency = 6;
  bool is_speculating = true;
  double speedup = 0;  ///< Divides recorded latencies; 0: none is waited for.
  bool plants_wrong_output = false;
  bool is_json = true;
};

inline constexpr std::size_t replay_nodes_max = 64;

/// Replays an export on a throw-away cluster (design.md §7). The report goes to `out`, differences
/// and the rest to `progress`. Returns the exit code: 0; 1 after an error; 2 for settings out of
/// range or an export that does not fit its catalog; 3 when the export or the session is not there;
/// 5 with a difference.
int run_replay(const ReplayCommandSettings& settings, std::ostream& out, std::ostream& progress);

}  // namespace forerun
