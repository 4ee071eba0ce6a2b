#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

/// What running a command asks of the operating system. One thread may use it at a time.
namespace forerun {

/// Owns one file descriptor.
class Descriptor {
public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }
  void close();
  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }

private:
  int number_ = -1;
};

/// A command to start.
struct CommandLine {
  std::vector<std::string> words;  ///< argv; the first is looked up in PATH unless it has a slash.
  std::vector<std::string> environment;  ///< NAME=VALUE, all that the command gets.
  std::string folder;                    ///< Working directory.
  int extra = -1;  ///< A descriptor of ours that it gets as its fourth, number 3; -1: none.
  /// All that it starts is in a PID namespace whose first process is its child: no orphan leaves
  /// its family, and none of it outlives that child.
  bool has_pid_namespace = false;
};

/// A command in progress: leader of its own session and process group, whose ID is `pid`. Our ends
/// of its pipes do not block; all our descriptors are closed on exec.
struct Child {
  pid_t pid = -1;
  Descriptor
      pidfd;  ///< Readable once the leader has ended; not open where the kernel has no pidfds.
  Descriptor input;           ///< Its stdin.
  Descriptor output;          ///< Its stdout.
  Descriptor errors;          ///< Its stderr.
  bool is_in_cgroup = false;  ///< In the one that was asked for.
};

/// Starts a command with default signal actions and no descriptor but 0, 1, 2 and what
/// `extra` says. `cgroup`: the descriptor of a cgroup's folder in which it is born, if this kernel
/// can; -1: in the caller's.
/// Errors: invalid (the command cannot be started: not found, not executable, …);
/// refused (this process lacks what it takes: processes, memory, descriptors, the folder).
Result<Child> start_command(const CommandLine& command, bool use_pidfd, int cgroup = -1);

/// How a leader ended.
struct ExitStatus {
  bool by_signal = false;
  int number = 0;  ///< Exit code or signal.
};

/// True once the leader has ended. It stays unreaped, so that its ID cannot name anything else.
bool leader_has_ended(pid_t leader);
/// Takes the leader's status and frees its ID. Nothing if something else in this process took it.
/// @pre leader_has_ended().
std::optional<ExitStatus> reap_leader(pid_t leader);

/// @pre the leader is not reaped: after that its ID may name another group.
void signal_group(pid_t leader, int signal);
/// True while any process, dead or alive, is left in the group. Reaps members that became children
/// of this process (it may be a container's first).
bool group_has_members(pid_t leader);
/// The child of a leader with has_pid_namespace: its namespace's first process. 0 where there is
/// none, or the kernel does not tell. @pre the leader is not reaped; if it has been sent SIGKILL,
/// there will be none later.
pid_t first_of_namespace(pid_t leader);
/// Whether a process can do nothing any more: ended, or on the way to it without memory and other
/// threads. What is left of it is the kernel's: removing namespaces and mounts takes that
/// milliseconds.
bool is_dying(pid_t pid);
/// The same of all of these and their descendants.
bool family_is_dying(const std::vector<pid_t>& roots);
/// Reaps the dead that this process inherited, if it is a container's first or a subreaper: those of a
/// session whose leader is gone, so never a child of its own.
void reap_orphans();
/// Ended. Reaps it if it became a child of this process, which may be a container's first; a leader
/// stays for reap_leader().
bool is_gone(pid_t pid);
/// Live processes of the leader's session or group, also those that left the group. Reads all of
/// /proc: not for the usual path.
std::vector<pid_t> live_members(pid_t leader);

}  // namespace forerun
