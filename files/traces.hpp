#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "speculation/call.hpp"

namespace forerun {

struct TraceStep {
  Call call;
  json::Value output;
  std::optional<Duration> latency;
  std::optional<Duration> think;     ///< From the last output to this call.
  std::vector<std::string> texts;    ///< Reached the session before this call ("pre").
  bool beside_previous = false;      ///< Was called together with the step before ("par").
};

struct TraceSession {
  std::string name;
  std::string group;
  std::string source;
  std::string context;
  std::vector<TraceStep> steps;
};

struct TraceLimits {
  std::size_t line_bytes = 16U << 20U;
  std::size_t sessions = 200'000;
  std::size_t steps_per_session = 10'000;
};

/// Reads JSON Lines, gzipped or not (told by the first bytes). Errors name file, line and field.
Result<std::vector<TraceSession>> read_traces(const std::filesystem::path& file, const TraceLimits& limits = {});

/// Fills missing latencies and think times: lognormal, task median 1 s sigma 0.6, think median 1 s sigma 0.4, from a seed
/// and the step's place only (so it does not depend on the order of reading).
void model_missing_times(std::vector<TraceSession>& sessions, std::uint64_t seed);

/// Tasks that only read: from read_only.json ({"FILE STEM": ["Task", …] or ["*"]}) or a shell-style pattern list "Get*,Find*".
class ReadOnlyTasks {
public:
  static ReadOnlyTasks all();
  static Result<ReadOnlyTasks> parse(const std::string& file_or_pattern, const std::filesystem::path& trace_file);
  bool contains(std::string_view task) const;

private:
  bool all_ = false;
  std::vector<std::string> patterns_;
};

} // namespace forerun
