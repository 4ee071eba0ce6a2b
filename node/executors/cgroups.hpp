#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/executors/cgroup_place.hpp"
#include "node/executors/child_process.hpp"

namespace forerun {

/// Cgroups that are kept for the next command of equal limits.
inline constexpr std::size_t cgroups_kept_max = 64;

/// A cgroup of one command, until it is destroyed. Must not outlive its Cgroups.
class Cgroup {
public:
  /// None: has nothing, kills nothing.
  Cgroup();
  Cgroup(Cgroup&&) noexcept;
  Cgroup& operator=(Cgroup&&) noexcept;
  ~Cgroup();

  bool is_open() const { return place_ != nullptr; }
  /// Of its folder; -1 for none.
  int descriptor() const;
  /// SIGKILL to all that is in it, whatever group, session or namespace that has moved to.
  void kill();
  /// True while something in it has not ended.
  bool is_populated() const;
  /// What has not ended.
  std::vector<pid_t> members() const;
  /// Whether the kernel killed in it for want of memory, and whose limit that was.
  MemoryKill memory_kill() const;

private:
  friend class Cgroups;
  struct Place;
  std::unique_ptr<Place> place_;
  class Cgroups* owner_ = nullptr;
};

/// A folder of this process's own in cgroup v2, with a cgroup for each command. What a process of
/// this program has left there that was killed is removed by the next one. One thread at a time.
class Cgroups {
public:
  /// None, and why.
  explicit Cgroups(std::string why);
  Cgroups(const Cgroups&) = delete;
  Cgroups& operator=(const Cgroups&) = delete;
  /// Removes what is empty, and leaves the rest as it was found.
  ~Cgroups();

  /// Makes the folder, turns on what limits it can, and starts a command in it to try it out. May
  /// move this process into a cgroup below its own, if nothing else is in that: the kernel
  /// has no limits beside processes. `own`: this process's cgroup; empty: looked up.
  static std::shared_ptr<Cgroups> probe(std::string own = {});

  bool is_usable() const { return why_.empty(); }
  const std::string& why() const { return why_; }
  bool limits_memory() const { return limits_memory_; }
  bool limits_processes() const { return limits_processes_; }
  const std::string& folder() const { return folder_; }
  /// A sentence for the node's log: what kills and limits commands here.
  std::string description() const;

  /// An empty cgroup with these limits. None when there is none to be had: the command then runs in
  /// the node's own.
  Cgroup take(const CgroupLimits& limits);

private:
  friend class Cgroup;
  std::string make_folder();
  void turn_on_limits();
  std::string try_out();
  std::unique_ptr<Cgroup::Place> make(const CgroupLimits& limits);
  void give_back(std::unique_ptr<Cgroup::Place> place);
  void remove_empty(std::size_t kept);

  std::string why_;
  std::string own_;
  std::string folder_;
  Descriptor lock_;
  bool limits_memory_ = false;
  bool limits_processes_ = false;
  std::vector<std::string> turned_on_;  ///< In `own`, where they had been off.
  bool has_moved_ = false;
  std::uint64_t made_ = 0;
  std::vector<std::unique_ptr<Cgroup::Place>> idle_;
};

}  // namespace forerun
