#include "backtest/sessions.hpp"

#include <utility>

#include "base/prng.hpp"
#include "base/sha1.hpp"

namespace forerun {

std::string tenant_of(const TraceSession& session) {
  return session.source.empty() ? "default" : session.source;
}

double group_share(const std::string& group) {
  return static_cast<double>(sha1_prefix(group)) / 4294967295.0;
}

SplitSessions split_by_group(std::vector<TraceSession> sessions, double share, std::uint64_t seed,
                             std::vector<TraceSession> history) {
  SplitSessions split;
  split.history = std::move(history);
  for (TraceSession& session : sessions) {
    (group_share(session.group) < share ? split.history : split.measured)
        .push_back(std::move(session));
  }
  Prng order(seed);
  for (std::size_t i = split.history.size(); i > 1; --i) {
    std::swap(split.history[i - 1], split.history[order.below(i)]);
  }
  return split;
}

void follow(Predictor& predictor, const RunId& run_id, const TraceSession& session,
            std::size_t until) {
  const std::string tenant = tenant_of(session);
  predictor.text(run_id, tenant, session.context);
  for (std::size_t i = 0; i < session.steps.size() && i <= until; ++i) {
    const TraceStep& step = session.steps[i];
    for (const std::string& text : step.texts) {
      predictor.text(run_id, tenant, text);
    }
    if (i < until) {
      predictor.observe(run_id, tenant, step.call, Output::make(step.output));
    }
  }
}

void learn_from(Predictor& predictor, const std::vector<TraceSession>& sessions) {
  RunId id;
  id.home.uuid.bytes.fill(0xff);  // No worker's: it meets no session of a cluster.
  for (const TraceSession& session : sessions) {
    ++id.counter;
    follow(predictor, id, session, session.steps.size());
    predictor.end(id);
  }
}

}  // namespace forerun
