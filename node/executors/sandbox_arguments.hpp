#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "node/executors/cgroup_place.hpp"
#include "speculation/catalog.hpp"

namespace forerun {

/// One folder of the system as a sandbox shows it.
struct SystemPath {
  std::string path;
  std::string link;  ///< What it is a symbolic link to; empty: a folder or file, shown read-only.
};

/// What a node found out about its machine.
struct SandboxSite {
  std::string helper;  ///< The program that prepares a sandbox (sandbox_helper.cpp).
  std::string bwrap;
  std::string stage;  ///< A folder of the machine that no command needs: scratch is made over it.
  std::vector<SystemPath> system;
  std::vector<std::string> hidden;  ///< Folders that no command may see: the node's data.
  bool with_filter = true;          ///< The system call filter comes as descriptor 3.
};

/// Where a task's command runs, absolute and without "." and "..".
std::filesystem::path work_folder(const Task& task, const std::filesystem::path& tasks_folder);

/// The words that run a task's command in its sandbox: the helper's, bubblewrap's, the command's.
/// `work` is where the command runs. Pure. Errors: invalid for a folder that shows what is hidden.
Result<std::vector<std::string>> sandbox_words(const SandboxSite& site, const Task& task,
                                               const std::filesystem::path& work);

/// What a command gets, NAME=VALUE: the catalog's variables, over a PATH, HOME, LANG and, in a
/// sandbox, TMPDIR.
std::vector<std::string> command_environment(const Task& task, const std::string& path,
                                             const std::string& home,
                                             const std::string& outside_key);

inline constexpr const char* sandbox_home = "/tmp";  ///< Scratch: HOME and TMPDIR.
inline constexpr const char* sandbox_path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// What a command in a sandbox may use, all its processes together: memory_mb and scratch_mb, which
/// lies in memory; `processes`, and those that make its sandbox.
CgroupLimits cgroup_limits(const Task& task);

}  // namespace forerun
