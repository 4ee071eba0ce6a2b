#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

namespace forerun {

/// A process to start inside a cgroup.
struct CgroupSpawn {
  int cgroup = -1;                                 ///< Descriptor of its folder, cgroup v2.
  std::vector<const char*> programs;               ///< Paths to try in turn.
  std::vector<char*> words;                        ///< argv, null at its end.
  std::vector<char*> environment;                  ///< Null at its end.
  const char* folder = "/";                        ///< Working directory.
  std::array<int, 4> descriptors{-1, -1, -1, -1};  ///< Become 0 to 3; all others are closed.
};

/// How it went; 0 and 0: it runs.
struct CgroupSpawned {
  pid_t pid = -1;
  int not_made = 0;     ///< errno: there is no process; that of a kernel without: ENOSYS.
  int not_started = 0;  ///< errno: it could not become the program, and is reaped.
};

/// Starts a process that is born in its cgroup, as leader of a session of its own, with default
/// signal actions and no signal blocked. Moving a process into one instead waits for a grace period
/// of the kernel, which takes 10 ms and more, and could miss what the process has started by then.
/// Like vfork(): the calling thread goes on when the program has been loaded. Thread-safe.
CgroupSpawned spawn_in_cgroup(const CgroupSpawn& spawn);

}  // namespace forerun
