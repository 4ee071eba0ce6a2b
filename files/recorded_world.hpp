#pragma once

#include <map>
#include <string>
#include <vector>

#include "files/traces.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

/// Answers calls from recorded sessions (design.md §7). Pure once made: equal questions get equal answers.
class RecordedWorld {
public:
  /// `writes_end_reuse`: tells whether a task is a write. `speedup` divides every latency. @pre speedup > 0.
  RecordedWorld(std::vector<TraceSession> sessions, ReadOnlyTasks read_only, std::uint64_t seed, double speedup);

  struct Answer {
    json::Value output;
    Duration latency{};
    bool is_marker = false; ///< The world does not know this call; committing it would be a bug that must show.
  };
  /// A confirmed step gets its recorded output; a speculated call equal to a later step, with no write between
  /// `at.committed` and that step, gets that step's output; any other gets a marker `{"forerun_marker": …}`.
  /// Errors: not_found (no such session; a confirmed call that is not the recorded one).
  Result<Answer> answer(const Call& call, const WorldPosition& at) const;

private:
  std::map<std::string, TraceSession, std::less<>> sessions_;
  ReadOnlyTasks read_only_;
  std::uint64_t seed_;
  double speedup_;
};

} // namespace forerun
