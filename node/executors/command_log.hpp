#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {

struct CommandLogSettings {
  double lines_per_s = 20;   ///< Of all commands of a node, in the long run.
  double lines_burst = 500;  ///< At once.
};

/// Makes lines for the node's log of what commands write to stderr: each with whose it is, as one
/// line of valid text, cut to cause_bytes_max. What is beyond the limits is counted, not kept, so
/// that no command fills a disk. Pure. One thread.
class CommandLog {
public:
  using Time = RunClock::time_point;
  using Source = std::uint64_t;  ///< A process; never used again.

  explicit CommandLog(const CommandLogSettings& settings = {})
      : settings_(settings), left_(settings.lines_burst) {}

  /// The lines that end in what `source` has written. `name` says whose it is.
  std::vector<std::string> take(Time now, Source source, std::string_view name,
                                std::string_view text);
  /// `source` writes no more: its last line, if that had no end.
  std::vector<std::string> closed(Time now, Source source, std::string_view name);

private:
  void add(Time now, std::string_view name, std::string_view line, std::vector<std::string>& lines);

  const CommandLogSettings settings_;
  std::map<Source, std::string> unfinished_;  ///< Of each at most cause_bytes_max.
  double left_;                               ///< Lines that may be logged.
  Time filled_at_{};
  std::uint64_t dropped_ = 0;
};

}  // namespace forerun
