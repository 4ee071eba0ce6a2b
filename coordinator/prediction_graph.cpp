#include "coordinator/prediction_graph.hpp"

#include <algorithm>

#include "coordinator/graph.hpp"

namespace forerun {

PredictionSettings prediction_within(std::size_t megabytes) {
  PredictionSettings settings;
  for (std::size_t* limit :
       {&settings.sessions_max, &settings.session_bytes_max, &settings.contexts_max,
        &settings.forms_max, &settings.parameters_max, &settings.outputs_max, &settings.fields_max,
        &settings.word_weights_max, &settings.past_sessions_max}) {
    *limit = std::max<std::size_t>(
        1, *limit / prediction_megabytes * megabytes +
               *limit % prediction_megabytes * megabytes / prediction_megabytes);
  }
  return settings;
}

class PredictionGraph::Impl : public prediction::Graph {
public:
  using Graph::Graph;
};

PredictionGraph::PredictionGraph(const PredictionSettings& settings)
    : impl_(std::make_unique<Impl>(settings)) {}

PredictionGraph::~PredictionGraph() = default;

void PredictionGraph::text(const RunId& session, std::string_view tenant, std::string_view text) {
  impl_->text(session, tenant, text);
}

void PredictionGraph::observe(const RunId& session, std::string_view tenant, const Call& call,
                              const std::optional<Output>& output) {
  impl_->observe(session, tenant, call, output);
}

void PredictionGraph::end(const RunId& session) {
  impl_->end(session);
}

void PredictionGraph::forget(std::string_view tenant) {
  impl_->forget(tenant);
}

void PredictionGraph::declare(const DeclaredTasks& tasks) {
  impl_->declare(tasks);
}

void PredictionGraph::set_learning(bool learns) {
  impl_->set_learning(learns);
}

std::vector<Prediction> PredictionGraph::predict(const RunId& session,
                                                 const Question& question) const {
  return impl_->predict(session, question, nullptr);
}

Expectation PredictionGraph::expect(const RunId& session, const Question& question) const {
  Expectation expected;
  expected.calls = impl_->predict(session, question, &expected.tasks);
  return expected;
}

double PredictionGraph::end_probability(const RunId& session, const Question& question) const {
  return impl_->end_probability(session, question);
}

PredictionSizes PredictionGraph::sizes() const {
  return impl_->sizes();
}

}  // namespace forerun
