#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

namespace forerun {

/// One step as a cluster answered it.
struct RanStep {
  std::uint32_t step = 0;
  std::string task;
  bool failed = false;
  std::string origin;  ///< hit, late_hit or miss.
  double ms = 0;       ///< From asking to the answer; of a list, the list's.
  double saved_ms = 0;
  bool differs = false;  ///< The recorded output is another one.
};

/// One session as it ran.
struct RanSession {
  std::string name;
  std::string run_id;  ///< Empty: it was not opened.
  std::vector<RanStep> steps;
  std::optional<Error> error;
};

struct RunReport {
  std::vector<RanSession> sessions;  ///< Those begun, in the file's order.
  bool is_stopped = false;
  bool compares = false;  ///< Outputs were compared with the recorded ones.
};

inline constexpr std::size_t run_errors_shown_max = 5;

/// The totals, and with them every session's steps.
json::Value to_json(const RunReport& report);
/// The totals in words, with the first errors.
std::string to_text(const RunReport& report);
/// One line for a step.
std::string to_text(const RanSession& session, const RanStep& step);
std::size_t differences_of(const RunReport& report);

}  // namespace forerun
