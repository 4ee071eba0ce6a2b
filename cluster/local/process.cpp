#include "cluster/local/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace forerun {
namespace {

using Clock = std::chrono::steady_clock;

void close_fd(int& fd) noexcept {
  if (fd >= 0) {
    ::close(std::exchange(fd, -1));
  }
}

/// True once `fd` is readable or at its end; false at the deadline.
bool wait_for_input(int fd, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd item{fd, POLLIN, 0};
    const int ready = ::poll(&item, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)));
    if (ready > 0) {
      return true;
    }
    if (ready == 0 && left <= 0) {
      return false;
    }
  }
}

/// What the child needs between fork and exec, made before: only async-signal-safe calls are
/// allowed there.
struct Launch {
  std::vector<char*> arguments;
  int input = -1;
  int output = -1;
  int errors = -1;
  int report = -1;  ///< Closes at exec; until then it takes errno.
  pid_t parent = -1;
};

[[noreturn]] void run_child(const Launch& launch) {
  sigset_t none;
  sigemptyset(&none);
  const bool is_ready =
      ::setpgid(0, 0) == 0 && ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
      ::getppid() == launch.parent && ::dup2(launch.input, STDIN_FILENO) >= 0 &&
      ::dup2(launch.output, STDOUT_FILENO) >= 0 && ::dup2(launch.errors, STDERR_FILENO) >= 0 &&
      ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 && ::signal(SIGPIPE, SIG_DFL) != SIG_ERR &&
      ::signal(SIGXFSZ, SIG_DFL) != SIG_ERR;
  if (is_ready) {
    // Descriptors of the parent that nobody marked must not keep its sockets and locks alive.
    ::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    ::execvp(launch.arguments[0], launch.arguments.data());
  }
  const int error = errno;
  (void)!::write(launch.report, &error, sizeof error);
  ::_exit(127);
}

/// errno of a child that could not start; 0 when it runs its program.
int read_report(int report) {
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(report, &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof error) ? error : 0;
}

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) == 0) {
      read = ends[0];
      write = ends[1];
    }
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_fd(read);
    close_fd(write);
  }
};

}  // namespace

Result<ChildProcess> ChildProcess::start(const ChildCommand& command) {
  if (command.arguments.empty()) {
    return fail(Errc::invalid, "process: no program given");
  }
  const std::string& name = command.arguments.front();
  const auto failed = [&](const std::string& what, int error) {
    return fail(Errc::io, "process: " + name + ": " + what + ": " + std::strerror(error));
  };
  Pipe output;
  Pipe report;
  int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  int errors = ::open(command.stderr_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const int open_error = errno;
  Launch launch{{}, input, output.write, errors, report.write, ::getpid()};
  for (const std::string& argument : command.arguments) {
    launch.arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  launch.arguments.push_back(nullptr);
  const bool is_open = input >= 0 && errors >= 0 && output.read >= 0 && report.read >= 0;
  const pid_t pid = is_open ? ::fork() : -1;
  const int fork_error = is_open ? errno : open_error;
  if (pid == 0) {
    run_child(launch);
  }
  close_fd(input);
  close_fd(errors);
  if (pid < 0) {
    return failed(is_open ? "fork" : "stderr to " + command.stderr_file.string(), fork_error);
  }
  (void)::setpgid(
      pid,
      pid);  // Also here, so that the group exists when start() returns; the child may be quicker.
  close_fd(report.write);
  const int exec_error = read_report(report.read);
  const int process_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  const int pidfd_error = errno;
  ChildProcess child(name, pid, process_fd, std::exchange(output.read, -1));
  if (exec_error != 0) {
    return failed("cannot be run", exec_error);
  }
  if (process_fd < 0) {
    return failed("pidfd_open", pidfd_error);
  }
  return child;
}

ChildProcess::ChildProcess(std::string name, int pid, int process_fd, int output)
    : name_(std::move(name)), pid_(pid), process_fd_(process_fd), output_(output) {}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : name_(std::move(other.name_)),
      pid_(std::exchange(other.pid_, -1)),
      process_fd_(std::exchange(other.process_fd_, -1)),
      output_(std::exchange(other.output_, -1)),
      buffer_(std::move(other.buffer_)),
      exit_(std::exchange(other.exit_, std::nullopt)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    end();
    name_ = std::move(other.name_);
    pid_ = std::exchange(other.pid_, -1);
    process_fd_ = std::exchange(other.process_fd_, -1);
    output_ = std::exchange(other.output_, -1);
    buffer_ = std::move(other.buffer_);
    exit_ = std::exchange(other.exit_, std::nullopt);
  }
  return *this;
}

ChildProcess::~ChildProcess() {
  end();
}

void ChildProcess::end() noexcept {
  if (pid_ > 0 && !exit_) {
    // Not reaped yet, so the number is still its own, and its group's.
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  close_fd(process_fd_);
  close_fd(output_);
  pid_ = -1;
}

std::optional<std::string> ChildProcess::buffered_line() {
  const std::size_t end = buffer_.find('\n');
  if (end == std::string::npos) {
    return std::nullopt;
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return line;
}

Result<std::string> ChildProcess::read_line(Deadline deadline) {
  for (;;) {
    if (auto line = buffered_line()) {
      return std::move(*line);
    }
    if (buffer_.size() > child_line_bytes_max) {
      return fail(Errc::too_large, "process: " + name_ + ": a line of more than " +
                                       std::to_string(child_line_bytes_max) + " bytes");
    }
    if (output_ < 0) {
      return fail(Errc::not_found, "process: " + name_ + ": its output has ended");
    }
    if (!wait_for_input(output_, deadline)) {
      return fail(Errc::io, "process: " + name_ + ": no line before the deadline");
    }
    std::array<char, 4096> chunk{};
    const ssize_t got = ::read(output_, chunk.data(), chunk.size());
    if (got > 0) {
      buffer_.append(chunk.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      close_fd(output_);
      if (!buffer_.empty()) {
        return std::exchange(buffer_, {});  // A last line without an end.
      }
    }
  }
}

void ChildProcess::kill(int signal) {
  if (pid_ > 0 && !exit_) {
    ::kill(pid_, signal);
  }
}

std::optional<ChildExit> ChildProcess::wait(std::chrono::milliseconds timeout) {
  if (exit_ || pid_ <= 0 || !wait_for_input(process_fd_, Clock::now() + timeout)) {
    return exit_;
  }
  ::kill(-pid_,
         SIGKILL);  // What it left in its group; before reaping, while the number is still taken.
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  exit_ = WIFSIGNALED(status) ? ChildExit{0, WTERMSIG(status)} : ChildExit{WEXITSTATUS(status), 0};
  return exit_;
}

}  // namespace forerun
