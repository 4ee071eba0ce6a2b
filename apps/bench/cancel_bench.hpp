#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>

#include "base/result.hpp"

namespace forerun {

/// The flags of `forerun bench cancel`.
struct CancelBenchSettings {
  std::size_t count = 1000;   ///< Cancellations of each kind.
  std::size_t in_flight = 4;  ///< Branches side by side.
  bool is_json = false;
};

/// How long a slot stays taken after its branch is cancelled.
struct FreedTimes {
  double p50_ms = 0;
  double p99_ms = 0;
  double most_ms = 0;
  std::size_t count = 0;
};

struct CancelBenchResult {
  /// By kind: exec, exec_without_sandbox, http, native, native_ignoring, resident,
  /// resident_ignoring.
  std::map<std::string, FreedTimes> kinds;
  std::string killed_by;               ///< What ends commands here: cgroups or not, and why.
  std::string no_sandbox;              ///< Why `exec` is missing; empty when it is not.
  std::uint64_t dead_handles = 0;      ///< As the executors say, and what is left below.
  std::uint64_t processes_left = 0;    ///< Children of this process.
  std::uint64_t descriptors_left = 0;  ///< More than before.
  std::uint64_t connections_left = 0;  ///< That the server still has.
  double memory_growth_kb = 0;         ///< Resident memory, between the first and the last tenth.
  std::optional<FreedTimes>
      python_threads;  ///< Of asyncio on a thread pool; empty without python3.
};

/// Starts branches on executors of its own, cancels each at a random moment of its first
/// milliseconds, and measures the time until its slot is free. Errors: io; verification when a
/// handle outlived its branch (the result is printed before).
Result<int> run_cancel_bench(const CancelBenchSettings& settings, std::ostream& out,
                             std::ostream& progress);

}  // namespace forerun
