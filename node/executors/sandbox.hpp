#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "node/executors/child_process.hpp"
#include "node/executors/sandbox_arguments.hpp"

namespace forerun {

/// In a tasks folder: what lies in it is shown to no command in a sandbox.
inline constexpr const char* secrets_folder = "secrets";

/// What a node is told about its sandbox.
struct SandboxSettings {
  std::string helper;               ///< Path of forerun-sandbox; empty: looked up.
  std::string bwrap;                ///< Path of bubblewrap; empty: looked up in the usual folders.
  std::vector<std::string> hidden;  ///< Folders that no command may see, absolute.
};

/// A command line with the descriptor that it needs.
struct SandboxedCommand {
  CommandLine line;
  Descriptor filter;
};

/// This machine's sandbox, tried out once. One thread at a time.
class Sandbox {
public:
  /// None; a task that wants one is told `why`.
  explicit Sandbox(std::string why = "this program was started without one");
  /// Runs a command in one. Takes some 20 ms; at most 10 s.
  static Sandbox probe(const SandboxSettings& settings);

  bool is_usable() const { return why_.empty(); }
  /// Why there is none, and what to do; empty when there is one.
  const std::string& why() const { return why_; }
  /// Errors: refused (no usable sandbox, no descriptor left); invalid (the task).
  Result<SandboxedCommand> command(const Task& task, const std::filesystem::path& tasks_folder,
                                   const std::string& outside_key) const;

private:
  std::string try_out() const;

  std::string why_;
  SandboxSite site_;
  Descriptor filter_;
};

}  // namespace forerun
