#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "demo/session_client.hpp"
#include "demo/workload.hpp"

namespace forerun {

/// The two clusters that a demo compares: without and with speculation.
enum class Pass { off, on };
inline constexpr std::array<Pass, 2> passes = {Pass::off, Pass::on};
constexpr std::size_t index_of(Pass pass) {
  return pass == Pass::off ? 0 : 1;
}

struct StepRun {
  std::string origin;
  double saved_ms = 0;
  std::string decision_hash;
  bool is_wrong = false;  ///< The recorded world answered, and not with the recorded output.
};

/// One session as it ran in one pass.
struct SessionRun {
  std::string run_id;
  Duration wall{};             ///< From just after opening to the last answer.
  std::vector<StepRun> steps;  ///< In step order; shorter than the session only after an error.
  std::optional<std::string> error;
};

/// The runs of both passes, by the workload's session index.
struct DriveResult {
  std::array<std::vector<SessionRun>, 2> runs;
  const std::vector<SessionRun>& of(Pass pass) const { return runs[index_of(pass)]; }
};

struct DriveProgress {
  Pass pass = Pass::off;
  std::size_t sessions_done = 0;  ///< Of this pass.
  std::size_t sessions = 0;
};

struct DriveSettings {
  std::size_t concurrency = 6;  ///< Sessions that run side by side.
  std::size_t block = 18;       ///< Sessions of one pass before the other takes its turn.
  double speedup = 40;          ///< Divides think times.
  /// Waits until the time on now()'s line; both are replaced in tests.
  std::function<Instant()> now;
  std::function<void(Instant)> wait_until;
  std::function<bool()> is_stopped;                       ///< Asked between steps; empty: never.
  std::function<void(const DriveProgress&)> on_progress;  ///< After each block; empty: none.
};
inline constexpr std::size_t concurrency_max = 1024;

using MakeSessionClient = std::function<std::unique_ptr<SessionClient>(Pass)>;

/// Drives every session once in each pass, in alternating blocks, so that a drift of the machine
/// hits both. Sessions are opened one after another in the workload's order, each just before it
/// starts: on two clusters of equal shape they get equal run IDs. A session that fails keeps its
/// error and the others go on; an opening that fails ends the drive. Errors: those of opening;
/// refused when stopped.
Result<DriveResult> drive(const Workload& workload, const DriveSettings& settings,
                          const MakeSessionClient& make_client);

/// Which steps are confirmed together: [first, last) index pairs in order. A step beside the one
/// before it joins its list, up to calls_per_request_max.
struct StepGroup {
  std::size_t first = 0;
  std::size_t last = 0;
};
std::vector<StepGroup> step_groups(const TraceSession& session);

/// The machine's steady clock, for drivers that are given none.
Instant steady_now();

}  // namespace forerun
