#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

/// Where control groups of version 2 lie, read from what the kernel says (cgroups(7)). Pure.
namespace forerun {

/// A node's folder in its own cgroup: this prefix, a process's number, `-`, a number.
inline constexpr std::string_view cgroup_prefix = "forerun-node-";

/// Of all that is in a cgroup together; 0: none.
struct CgroupLimits {
  std::uint64_t memory_bytes = 0;  ///< memory.max; what it writes into its scratch counts.
  std::uint64_t processes = 0;     ///< pids.max, threads included.
  bool operator==(const CgroupLimits&) const = default;
};

/// The folder of a process's own cgroup. `mountinfo` as in /proc/self/mountinfo (proc(5)),
/// `membership` as in /proc/self/cgroup.
/// Errors: not_found (no cgroup v2, or none of its mounts shows this one).
Result<std::string> own_cgroup(std::string_view mountinfo, std::string_view membership);

/// True of the folders that nodes make, and of nothing that an operator would.
bool is_cgroup_of_node(std::string_view name);

/// Whether a list of words, such as cgroup.controllers, has this one.
bool has_word(std::string_view list, std::string_view word);

/// The number behind a key of a flat-keyed file, such as cgroup.events; 0 where it is not there.
std::uint64_t value_of(std::string_view file, std::string_view key);

/// What memory.events of one cgroup has counted (cgroup-v2, "Memory Interface Files").
struct MemoryEvents {
  std::uint64_t limit = 0;  ///< Times that its own memory.max was in the way (`oom`).
  std::uint64_t kills = 0;  ///< Processes killed in it, whichever limit that was for (`oom_kill`).
};
MemoryEvents memory_events_of(std::string_view file);

/// Why the kernel killed in a cgroup for want of memory.
enum class MemoryKill : std::uint8_t {
  none,
  own_limit,
  outside,  ///< A limit of a cgroup above it, or the machine's memory.
};
MemoryKill memory_kill(const MemoryEvents& before, const MemoryEvents& after);

}  // namespace forerun
