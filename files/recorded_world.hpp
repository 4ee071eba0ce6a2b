#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "files/traces.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

/// Answers calls from recorded sessions (design.md §7). Pure once made: equal questions get equal
/// answers.
class RecordedWorld {
public:
  /// A task that is not in `read_only` is a write. Missing latencies, and those of calls that it
  /// does not know, come from `times` and `seed`; `speedup` divides every latency. What a `pure`
  /// task answers no write changes. Of two sessions with one name the first is kept (read_traces
  /// refuses them). @pre speedup > 0.
  RecordedWorld(std::vector<TraceSession> sessions, ReadOnlyTasks read_only, std::uint64_t seed,
                double speedup, const TimeModels& times = {}, ReadOnlyTasks pure = {});

  struct Answer {
    json::Value output;
    Duration latency{};
    /// The world does not know this call; committing it would be a bug that must show.
    bool is_marker = false;
  };
  /// A confirmed step gets its recorded output; a speculated call equal to a later step, with no
  /// write between `at.committed` and that step, gets that step's output; any other gets a marker
  /// `{"forerun_marker": CALL HASH}` after a latency modelled from seed and call hash. Logarithmic
  /// in the session's length; thread-safe. Errors: not_found (no such session; a confirmed call
  /// that is not the recorded one).
  Result<Answer> answer(const Call& call, const WorldPosition& at) const;

private:
  /// A step's output and latency, without what only the client needs.
  struct Step {
    Call call;
    json::Value output;
    Duration latency{};
  };
  struct Session {
    std::vector<Step> steps;
    /// Sorted: a call's steps in their order.
    std::vector<std::pair<Digest, std::uint32_t>> by_call;
    /// By step, and one past the last: the first write from there on.
    std::vector<std::uint32_t> next_write;
  };
  static Session indexed(TraceSession recorded, const ReadOnlyTasks& read_only);
  /// The step whose answer a speculation may have, or null.
  const Step* later_step(const Session& session, const Call& call, std::uint32_t committed) const;
  Answer marker(const Call& call) const;
  Duration faster(Duration latency) const;

  std::map<std::string, Session, std::less<>> sessions_;
  std::uint64_t seed_;
  double speedup_;
  ReadOnlyTasks pure_;
  TimeModel latency_;  ///< Of calls that it does not know.
};

}  // namespace forerun
