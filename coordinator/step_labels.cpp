#include "coordinator/step_labels.hpp"

#include <algorithm>

#include "coordinator/call_form.hpp"
#include "coordinator/symbols.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t field_values_max = 48;
constexpr std::size_t field_tries_min = 12;
constexpr std::size_t labels_told = 3;
constexpr std::size_t label_bytes_told = 24;

/// Where the fields of a task's inputs or outputs are known.
Key place_of_fields(Key task, Side side) {
  return mix(task_side(task, side), 0x61);
}

std::string label_text(const json::Value& value) {
  std::string text = json::canonical(value);
  if (text.size() > label_bytes_told) {
    text = json::clean_text(text, label_bytes_told) + "...";
  }
  return text;
}

std::string size_text(std::size_t size) {
  return size == 0 ? "empty" : size == 1 ? "with one" : "with several";
}

}  // namespace

void LabelField::learn(Key value) {
  if (!is_label) {
    return;
  }
  ++tries;
  if (std::find(values.begin(), values.end(), value) == values.end()) {
    values.push_back(value);
  }
  // Always another value is no label either, however few there were.
  if (values.size() > field_values_max ||
      (tries >= field_tries_min && values.size() >= tries - 1)) {
    is_label = false;
    values = {};
  }
}

StepLabels::StepLabels(std::size_t fields_max, bool has_labels, bool has_telling_fields)
    : has_labels_(has_labels),
      has_telling_fields_(has_labels && has_telling_fields),
      fields_(fields_max),
      telling_(std::max<std::size_t>(1, fields_max / fields_per_document_max)) {}

/// The hashes of the names of an object's first fields, which are about to be looked up.
ContextKeys StepLabels::names_of(Key place, const json::Object& object) const {
  ContextKeys names;
  for (std::size_t i = 0; i < std::min(object.size(), fields_per_document_max); ++i) {
    names.push_back(hash_text(object.begin()[i].name));
    fields_.prefetch_slot(mix(place, names.back()));
  }
  for (const Key name : names.from(0)) {
    fields_.prefetch_entry(mix(place, name));
  }
  return names;
}

void StepLabels::scalar_label(Key place, Key key, const json::Value& value, bool learns,
                              std::size_t& left, Key& labels) {
  if (left == 0) {
    return;
  }
  --left;
  const Key field = mix(place, key);
  labels = mix(labels, key);
  Key hash = hash_value(value);
  if (const std::string* text = value.string(); text != nullptr && text->size() > label_bytes_max) {
    // Of a long text (a message, an error) the first word may be a label.
    hash = mix(1, hash_text(std::string_view(*text).substr(0, text->find(' ')).substr(0, 40)));
  }
  const LabelField* known = nullptr;
  if (learns) {
    LabelField& touched = fields_.touch(field);
    touched.learn(hash);
    known = &touched;
  } else {
    known = fields_.find(field);
  }
  if (known == nullptr || known->is_label) {
    labels = mix(labels, hash);
  }
}

Key StepLabels::labels(Key task, Side side, const json::Value* value, bool learns) {
  if (value == nullptr) {
    return failed_symbol;
  }
  if (!has_labels_) {
    return 0;
  }
  const Key place = place_of_fields(task, side);
  std::size_t left = fields_per_document_max;
  if (const json::Array* array = value->array()) {
    return mix(0x62, std::min<std::size_t>(array->size(), 2));
  }
  const json::Object* object = value->object();
  Key labels = mix(0x63, object == nullptr ? 0 : 1);
  if (object == nullptr) {
    scalar_label(place, hash_text(""), *value, learns, left, labels);
    return labels;
  }
  const ContextKeys names = names_of(place, *object);
  for (std::size_t i = 0; i < object->size(); ++i) {
    const json::Member& member = object->begin()[i];
    const Key name = i < names.size() ? names[i] : hash_text(member.name);
    if (member.value.object() == nullptr && member.value.array() == nullptr) {
      scalar_label(place, name, member.value, learns, left, labels);
    } else if (const json::Array* array = member.value.array()) {
      labels = mix(labels, name, std::min<std::size_t>(array->size(), 2));
    } else {
      labels = mix(labels, name);
    }
  }
  return labels;
}

