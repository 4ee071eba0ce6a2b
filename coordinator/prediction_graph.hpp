#pragma once

#include <memory>

#include "coordinator/predictor.hpp"

namespace forerun {

struct PredictionSettings {
  std::size_t sessions_max = 20'000;         ///< Working memories kept; the oldest is dropped beyond it.
  std::size_t steps_per_session_max = 512;   ///< Remembered for bindings.
  std::size_t contexts_max = 200'000;        ///< Learned contexts in all tenants; the least recently used go first.
  std::size_t paths_per_output_max = 256;    ///< Scalars of one input or output that bindings may refer to.
};

/// The first prediction graph: contexts of order 2, 1 and 0 over tasks and the shape of what they returned, with back-off;
/// arguments bound to constants and to exact values at paths of earlier inputs and outputs.
class PredictionGraph final : public Predictor {
public:
  explicit PredictionGraph(const PredictionSettings& settings = {});
  ~PredictionGraph() override;
  void text(const RunId& session, std::string_view tenant, std::string_view text) override;
  void observe(const RunId& session, std::string_view tenant, const Call& call,
               const std::optional<Output>& output) override;
  void end(const RunId& session) override;
  std::vector<Prediction> predict(const RunId& session, std::span<const ImaginedStep> beyond,
                                  std::size_t limit) const override;

private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace forerun
