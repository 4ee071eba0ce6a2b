#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "files/traces.hpp"
#include "speculation/catalog.hpp"

namespace forerun {

/// What a demo drives: sessions in opening order, and all that the clusters need to answer them.
struct Workload {
  std::string title;  ///< For the heading: where the sessions come from.
  bool is_synthetic = false;
  bool has_modelled_times = false;     ///< Some think or task times were not recorded.
  bool is_upper_bound = false;         ///< Every task was taken as one that only reads.
  std::vector<TraceSession> sessions;  ///< Complete: every step has its latency and think time.
  std::string catalog;                 ///< As in catalog.toml.
  std::string read_only = "*";         ///< For the nodes' recorded world.
  std::string file_stem = "demo";      ///< A list of read-only tasks names its trace file by this.
  std::map<std::string, Effect, std::less<>> effects;
  std::set<std::string, std::less<>>
      native_tasks;  ///< Answered by a function: their recorded output is not used.

  bool is_from_world(std::string_view task) const { return !native_tasks.contains(task); }
  Effect effect(std::string_view task) const;
};

struct WorkloadSettings {
  std::uint64_t seed = 1;
  std::size_t sessions = 80;
  std::size_t flows = 3;  ///< Fewer flows are learned sooner.
};

inline constexpr std::size_t workload_sessions_max = 100'000;

/// The demo's own sessions, of the shape of the mission's steady workload: each follows one of a
/// few workflows of 6 to 8 model calls (median 1.55 s, about 12 s together, 50 ms between an answer
/// and the next call). A call's output is a label that decides the next call; 80 % of the places
/// give their likeliest label in 95 % of the sessions, 15 % in 78 %, 5 % in 45 %. Every third
/// workflow reads, writes and reads again an entry of a store, under a key that no other session
/// uses; every third holds a `triage` and an `answer` race. Pure: equal settings give equal
/// workloads.
/// @pre flows > 0; sessions <= workload_sessions_max.
Workload generate_workload(const WorkloadSettings& settings);

struct RecordedSettings {
  std::filesystem::path file;
  std::string
      read_only;  ///< A file or a pattern; empty: every task is taken as one that only reads.
  std::size_t sessions = 0;  ///< The first so many of the file; 0: all.
  std::uint64_t seed = 1;    ///< Of modelled times.
};

/// Recorded sessions. Every task is answered by the recorded world; what is not listed as read-only
/// writes. Errors: those of reading traces and lists; invalid when the file holds no session.
Result<Workload> read_workload(const RecordedSettings& settings);

/// The catalog of recorded sessions: `effects` by task name, undeclared tags within the session.
std::string recorded_catalog(const std::map<std::string, Effect, std::less<>>& effects);

}  // namespace forerun
