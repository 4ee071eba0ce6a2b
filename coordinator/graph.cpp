#include "coordinator/graph.hpp"

#include <algorithm>

#include "coordinator/symbols.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t past_sessions_each_min = 8;
/// One session's calls and outputs take at most this part of what all may.
constexpr std::size_t sessions_in_memory_min = 8;
/// Of what all sessions may take: for each so much, one value of a session and one byte of a
/// document whose values are remembered; at least units_min, at most the usual.
constexpr std::size_t session_bytes_per_unit = 8'192;
constexpr std::size_t units_min = 4'096;

MemoryLimits memory_limits(const PredictionSettings& settings) {
  MemoryLimits limits;
  limits.steps = settings.steps_per_session_max;
  limits.values_per_document = settings.paths_per_output_max;
  limits.bytes = settings.session_bytes_max / sessions_in_memory_min;
  const std::size_t units =
      std::max(settings.session_bytes_max / session_bytes_per_unit, units_min);
  limits.values = std::min(units, limits.values);
  limits.document_bytes = std::min(units, limits.document_bytes);
  limits.counts = settings.without != Idea::counts;
  limits.parts = settings.without != Idea::parts_of_texts;
  limits.days = settings.without != Idea::written_dates;
  return limits;
}

}  // namespace

Graph::Graph(const PredictionSettings& settings)
    : settings_(settings),
      contexts_(settings.contexts_max),
      forms_(settings.forms_max, has(Idea::declared), has(Idea::descriptions)),
      values_(settings.parameters_max, has(Idea::composed_values)),
      labels_(settings.fields_max, has(Idea::labels), has(Idea::telling_fields)),
      outputs_({settings.outputs_max, settings.output_bytes_max, labels_.tasks_max(),
                settings.fields_max},
               has(Idea::trust)),
      words_(settings.word_weights_max),
      tenants_(settings.tenants_max),
      sessions_({settings.sessions_max, settings.session_bytes_max, memory_limits(settings)}) {
  model_form_.task = settings.model_task;
  model_form_.names = {conversation_parameter};
  value_mask_.fill(1);
  call_mask_.fill(1);
  if (settings.without) {
    for (const std::size_t at : value_features_of(*settings.without)) {
      value_mask_[at] = 0;
    }
    for (const std::size_t at : call_features_of(*settings.without)) {
      call_mask_[at] = 0;
    }
  }
}

Session& Graph::open(const RunId& id, std::string_view tenant) {
  if (Session* const known = sessions_.use(id)) {
    return *known;
  }
  std::string name(tenant);
  const Key key = tenants_.take(name).key;
  return sessions_.add(id, key, std::move(name));
}

void Graph::forget(std::string_view tenant) {
  tenants_.forget(tenant);
  sessions_.erase_all_of(tenant);
}

Surroundings Graph::around(const Session& session, Key task) const {
  const std::vector<SeenStep>& steps = session.memory.steps();
  const Key previous = steps.empty() ? start_task : steps.back().task;
  Surroundings around{session.memory,  task, previous, open_tasks_, &outputs_.names(),
                      session.meanings};
  around.corrects = has(Idea::corrected_texts);
  around.has_about = has(Idea::spoken_of);
  around.converts = has(Idea::parts_of_texts);
  around.mask = settings_.without ? &value_mask_ : nullptr;
  return around;
}

std::size_t Graph::past_sessions_each() const {
  return std::max<std::size_t>(past_sessions_each_min,
                               settings_.past_sessions_max / tenants_.size());
}

PredictionSizes Graph::sizes() const {
  PredictionSizes sizes;
  sizes.sessions = sessions_.size();
  sizes.session_bytes = sessions_.bytes();
  sizes.contexts = contexts_.size();
  sizes.forms = forms_.size();
  sizes.parameters = values_.size();
  sizes.outputs = outputs_.size();
  sizes.fields = labels_.fields();
  sizes.tenants = tenants_.size();
  return sizes;
}

}  // namespace forerun::prediction
