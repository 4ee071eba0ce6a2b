#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "replay/comparison.hpp"

namespace forerun {

struct ReplayReport {
  std::string subject;  ///< The export, and the session if it is only one.
  std::size_t sessions = 0;
  std::size_t nodes = 0;
  std::size_t nodes_live = 0;  ///< At the end.
  std::size_t workers = 1;     ///< Of each node.
  std::size_t slots = 0;       ///< Of each worker.
  bool is_speculating = true;
  double seconds = 0;        ///< From the first opening to the last answer.
  bool has_story = false;    ///< Of the one session that was replayed.
  std::string head_problem;  ///< What does not hold of the export's head.json.
  ReplayComparison compared;
};

/// Differences and sessions that are named one by one, in JSON and on stderr; all are counted.
inline constexpr std::size_t replay_named_max = 1000;

/// `{"decisions", "executed", "as_recorded", "not_replayed", "differences", …}`; docs/commands.md
/// has all members.
json::Value to_json(const ReplayReport& report);
/// For people: the figures, and the story if there is one.
std::string to_table(const ReplayReport& report);
/// Every decision of the session: call, seed and rank, branches, winner, both hashes.
std::string story_of(const ReplayComparison& compared);
/// One line each: what differs, and what was not replayed.
std::vector<std::string> findings(const ReplayComparison& compared);

/// 5 with a difference; 1 when a decision that could have been replayed was not, or none was; else
/// 0.
int exit_code(const ReplayReport& report, bool has_errors);

}  // namespace forerun
