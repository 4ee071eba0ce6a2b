#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>

#include "speculation/session_state.hpp"

namespace forerun {

/// Which members of sessions' states which tasks were seen to write. Pure; bounded, and what does
/// not fit is taken to write everything.
class StateWriters {
public:
  static constexpr std::size_t tasks_max = 4096;
  static constexpr std::size_t members_max = 64;  ///< Per task.

  void wrote(const std::string& task, const Output& writes);
  /// Whether it wrote, at some time, what lies at these paths.
  bool may_write(const std::string& task, const StatePaths& paths) const;

private:
  struct Members {
    std::set<std::string> names;
    bool everything = false;
  };
  std::map<std::string, Members> tasks_;
};

}  // namespace forerun