Key StepLabels::of_output(Key task, const json::Value* value) {
  if (const TellingFields* fields = value == nullptr ? nullptr : telling_.find(task);
      fields != nullptr && fields->uses_chosen()) {
    return fields->chosen_of(*value);
  }
  return labels(task, Side::output, value, false);
}

Key StepLabels::read(Key task, const json::Value* value, LastSaid& said) {
  const Key all = labels(task, Side::output, value, true);
  if (value == nullptr || !has_telling_fields_) {
    return all;
  }
  TellingFields& fields = telling_.touch(task);
  said.saying = fields.read(*value, all);
  said.is_compared = true;
  return fields.uses_chosen() ? said.saying.chosen : all;
}

void StepLabels::learn_next(const LastSaid& said, const AnsweredStep& step, Key taught, Key symbol,
                            LearnedContexts& contexts) {
  telling_.touch(step.task).learn(said.saying, step, taught, symbol, contexts);
}

SeenStep StepLabels::seen(Key tenant, const Call& call, bool learns) {
  SeenStep step{
      call, std::nullopt, mix(tenant, hash_text(call.task())), hash_input(call.input()), 0, 0};
  const Key place = place_of_fields(step.task, Side::input);
  std::size_t left = has_labels_ ? fields_per_document_max : 0;
  const ContextKeys names = names_of(place, call.input());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const json::Value& value = call.input().begin()[i].value;
    if (value.object() == nullptr && value.array() == nullptr) {
      scalar_label(place, names[i], value, learns, left, step.input_labels);
    }
  }
  return step;
}

/// The labels that labels() and seen() make a key of. The fields that take few values, for people.
std::string StepLabels::labels_text(Key task, Side side, const json::Value* value) const {
  if (!has_labels_) {
    return {};
  }
  const Key place = place_of_fields(task, side);
  std::string text;
  std::size_t told = 0;
  if (const TellingFields* fields = side == Side::output ? telling_.find(task) : nullptr;
      fields != nullptr && fields->uses_chosen()) {
    for (const std::string& each : fields->chosen_texts(*value)) {
      text += (text.empty() ? "" : ", ") + json::clean_text(each, label_bytes_max);
    }
    return text + ", which tells what follows";
  }
  const auto add = [&](const std::string& label) {
    text += told == labels_told  ? ", ..."
            : told > labels_told ? ""
                                 : (told == 0 ? "" : ", ") + label;
    ++told;
  };
  const auto is_label = [&](std::string_view name) {
    const LabelField* known = fields_.find(mix(place, hash_text(name)));
    return known == nullptr || known->is_label;
  };
  const json::Object* object = value->object();
  if (const json::Array* array = value->array()) {
    return "a list " + size_text(array->size());
  }
  if (object == nullptr) {
    return is_label("") ? label_text(*value) : std::string();
  }
  std::size_t left = fields_per_document_max;
  for (const json::Member& member : *object) {
    if (const json::Array* array = member.value.array(); array != nullptr && side == Side::output) {
      add(member.name + " " + size_text(array->size()));
    } else if (member.value.object() == nullptr && array == nullptr && left > 0) {
      --left;
      if (is_label(member.name)) {
        add(member.name + " " + label_text(member.value));
      }
    }
  }
  return text;
}

std::string StepLabels::text_of(const SeenStep& step, bool tells_input, bool tells_output) const {
  std::string text = step.call.task();
  const json::Value input(step.call.input());
  if (const std::string labels =
          tells_input ? labels_text(step.task, Side::input, &input) : std::string();
      !labels.empty()) {
    text += " with " + labels;
  }
  if (tells_output) {
    const std::string labels =
        step.output ? labels_text(step.task, Side::output, &step.output->value()) : std::string();
    text += !step.output     ? (step.output_labels == failed_symbol ? " failing" : "")
            : labels.empty() ? " returning its like"
                             : " returning " + labels;
  }
  return text;
}

}  // namespace forerun::prediction
