#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>

namespace forerun {

/// The flags of `forerun demo`.
struct DemoSettings {
  std::filesystem::path binary;  ///< The `forerun` program; the caller knows its own path.
  std::filesystem::path traces;  ///< Recorded sessions; empty: the demo's own.
  std::string
      read_only;  ///< A file or a pattern; empty: every task of `traces` reads, an upper bound.
  double speedup = 40;  ///< Divides think and task times.
  std::size_t sessions =
      0;  ///< 0: default_demo_sessions, or of recorded ones the first default_recorded_sessions.
  std::size_t nodes = 3;
  std::size_t slots = 8;        ///< Of each node.
  std::size_t concurrency = 6;  ///< Sessions side by side.
  std::uint64_t seed = 1;
  std::filesystem::path
      export_folder;  ///< Empty: none. The speculating cluster's ledger; the other's under `off`.
  std::string plant;  ///< A bug for the speculating coordinator; empty: none.
  bool is_json = false;  ///< `--output json`: one object instead of the table.
};

inline constexpr std::size_t default_demo_sessions = 80;
inline constexpr std::size_t default_recorded_sessions = 200;
inline constexpr std::size_t demo_nodes_max = 64;
inline constexpr std::size_t demo_sessions_max = 100'000;

/// Runs the demo: two throw-away clusters, both passes, the ledgers' comparison, the report. The
/// report goes to `out`, the rest to `progress`. Nothing stays behind but the export, also after an
/// error or Ctrl-C (the second of which kills at once). Returns the exit code: 0; 1 after an error;
/// 2 for settings out of range; 5 when outputs differ, an answer is not the recorded one, or
/// ledgers disagree.
int run_demo(const DemoSettings& settings, std::ostream& out, std::ostream& progress);

}  // namespace forerun
