#include "node/executors/seccomp_filter.hpp"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace forerun {
namespace {

/// Denied with EPERM. Names that this machine does not know are passed over.
constexpr const char* denied[] = {
    // Mounts and roots.
    "mount", "umount", "umount2", "pivot_root", "chroot", "mount_setattr", "open_tree",
    "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "open_by_handle_at", "swapon",
    "swapoff", "quotactl", "quotactl_fd", "fanotify_init", "lookup_dcookie",
    // Namespaces, other processes.
    "unshare", "setns", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
    "kcmp", "pidfd_getfd", "migrate_pages", "move_pages",
    // The machine.
    "init_module", "finit_module", "delete_module", "create_module", "kexec_load",
    "kexec_file_load", "reboot", "acct", "settimeofday", "clock_settime", "clock_adjtime",
    "adjtimex", "stime", "sethostname", "setdomainname", "iopl", "ioperm", "syslog", "vhangup",
    "nfsservctl", "uselib", "vm86", "vm86old", "modify_ldt",
    // What kernels had their holes in.
    "bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl", "memfd_secret"};
/// Denied with ENOSYS: programs fall back. clone3 hides its flags from filters; System V shared
/// memory escapes a process's limits.
constexpr const char* absent[] = {"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register",
                                  "shmget", "shmat"};

constexpr int socket_families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
constexpr std::uint64_t new_namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                         CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

class Filter {
public:
  Filter() : context_(::seccomp_init(SCMP_ACT_ALLOW), ::seccomp_release) {
    note(context_ ? 0 : -ENOMEM);
  }
  void deny(const char* name, int reason) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number >= 0 && failed_ == 0) {
      note(::seccomp_rule_add(context_.get(), SCMP_ACT_ERRNO(static_cast<std::uint32_t>(reason)),
                              number, 0));
    }
  }
  void deny_if(int number, int reason, std::initializer_list<scmp_arg_cmp> conditions) {
    if (failed_ == 0) {
      note(::seccomp_rule_add_array(context_.get(),
                                    SCMP_ACT_ERRNO(static_cast<std::uint32_t>(reason)), number,
                                    static_cast<unsigned>(conditions.size()), conditions.begin()));
    }
  }
  void write_to(int file) {
    if (failed_ == 0) {
      note(::seccomp_export_bpf(context_.get(), file));
    }
  }
  int failed() const { return failed_; }

private:
  void note(int result) { failed_ = failed_ != 0 || result >= 0 ? failed_ : -result; }

  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
  int failed_ = 0;
};

}  // namespace

Result<Descriptor> make_seccomp_filter() {
  Filter filter;
  for (const char* name : denied) {
    filter.deny(name, EPERM);
  }
  for (const char* name : absent) {
    filter.deny(name, ENOSYS);
  }
  // One rule a flag: any of them is enough.
  for (std::uint64_t flag = 1; flag <= new_namespaces; flag <<= 1U) {
    if ((flag & new_namespaces) != 0) {
      filter.deny_if(SCMP_SYS(clone), EPERM, {SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)});
    }
  }
  for (const unsigned long request : {TIOCSTI, TIOCLINUX}) {
    // The kernel looks at the lower half only.
    filter.deny_if(SCMP_SYS(ioctl), EPERM, {SCMP_A1(SCMP_CMP_MASKED_EQ, 0xFFFFFFFF, request)});
  }
  // Families from 0 up to the last one allowed, and all beyond it.
  int next = 0;
  for (const int family : socket_families) {
    for (; next < family; ++next) {
      filter.deny_if(SCMP_SYS(socket), EAFNOSUPPORT,
                     {SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(next))});
    }
    ++next;
  }
  filter.deny_if(SCMP_SYS(socket), EAFNOSUPPORT,
                 {SCMP_A0(SCMP_CMP_GE, static_cast<scmp_datum_t>(next))});
  Descriptor file(::memfd_create("forerun-seccomp", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.is_open()) {
    return fail(Errc::refused, std::string("seccomp: ") + strerrordesc_np(errno));
  }
  filter.write_to(file.get());
  if (filter.failed() != 0) {
    return fail(Errc::refused, std::string("seccomp: ") + strerrordesc_np(filter.failed()));
  }
  ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return file;
}

Descriptor reopened(const Descriptor& file) {
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  return Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

}  // namespace forerun
