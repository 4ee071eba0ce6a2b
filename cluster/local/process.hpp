#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace forerun {

inline constexpr std::size_t child_line_bytes_max = 64U << 10U;

/// A program to start. Its stdin is empty; its environment is ours.
struct ChildCommand {
  std::vector<std::string> arguments;  ///< The program first: a path, or a name that PATH finds.
  std::filesystem::path stderr_file;   ///< Appended to; made with mode 0600.
};

/// How a child ended: by itself with `code`, or by `signal`.
struct ChildExit {
  int code = 0;
  int signal = 0;  ///< 0 when it ended by itself.
  friend bool operator==(const ChildExit&, const ChildExit&) = default;
};

/// A child process in a process group of its own, on this machine. It dies with the *thread* that
/// started it (the kernel kills it), with this object, and its group dies with it: nothing stays
/// behind. Not thread-safe.
class ChildProcess {
public:
  using Deadline = std::chrono::steady_clock::time_point;

  /// Errors: io, naming the program (also when it cannot be run).
  static Result<ChildProcess> start(const ChildCommand& command);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();  ///< Kills and reaps.

  int pid() const { return pid_; }
  /// The next line of stdout, without its end. Errors: not_found when the output has ended; io at
  /// the deadline; too_large above child_line_bytes_max.
  Result<std::string> read_line(Deadline deadline);
  /// Sends a signal to the child alone; nothing once it has been waited for.
  void kill(int signal);
  /// Nothing when it still runs after `timeout`. May be asked again.
  std::optional<ChildExit> wait(std::chrono::milliseconds timeout);

private:
  ChildProcess(std::string name, int pid, int process_fd, int output);
  void end() noexcept;
  std::optional<std::string> buffered_line();

  std::string name_;
  int pid_ = -1;
  int process_fd_ = -1;
  int output_ = -1;
  std::string buffer_;
  std::optional<ChildExit> exit_;
};

}  // namespace forerun
