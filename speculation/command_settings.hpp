#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

namespace forerun {

/// What one command may use up. Memory, file size and processor time are of each process.
struct CommandLimits {
  std::uint32_t memory_mb = 1024;
  std::uint32_t processes = 64;  ///< At once.
  std::uint32_t file_mb = 64;    ///< Of one file.
  std::uint32_t scratch_mb =
      256;                  ///< All that it writes into its scratch and its copy of `workdir`.
  std::uint32_t cpu_s = 0;  ///< 0: as long as its timeout lets it.
  std::uint32_t output_kb = 1024;  ///< Of its output; for a resident, of one answer.
  friend bool operator==(const CommandLimits&, const CommandLimits&) = default;
};

/// Where and how a task's command runs.
struct CommandSettings {
  std::map<std::string, std::string> environment;  ///< Beside PATH, HOME, LANG and TMPDIR.
  std::string workdir;  ///< Relative to the node's tasks folder, or absolute; empty: that folder.
  bool network = false;
  std::vector<std::string> readable;  ///< Absolute paths that a sandbox shows, not to be changed.
  std::vector<std::string> writable;  ///< The same, and what it changes there stays; `write` only.
  CommandLimits limits;
  bool resident = false;  ///< Stays, and answers JSON Lines.
  friend bool operator==(const CommandSettings&, const CommandSettings&) = default;
};

inline constexpr std::size_t command_variables_max = 64;
inline constexpr std::size_t command_paths_max = 32;  ///< `readable`, and `writable`.
inline constexpr std::uint32_t command_limit_max = 1'000'000;
inline constexpr std::uint32_t output_kb_max = 1024;

/// Errors: invalid, "PLACE.KEY: what, expected …": a name that is none, a path that is not absolute
/// or has a "..", a limit out of range.
Result<void> check_command_settings(const std::string& place, const CommandSettings& settings);

/// Null for the default settings.
json::Value command_settings_json(const CommandSettings& settings);
Result<CommandSettings> command_settings_from(const json::Value& value);

}  // namespace forerun
