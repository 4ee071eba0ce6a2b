#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "backtest/recorded_values.hpp"
#include "coordinator/prediction_hash.hpp"
#include "coordinator/predictor.hpp"
#include "files/traces.hpp"

namespace forerun {

/// Perfect prediction: names the next recorded call, unless one of its values stands in nothing but
/// outputs and texts still to come, and no call that was learned from had it in the same place.
/// What is left is the machine's limit, not the predictor's.
class Oracle final : public Predictor {
public:
  /// The session follows this record, which outlives the oracle.
  void follow(const RunId& session, const TraceSession& record);
  void text(const RunId& session, std::string_view tenant, std::string_view text) override;
  void observe(const RunId& session, std::string_view tenant, const Call& call,
               const std::optional<Output>& output) override;
  void end(const RunId& session) override { sessions_.erase(session); }
  void set_learning(bool learns) override { learns_ = learns; }
  std::vector<Prediction> predict(const RunId& session, const Question& question) const override;

private:
  struct Followed {
    const TraceSession* record = nullptr;
    std::unique_ptr<RecordedValues> values;
    std::size_t steps = 0;
    std::size_t texts = 0;  ///< Of the texts before the next step, how many have come.
  };
  bool lacks(const Followed& followed, std::size_t next, const Question& question) const;

  std::map<RunId, Followed> sessions_;
  /// Which values the arguments of tasks had, by tenant; only ever looked up.
  std::unordered_set<prediction::Key, prediction::KeyHash> used_;
  bool learns_ = true;
};

}  // namespace forerun
