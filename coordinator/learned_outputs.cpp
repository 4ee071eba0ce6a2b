#include "coordinator/learned_outputs.hpp"

#include <algorithm>

#include "coordinator/likely.hpp"
#include "coordinator/session_contexts.hpp"
#include "coordinator/symbols.hpp"

namespace forerun::prediction {

LearnedOutputs::LearnedOutputs(const OutputLimits& limits, bool has_trust)
    : output_bytes_max_(limits.bytes),
      has_trust_(has_trust),
      outputs_(limits.outputs),
      trust_(limits.tasks),
      names_(limits.names) {}

void LearnedOutputs::learn(const SessionMemory& memory, Key tenant,
                           const std::optional<Output>& output, bool is_lesson,
                           LearnedContexts& contexts) {
  const SeenStep& last = memory.steps().back();
  Key symbol = failed_symbol;
  if (output) {
    const bool is_small = output->canonical().size() <= output_bytes_max_;
    symbol = is_small ? mix(tenant, 0xb0, hash_value(output->value())) : large_symbol;
    if (is_small && door_.lets_in(outputs_, symbol)) {
      outputs_.touch(symbol) = *output;
    }
    if (const json::Object* object = output->value().object()) {
      std::size_t left = fields_per_document_max;
      for (const json::Member& member : *object) {
        if (left-- == 0) {
          break;
        }
        names_.touch(mix(last.task, hash_text(member.name))) = true;
      }
    }
  }
  const ContextKeys keys = output_contexts(memory, tenant);
  if (has_trust_ && is_lesson) {
    trust_.touch(last.task).learn(contexts, keys, {}, symbol);
  }
  contexts.teach(keys, symbol);
}

std::vector<Likely> LearnedOutputs::likely(const SessionMemory& memory, Key tenant,
                                           const LearnedContexts& contexts) const {
  std::vector<Likely> outputs = contexts.likely(output_contexts(memory, tenant), {}, trust(memory));
  std::sort(outputs.begin(), outputs.end(), more_likely);
  return outputs;
}

const Output* LearnedOutputs::find(Key symbol) const {
  const std::optional<Output>* output = outputs_.find(symbol);
  return output == nullptr || !output->has_value() ? nullptr : &**output;
}

const ContextTrust* LearnedOutputs::trust(const SessionMemory& memory) const {
  return has_trust_ ? trust_.find(memory.steps().back().task) : nullptr;
}

}  // namespace forerun::prediction
