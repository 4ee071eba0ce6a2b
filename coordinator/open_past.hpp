#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/lesson.hpp"
#include "speculation/durable.hpp"

namespace forerun {

/// What sessions that were open when a term began had said and done before it, to be learned again.
/// Of their steps the latest, of all sessions together; the older ones are not learned. Pure.
class OpenPast {
public:
  struct Limits {
    std::size_t steps_max = 200'000;
    std::size_t bytes_max = std::size_t{256} << 20U;  ///< Of calls and outputs.
  };
  explicit OpenPast(const Limits& limits) : limits_(limits) {}

  /// A commit of a session that may be open, in the ledger's order.
  void commit(const StoredEntry& entry);
  /// A session that is open; `texts` in its order. After all commits.
  void open(const SessionRow& session, std::vector<TextRow> texts);
  /// Forgets the commits of sessions that are not open. After the last of them.
  void settle();
  /// What a session that is not learned whole has done since, in order: it comes behind the rest.
  /// @pre contains(lesson.run_id).
  void add(Lesson lesson);

  bool contains(const RunId& run_id) const { return sessions_.contains(run_id); }
  bool empty() const { return sessions_.empty(); }
  /// Not taken yet.
  std::uint64_t steps() const { return step_count_; }
  /// The same of one session.
  std::uint64_t steps(const RunId& run_id) const;
  /// The next lesson of some session; nothing when no more is left.
  std::optional<Lesson> next();
  /// The next lesson of this session; nothing when no more of it is left.
  std::optional<Lesson> next(const RunId& run_id);

private:
  struct Step {
    StepNumber number;
    std::string call;    ///< Empty: erased, it teaches nothing.
    std::string output;  ///< Empty: erased, or the step failed.
    std::size_t bytes() const { return call.size() + output.size(); }
  };
  struct Session {
    bool is_open = false;
    std::string tenant;
    std::optional<std::string> context;  ///< Until it is taken.
    std::deque<TextRow> texts;
    std::deque<Step> steps;
    std::deque<Lesson> since;
  };
  void drop_oldest();
  Step take_step(Session& session);
  static bool is_step(const Lesson& lesson) {
    return std::holds_alternative<Lesson::Step>(lesson.what);
  }

  Limits limits_;
  std::map<RunId, Session> sessions_;
  std::deque<RunId> order_;  ///< Whose each step is, the oldest first; until settle().
  std::uint64_t step_count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace forerun
