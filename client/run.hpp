#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "client/run_report.hpp"
#include "demo/session_client.hpp"
#include "files/traces.hpp"

namespace forerun {

struct RunSettings {
  std::size_t concurrency = 6;  ///< Sessions side by side, 1 to concurrency_max.
  bool thinks = true;           ///< Waits recorded think times; what was not recorded is 0.
  double speedup = 1;           ///< Divides them.
  bool compares = false;        ///< With the recorded outputs, where there are.
  std::string speculation = "on";
  bool has_world = false;  ///< The nodes' recorded world answers: sessions are known by name there.
  /// Of idempotency keys: a run with the prefix of an earlier one joins what that one opened and
  /// confirmed.
  std::string key;
  std::function<Instant()> now;  ///< Both are replaced in tests.
  std::function<void(Duration)> pause;
  std::function<bool()> is_stopped;  ///< Asked between steps; empty: never.
  /// Each step as it is answered; one at a time.
  std::function<void(const RanSession&, const RanStep&)> on_step;
};

/// Confirms the calls of every session, in order, each session's calls one after another (those
/// that were made together as one list) and sessions side by side. A session that fails keeps its
/// error and the others go on; when one cannot be opened no further one is. Stopped, it finishes
/// the steps that are being answered and ends their sessions.
RunReport run_sessions(const std::vector<TraceSession>& sessions, const RunSettings& settings,
                       const std::function<std::unique_ptr<SessionClient>()>& make_client);

}  // namespace forerun
