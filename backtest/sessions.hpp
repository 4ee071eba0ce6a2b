#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "coordinator/predictor.hpp"
#include "files/traces.hpp"

/// Recorded sessions as a predictor meets them.
namespace forerun {

/// A trace's source is a world of its own: what is learned in one says nothing of another.
std::string tenant_of(const TraceSession& session);

/// Learns from whole sessions, without time.
void learn_from(Predictor& predictor, const std::vector<TraceSession>& sessions);

/// Shows the predictor what had happened in a session when its step `until` was about to come: the
/// steps before it, and the texts that came before its call.
void follow(Predictor& predictor, const RunId& run_id, const TraceSession& session,
            std::size_t until);

}  // namespace forerun
