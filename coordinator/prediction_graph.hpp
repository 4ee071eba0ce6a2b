#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "coordinator/ideas.hpp"
#include "coordinator/predictor.hpp"

namespace forerun {

struct PredictionSettings {
  std::optional<Idea> without;        ///< For measuring what it is worth.
  std::string model_task;             ///< A task whose only input is the digest of what was said
                                      ///< (conversation.hpp): an agent's thinking. Empty: none.
  std::size_t sessions_max = 20'000;  ///< Working memories kept; the oldest is dropped beyond it.
  std::size_t session_bytes_max =
      512U << 20U;  ///< What they take, with the values and words by which they are searched.
  std::size_t steps_per_session_max = 512;  ///< Remembered for bindings.
  std::size_t contexts_max =
      600'000;  ///< Learned contexts in all tenants; the least recently used go first.
  std::size_t forms_max = 50'000;  ///< Tasks with their sets of parameters, in all tenants.
  std::size_t parameters_max = 50'000;
  std::size_t outputs_max = 50'000;        ///< Small outputs that may be predicted.
  std::size_t output_bytes_max = 512;      ///< How small.
  std::size_t fields_max = 200'000;        ///< Fields of inputs and outputs, watched for labels.
  std::size_t word_weights_max = 500'000;  ///< Words with the calls that follow them.
  std::size_t past_sessions_max = 20'000;  ///< Remembered whole, to find those alike.
  std::size_t tenants_max = 4'096;
  std::size_t paths_per_output_max =
      256;  ///< Values of one input or output that bindings may refer to.
};

/// The default limits take about so many megabytes when all of them are reached.
inline constexpr std::size_t prediction_megabytes = 1024;
/// Limits for so many megabytes instead: all tables and working memories are that much larger or
/// smaller, but for the number of tenants. @pre megabytes > 0
PredictionSettings prediction_within(std::size_t megabytes);

/// How much is held, for tests and status.
struct PredictionSizes {
  std::size_t sessions = 0, session_bytes = 0, contexts = 0, forms = 0, parameters = 0, outputs = 0,
              fields = 0, tenants = 0;
};

/// Contexts over tasks and what they returned, with back-off; arguments bound to where earlier ones
/// came from; learned rankers of both (docs/speculation.md).
class PredictionGraph final : public Predictor {
public:
  explicit PredictionGraph(const PredictionSettings& settings = {});
  ~PredictionGraph() override;
  void text(const RunId& session, std::string_view tenant, std::string_view text) override;
  void observe(const RunId& session, std::string_view tenant, const Call& call,
               const std::optional<Output>& output) override;
  void end(const RunId& session) override;
  /// What the tables still hold of it can be reached no more, and goes as they fill.
  void forget(std::string_view tenant) override;
  void declare(const DeclaredTasks& tasks) override;
  void set_learning(bool learns) override;
  std::vector<Prediction> predict(const RunId& session, const Question& question) const override;
  Expectation expect(const RunId& session, const Question& question) const override;
  double end_probability(const RunId& session, const Question& question) const override;
  PredictionSizes sizes() const;

private:
  class Impl;  ///< graph.hpp
  std::unique_ptr<Impl> impl_;
};

}  // namespace forerun
