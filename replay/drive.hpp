#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "demo/session_client.hpp"
#include "replay/comparison.hpp"

namespace forerun {

struct ReplayDriveSettings {
  std::size_t concurrency = 6;  ///< Sessions side by side.
  bool is_speculating = true;
  std::function<bool()> is_stopped;  ///< Asked between steps; empty: never.
};

struct ReplayDriveResult {
  ReplayAnswers answers;
  std::map<RunId, std::string> errors;  ///< Sessions that ended before their last step, and why.
};

/// Opens every session under its run ID, in the recorded order, and confirms its replayable calls
/// one after another. An error ends its session; one of the cluster ends the drive.
ReplayDriveResult drive_replay(const RecordedSessions& recorded,
                               const ReplayDriveSettings& settings,
                               const std::function<std::unique_ptr<SessionClient>()>& make_client);

}  // namespace forerun
