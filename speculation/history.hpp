#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "speculation/call.hpp"
#include "speculation/durable.hpp"
#include "speculation/ids.hpp"

/// What a coordinator learns from beside the steps that it commits: sessions that happened
/// elsewhere and were taught to it, and, after a restart, its own ledger.
namespace forerun {

inline constexpr std::size_t history_name_bytes_max = 256;  ///< A session's name.
inline constexpr std::size_t history_steps_max = 10'000;    ///< Of one session.
inline constexpr std::size_t history_texts_max = 1'000;     ///< Before one call.

struct HistoryStep {
  std::vector<std::string> texts;  ///< Reached the session before this call.
  Call call;
  std::optional<Output> output;  ///< None: the step failed.
};

/// A session that happened elsewhere.
struct HistorySession {
  std::string name;
  std::string context;
  std::vector<HistoryStep> steps;
};

/// Reads a session in the form of a line of a trace: {"session", "context"?, "steps": [{"task",
/// "input", "output"?, "pre"?}, …]}; other members are ignored. Errors: invalid and too_large,
/// `session "NAME": step N: member "M": …`.
Result<HistorySession> read_history_session(const json::Value& value);
/// The same form; equal sessions give equal texts.
std::string history_text(const HistorySession& session);
/// Of a text that history_text() made. Errors: as above.
Result<HistorySession> parse_history_text(const std::string& text);

/// What is to be read from the store for learning: sessions that were taught, in [first, last), or
/// the ledger's commits, in [from, until). One of the two ranges is empty.
struct ReadPast {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  Seq from;
  Seq until;
  std::size_t steps = 0;  ///< About as many steps are wanted at once.
};

/// How long a branch ran that returned, or whose deadline passed.
struct PastRun {
  std::string task;
  Duration ran{};
};
/// A committed step to learn from.
struct PastStep {
  RunId run_id;
  StepNumber step;
  bool is_last = false;  ///< Its session has ended with it.
  std::string tenant;
  std::string context;             ///< Of its session; with step 0 only.
  std::vector<std::string> texts;  ///< That came between it and the commit before.
  std::optional<Call> call;        ///< None: erased.
  std::optional<Output> output;
  std::vector<PastRun> runs;
};
/// A session that was taught.
struct PastSession {
  std::uint64_t number = 0;
  std::string tenant;
  HistorySession session;
};

/// What ReadPast asked for, in order. What cannot be read is left out.
struct PastRead {
  std::vector<PastSession> sessions;
  std::vector<PastStep> steps;
  std::uint64_t next = 0;  ///< All sessions before this one have been read.
  Seq next_seq;            ///< All entries before this one have been read.
};

}  // namespace forerun
