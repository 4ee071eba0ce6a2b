#pragma once

#include <optional>
#include <vector>

#include "coordinator/context_trust.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/session_memory.hpp"

namespace forerun::prediction {

struct OutputLimits {
  std::size_t outputs;  ///< Kept, of all tenants.
  std::size_t bytes;    ///< Of one; a larger one is not predicted.
  std::size_t tasks;    ///< Whose contexts' trust is kept.
  std::size_t names;    ///< Of fields of outputs.
};

/// What tasks return: small outputs, so that one that is still open may be predicted, and the names
/// of their fields. How often each came is in the learned contexts.
class LearnedOutputs {
public:
  /// `has_trust`: contexts are believed as far as their task's outputs have shown; else all alike.
  LearnedOutputs(const OutputLimits& limits, bool has_trust);

  /// The last step of a tenant's session returned this; none: it failed. `is_lesson`: it is learned
  /// too how far contexts are to be believed.
  void learn(const SessionMemory& memory, Key tenant, const std::optional<Output>& output,
             bool is_lesson, LearnedContexts& contexts);
  /// What the last step may return, the likeliest first; each is an output's symbol.
  std::vector<Likely> likely(const SessionMemory& memory, Key tenant,
                             const LearnedContexts& contexts) const;
  /// Null: no output that may be predicted.
  const Output* find(Key symbol) const;
  /// How far the contexts of the last step's output are to be believed; null: all alike. A task
  /// that answers at random when it is asked the same again is not believed to repeat itself.
  const ContextTrust* trust(const SessionMemory& memory) const;
  /// Names that outputs have had: see Surroundings.
  const BoundedTable<bool>& names() const { return names_; }
  std::size_t size() const { return outputs_.size(); }

private:
  std::size_t output_bytes_max_;
  bool has_trust_;
  BoundedTable<std::optional<Output>> outputs_;
  Doorkeeper door_;
  BoundedTable<ContextTrust> trust_;  ///< By task: in what output_contexts() gives.
  BoundedTable<bool> names_;
};

}  // namespace forerun::prediction
