#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "files/time_model.hpp"
#include "speculation/call.hpp"

namespace forerun {

struct TraceStep {
  Call call;
  json::Value output;
  std::optional<Duration> latency;
  std::optional<Duration> think;   ///< From the last output to this call.
  std::vector<std::string> texts;  ///< Reached the session before this call ("pre").
  bool beside_previous = false;    ///< Was called together with the step before ("par").
  bool has_output = true;  ///< False where TraceLimits lets an output be missing; it is null then.
};

struct TraceSession {
  std::string name;
  std::string group;
  std::string source;
  std::string context;
  std::vector<TraceStep> steps;
  /// How often NaN or ±Infinity, which JSON lacks, was read as a text ("Infinity").
  std::uint32_t non_numbers = 0;
};

struct TraceLimits {
  std::size_t line_bytes = 16U << 20U;
  std::size_t file_bytes = 1U << 30U;  ///< Unpacked: a small .gz must not fill memory.
  std::size_t sessions = 200'000;
  std::size_t steps_per_session = 10'000;
  bool needs_outputs = true;  ///< False for sessions that someone wrote to be run.
};

inline constexpr std::size_t trace_name_bytes_max = 256;  ///< A session's, group's or source's.
inline constexpr std::size_t trace_texts_max = 1'000;     ///< Texts before one call.

/// Reads JSON Lines, gzipped or not (told by the first bytes). Unknown members are ignored, blank
/// lines skipped. NaN and Infinity as Python writes them are read as texts and counted
/// (TraceSession::non_numbers), so that whoever shows a result can say so. Everything else is
/// strict: canonical JSON's rules, unique session names, inputs that are objects. Errors name file,
/// line and member: not_found, io (also a broken .gz), too_large, invalid.
Result<std::vector<TraceSession>> read_traces(const std::filesystem::path& file,
                                              const TraceLimits& limits = {});

/// Fills missing latencies and think times from the models, the seed and the step's place (session
/// name and index) only, so it does not depend on the order of reading. A step called beside the
/// one before it has a think time of 0.
void model_missing_times(std::vector<TraceSession>& sessions, std::uint64_t seed,
                         const TimeModels& models = {});

inline constexpr std::size_t read_only_bytes_max = 4U << 20U;

/// Tasks that only read: from read_only.json ({"FILE STEM": ["Task", …] or ["*"]}) or a shell-style
/// pattern list "Get*,Find*" (`*` any characters, `?` one).
class ReadOnlyTasks {
public:
  /// Default: none, every task is a write.
  ReadOnlyTasks() = default;
  static ReadOnlyTasks all();
  /// Exactly these, without wildcards.
  static ReadOnlyTasks of(std::set<std::string, std::less<>> names);
  /// What ends in ".json" is a file, from which the entry of `trace_file` is taken (its name
  /// without .gz and .jsonl). Errors: not_found (no file, no entry), io, too_large, invalid.
  static Result<ReadOnlyTasks> parse(const std::string& file_or_pattern,
                                     const std::filesystem::path& trace_file);
  /// Adds one, without wildcards.
  void insert(std::string name) { names_.insert(std::move(name)); }
  bool contains(std::string_view task) const;

private:
  void add(std::string name_or_pattern);

  bool all_ = false;
  std::set<std::string, std::less<>> names_;  ///< Without wildcards: looked up, not matched.
  std::vector<std::string> patterns_;
};

}  // namespace forerun
