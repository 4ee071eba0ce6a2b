#include "coordinator/session_contexts.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "coordinator/symbols.hpp"

namespace forerun::prediction {

namespace {

/// Where there were more steps their number says nothing.
constexpr std::size_t numbered_steps_max = 32;

}  // namespace

ContextKeys next_contexts(const SessionMemory& memory, Key tenant, bool is_open) {
  const std::vector<SeenStep>& steps = memory.steps();
  const auto back = [&](std::size_t n) -> const SeenStep* {
    return steps.size() >= n ? &steps[steps.size() - n] : nullptr;
  };
  const auto task = [&](std::size_t n) { return back(n) == nullptr ? start_task : back(n)->task; };
  const auto answered = [&](std::size_t n) {
    return back(n) == nullptr ? start_task : mix(back(n)->task, back(n)->output_labels);
  };
  const Key inputs = back(1) == nullptr ? 0 : back(1)->input_labels;
  // 0x71, 0x73, 0x76 and 0x79 are those of telling_fields.hpp.
  ContextKeys keys = {anywhere_context(tenant), mix(tenant, 0x71, task(1)),
                      mix(tenant, 0x72, task(1), task(2))};
  if (is_open) {
    keys.push_back(mix(tenant, 0x73, task(1), inputs));
    keys.push_back(mix(tenant, 0x74, task(1), answered(2)));
    keys.push_back(mix(tenant, 0x75, task(1), inputs, answered(2)));
  } else {
    keys.push_back(mix(tenant, 0x76, answered(1)));
    keys.push_back(mix(tenant, 0x77, answered(1), task(2)));
    keys.push_back(mix(tenant, 0x78, answered(1), task(2), task(3)));
    keys.push_back(mix(tenant, 0x79, answered(1), inputs));
    keys.push_back(mix(tenant, 0x7a, answered(1), inputs, answered(2)));
    keys.push_back(mix(tenant, 0x7b, answered(1), inputs, answered(2), answered(3)));
  }
  return keys;
}

Key anywhere_context(Key tenant) {
  return mix(tenant, 0x70);
}

ContextKeys output_contexts(const SessionMemory& memory, Key tenant) {
  const std::vector<SeenStep>& steps = memory.steps();
  FORERUN_ASSERT(!steps.empty());
  const SeenStep& last = steps.back();
  const Key before = steps.size() < 2
                         ? start_task
                         : mix(steps[steps.size() - 2].task, steps[steps.size() - 2].output_labels);
  return {mix(tenant, 0x81, last.task), mix(tenant, 0x82, last.task, last.input_labels),
          mix(tenant, 0x83, last.task, last.input_labels, before),
          mix(tenant, 0x84, last.task, last.input_hash)};
}

std::vector<std::string> texts_of_next_contexts(const SessionMemory& memory, bool is_open,
                                                const StepLabels& labels) {
  struct Shape {
    std::size_t steps;     ///< So many of the latest,
    std::size_t answered;  ///< and what so many of them returned.
    bool has_input;        ///< Labels of the latest one's input.
  };
  static const std::vector<Shape> of_tasks = {{0, 0, false}, {1, 0, false}, {2, 0, false}};
  static const std::vector<Shape> open = {{1, 0, true}, {2, 1, false}, {2, 1, true}};
  static const std::vector<Shape> answered = {{1, 1, false}, {2, 1, false}, {3, 1, false},
                                              {1, 1, true},  {2, 2, true},  {3, 3, true}};
  const std::vector<SeenStep>& steps = memory.steps();
  std::vector<std::string> texts;
  const auto tell = [&](const Shape& shape) {
    if (shape.steps == 0) {
      texts.push_back("anywhere");
      return;
    }
    std::string text;
    for (std::size_t n = shape.steps; n > 0; --n) {
      if (n > steps.size()) {
        text = steps.empty() ? "as first call" : "after the start";
        continue;
      }
      // The output of the latest one is open where it is.
      const bool is_answered = is_open ? n > 1 && n <= shape.answered + 1 : n <= shape.answered;
      text += (text.empty() ? "after " : ", ") +
              labels.text_of(steps[steps.size() - n], n == 1 && shape.has_input, is_answered);
    }
    texts.push_back(std::move(text));
  };
  std::for_each(of_tasks.begin(), of_tasks.end(), tell);
  const std::vector<Shape>& more = is_open ? open : answered;
  std::for_each(more.begin(), more.end(), tell);
  return texts;
}

std::vector<std::string> texts_of_output_contexts(const SessionMemory& memory,
                                                  const StepLabels& labels) {
  const std::vector<SeenStep>& steps = memory.steps();
  const SeenStep& last = steps.back();
  const std::string with = labels.text_of(last, true, false);
  return {
      last.call.task(), with,
      with + " after " +
          (steps.size() < 2 ? "the start" : labels.text_of(steps[steps.size() - 2], false, true)),
      last.call.task() + " with just this input"};
}

ContextKeys long_contexts(const SessionMemory& memory, Key tenant) {
  const std::vector<SeenStep>& steps = memory.steps();
  const auto task = [&](std::size_t n) {
    return steps.size() >= n ? steps[steps.size() - n].task : start_task;
  };
  const Key last = steps.empty() ? start_task : mix(steps.back().task, steps.back().input_hash);
  const Key said = steps.empty() ? start_task : steps.back().output_labels;
  return {mix(tenant, 0xc1, task(1), task(2), task(3)),
          mix(tenant, 0xc2, task(1), task(2), mix(task(3), task(4))),
          mix(tenant, 0xc3, last),
          mix(tenant, 0xc4, memory.task_set(), task(1)),
          mix(tenant, 0xc5, task(1), said),
          mix(tenant, 0xc6, last, said)};
}

const std::array<const char*, std::tuple_size_v<LongContexts>> texts_of_long_contexts = {
    "its last three tasks",          "its last four tasks",
    "just this last call",           "the tasks so far in any order",
    "the last task with its labels", "just this last call with its labels"};

Key number_context(const SessionMemory& memory, Key tenant) {
  return mix(tenant, 0x7c, std::min(memory.steps().size(), numbered_steps_max));
}

ContextKeys repeat_contexts(const SessionMemory& memory, Key tenant, bool is_open) {
  if (memory.steps().empty()) {
    return {};
  }
  const SeenStep& last = memory.steps().back();
  ContextKeys keys = {mix(tenant, 0x7e, last.task)};
  if (!is_open) {
    keys.push_back(mix(tenant, 0x7f, last.task, last.output_labels));
  }
  return keys;
}

ContextKeys model_contexts(const SessionMemory& memory, Key tenant) {
  const std::vector<SeenStep>& steps = memory.steps();
  const Key last = steps.empty() ? start_task : steps.back().task;
  return {mix(tenant, 0xd0), mix(tenant, 0xd1, last)};
}

}  // namespace forerun::prediction
