#include "node/executors/cgroup_spawn.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>

namespace forerun {
namespace {

constexpr std::size_t stack_bytes = 64U << 10U;
constexpr int exit_not_started = 127;

/// What parent and child share: the child runs in the parent's memory until it has become the
/// program.
struct Birth {
  const CgroupSpawn* spawn = nullptr;
  int problem = 0;
};

/// The child's side. The parent's other threads run on beside it and may hold any lock, so it only
/// makes system calls, none of them through a wrapper that a sanitizer watches.
[[noreturn]] __attribute__((no_sanitize("address", "thread", "undefined"))) void be_born(
    void* shared) {
  Birth& birth = *static_cast<Birth*>(shared);
  const CgroupSpawn& spawn = *birth.spawn;
  const auto failed = [&birth] {
    birth.problem = errno;
    ::syscall(SYS_exit_group, exit_not_started);
  };
  // Handlers are gone (CLONE_CLEAR_SIGHAND); what the parent ignores, this ends. All zero is the
  // default action in the kernel's own struct.
  constexpr std::size_t set_bytes = 8;
  const std::uint64_t default_action[4] = {};
  for (int signal = 1; signal < NSIG; ++signal) {
    ::syscall(SYS_rt_sigaction, signal, default_action, nullptr, set_bytes);
  }
  ::syscall(SYS_setsid);
  int kept = 0;
  for (const int source : spawn.descriptors) {
    if (source < 0) {
      break;
    }
    // Onto itself it would stay closed on exec.
    if ((source == kept ? ::syscall(SYS_fcntl, source, F_SETFD, 0)
                        : ::syscall(SYS_dup3, source, kept, 0)) < 0) {
      failed();
    }
    ++kept;
  }
  if (::syscall(SYS_close_range, kept, std::numeric_limits<unsigned>::max(), 0) != 0 ||
      ::syscall(SYS_chdir, spawn.folder) != 0) {
    failed();
  }
  const std::uint64_t none = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, set_bytes);
  // As execvp(3) looks a name up: a folder without it, or with one that may not be executed, is
  // passed over, and the latter is told if no other has it.
  int problem = ENOENT;
  for (const char* program : spawn.programs) {
    ::syscall(SYS_execve, program, spawn.words.data(), spawn.environment.data());
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) {
      failed();
    }
    problem = errno == EACCES ? EACCES : problem;
  }
  errno = problem;
  failed();
  __builtin_unreachable();
}

/// clone3(2) with a stack for the child, which calls `function` there. The C library has no such
/// wrapper, and its syscall() cannot return on another stack.
long clone_onto_stack(clone_args& arguments, void (*function)(void*), void* argument) {
#if defined(__x86_64__)
  long result = SYS_clone3;
  register auto called asm("r8") = function;
  register auto given asm("r9") = argument;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "mov %[given], %%rdi\n\t"
      "call *%[called]\n\t"
      "hlt\n"
      "1:"
      : "+a"(result)
      : "D"(&arguments), "S"(sizeof arguments), [called] "r"(called), [given] "r"(given)
      : "rcx", "r11", "cc", "memory");
  return result;
#elif defined(__aarch64__)
  register long number asm("x8") = SYS_clone3;
  register auto first asm("x0") = reinterpret_cast<long>(&arguments);
  register auto second asm("x1") = static_cast<long>(sizeof arguments);
  register auto called asm("x9") = function;
  register auto given asm("x10") = argument;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x0, %[given]\n\t"
      "blr %[called]\n\t"
      "brk #1\n"
      "1:"
      : "+r"(first)
      : "r"(number), "r"(second), [called] "r"(called), [given] "r"(given)
      : "cc", "memory");
  return first;
#else
  static_cast<void>(arguments);
  static_cast<void>(function);
  static_cast<void>(argument);
  return -ENOSYS;
#endif
}

/// No signal reaches this thread while it lives: a handler would run in two processes at once.
class BlockedSignals {
public:
  BlockedSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
  sigset_t before_{};
};

}  // namespace

CgroupSpawned spawn_in_cgroup(const CgroupSpawn& spawn) {
  CgroupSpawned spawned;
  void* const stack = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) {
    spawned.not_made = errno;
    return spawned;
  }
  Birth birth{&spawn};
  clone_args arguments{};
  arguments.flags = CLONE_VM | CLONE_VFORK | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
  arguments.exit_signal = SIGCHLD;
  arguments.stack = reinterpret_cast<std::uintptr_t>(stack);
  arguments.stack_size = stack_bytes;
  arguments.cgroup = static_cast<std::uint64_t>(spawn.cgroup);
  long result = 0;
  {
    const BlockedSignals blocked;
    result = clone_onto_stack(arguments, be_born, &birth);
  }
  ::munmap(stack, stack_bytes);
  if (result < 0) {
    spawned.not_made = static_cast<int>(-result);
  } else if (birth.problem != 0) {
    spawned.not_started = birth.problem;
    ::waitpid(static_cast<pid_t>(result), nullptr, 0);
  } else {
    spawned.pid = static_cast<pid_t>(result);
  }
  return spawned;
}

}  // namespace forerun
