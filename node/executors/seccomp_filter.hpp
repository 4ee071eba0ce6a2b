#pragma once

#include "base/result.hpp"
#include "node/executors/child_process.hpp"

namespace forerun {

/// The system call filter of sandboxed commands, a BPF program in an anonymous file. A deny list:
/// namespaces are the wall, the filter shuts what a task never needs and kernels had their holes
/// in: mounting, namespaces, tracing, modules, keys, BPF, io_uring, other socket families, typing
/// into terminals. What is refused fails with EPERM, or ENOSYS where programs have a second way.
/// Errors: refused.
Result<Descriptor> make_seccomp_filter();

/// The same file with a read position of its own, as each bubblewrap reads it to its end. Not open
/// when descriptors are short.
Descriptor reopened(const Descriptor& file);

}  // namespace forerun
