#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/predictor.hpp"
#include "files/traces.hpp"

/// Recorded sessions as a predictor meets them.
namespace forerun {

/// A trace's source is a world of its own: what is learned in one says nothing of another.
std::string tenant_of(const TraceSession& session);

/// A number in [0, 1] from a group's name: the first 8 hex digits of its SHA-1 over 0xffffffff.
double group_share(const std::string& group);

struct SplitSessions {
  std::vector<TraceSession> history;   ///< Those that only teach, in a drawn order.
  std::vector<TraceSession> measured;  ///< All others, in the order in which they came.
};

/// Splits sessions into those that only teach, whose group falls under the share, and those that
/// are measured. `history` teaches too. A file's order is often by kind, so all that teach come in
/// one order drawn from the seed (Fisher and Yates): what is learned last is like what is measured.
SplitSessions split_by_group(std::vector<TraceSession> sessions, double share, std::uint64_t seed,
                             std::vector<TraceSession> history = {});

/// Learns from whole sessions, without time.
void learn_from(Predictor& predictor, const std::vector<TraceSession>& sessions);

/// Shows the predictor what had happened in a session when its step `until` was about to come: the
/// steps before it, and the texts that came before its call.
void follow(Predictor& predictor, const RunId& run_id, const TraceSession& session,
            std::size_t until);

}  // namespace forerun
