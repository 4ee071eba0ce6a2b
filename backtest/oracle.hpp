#pragma once

#include <map>
#include <string>

#include "coordinator/predictor.hpp"
#include "files/traces.hpp"

namespace forerun {

/// Perfect prediction: names the next recorded call, unless it needs a value that only an output
/// still to come holds, or text that has not reached the session. What is left is the machine's
/// limit, not the predictor's.
class Oracle final : public Predictor {
public:
  /// The session follows this record, which outlives the oracle.
  void follow(const RunId& session, const TraceSession& record);
  void text(const RunId& session, std::string_view tenant, std::string_view text) override;
  void observe(const RunId& session, std::string_view tenant, const Call& call,
               const std::optional<Output>& output) override;
  void end(const RunId& session) override { sessions_.erase(session); }
  void set_learning(bool) override {}
  std::vector<Prediction> predict(const RunId& session, const Question& question) const override;

private:
  struct Followed {
    const TraceSession* record = nullptr;
    std::size_t steps = 0;
    std::size_t texts = 0;  ///< Of the texts before the next step, how many have come.
  };
  std::map<RunId, Followed> sessions_;
};

}  // namespace forerun
