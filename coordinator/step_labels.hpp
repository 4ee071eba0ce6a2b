#pragma once

#include <string>
#include <vector>

#include "coordinator/context_keys.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/session_memory.hpp"
#include "coordinator/telling_fields.hpp"

namespace forerun::prediction {

/// Fields of one input or output that are looked at for labels.
inline constexpr std::size_t fields_per_document_max = 16;
/// A longer text is no label; its first word may be.
inline constexpr std::size_t label_bytes_max = 40;

/// Whether a field takes few values, so that it can tell what comes next. Once it has taken too
/// many it never does.
struct LabelField {
  std::vector<Key> values;
  std::size_t tries = 0;
  bool is_label = true;

  void learn(Key value);
};

/// A session's last output, until it is known what came after it.
struct LastSaid {
  TellingFields::Saying saying{};
  bool is_compared = false;  ///< It is compared what tells.
};

/// What steps say of what comes next, as one key each for their input and their output: the fields
/// that take few values, and shapes. Of an output whose task has chosen fields (telling_fields.hpp)
/// those alone. Learned for all tenants: tasks go by keys that hold their tenant's.
class StepLabels {
public:
  /// `has_labels`: else outputs say whether there is one, and inputs nothing.
  /// `has_telling_fields`: fields are chosen.
  StepLabels(std::size_t fields_max, bool has_labels, bool has_telling_fields);

  /// A tenant's call as a step whose output is open.
  SeenStep seen(Key tenant, const Call& call, bool learns);
  /// What an output says. Nothing is learned of it. Null: it has none.
  Key of_output(Key task, const json::Value* value);
  /// The same of an output that has come: its fields are watched, and compared when it is known
  /// what came next.
  Key read(Key task, const json::Value* value, LastSaid& said);
  /// After the step that said so came `symbol`. `taught`: as in TellingFields::learn().
  /// @pre said.is_compared
  void learn_next(const LastSaid& said, const AnsweredStep& step, Key taught, Key symbol,
                  LearnedContexts& contexts);

  /// The step for people, with the labels of its input and of its output.
  std::string text_of(const SeenStep& step, bool tells_input, bool tells_output) const;

  std::size_t fields() const { return fields_.size(); }
  std::size_t tasks_max() const { return telling_.limit(); }

private:
  ContextKeys names_of(Key place, const json::Object& object) const;
  void scalar_label(Key place, Key key, const json::Value& value, bool learns, std::size_t& left,
                    Key& labels);
  Key labels(Key task, Side side, const json::Value* value, bool learns);
  std::string labels_text(Key task, Side side, const json::Value* value) const;

  bool has_labels_, has_telling_fields_;
  BoundedTable<LabelField> fields_;
  BoundedTable<TellingFields> telling_;  ///< By task.
};

}  // namespace forerun::prediction
