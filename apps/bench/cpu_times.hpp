#pragma once

#include <map>
#include <string>

#include "base/time.hpp"

namespace forerun {

/// Processor time that a process's threads have used so far, by thread name (threads of one name
/// together, numbers at its end left out). Empty for a process that is gone.
std::map<std::string, Duration> cpu_times(int pid);

/// After − before, by name.
std::map<std::string, Duration> cpu_used(const std::map<std::string, Duration>& before,
                                         const std::map<std::string, Duration>& after);
Duration sum_of(const std::map<std::string, Duration>& times);

}  // namespace forerun
