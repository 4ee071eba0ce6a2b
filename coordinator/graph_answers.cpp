#include <algorithm>
#include <utility>

#include "base/real.hpp"
#include "coordinator/graph.hpp"
#include "coordinator/likely.hpp"
#include "coordinator/symbols.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t premises_max = 3;
constexpr double premise_probability_min = 0.02;
constexpr double answer_probability_min = 0.001;
constexpr double task_probability_min = 0.001;

}  // namespace

/// The model is asked next, with all that was said so far.
void Graph::predict_model(const Session& session, const Conversation& said, double scale,
                          std::vector<Draft>& drafts) const {
  for (const Likely& each : contexts_.likely(model_contexts(session.memory, session.tenant))) {
    if (each.symbol == model_symbol && each.probability * scale > form_probability_min) {
      Draft draft;
      draft.form = &model_form_;
      draft.input.set(conversation_parameter, said.digest());
      draft.input_hash = hash_input(draft.input);
      draft.probability = std::min(each.probability, probability_max);
      draft.reasons = {settings_.model_task + ": " + share_text(each.probability)};
      drafts.push_back(std::move(draft));
    }
  }
}

Stating Graph::stating(const Tenant& tenant, const Option& option) const {
  return state(option.probability, option.form->seen,
               forms_.calls_allowed(*option.form, tenant.declared_calls, 3), tenant.whole_calls,
               tenant.sure);
}

/// A form comes as its calls do; and of "none of them" it has what is expected of it, before it is
/// known with which arguments, beyond its calls.
std::vector<ExpectedTask> Graph::tasks_of(const Session& session, const Tenant& tenant,
                                          const Options& all, const Question& question) const {
  struct Part {
    double named = 0, beyond = 0;
  };
  std::vector<double> expected;
  double best = 0;
  for (const TriedForm& tried : all.tried) {
    best = expected.empty() ? tried.score : std::max(best, tried.score);
    expected.push_back(tried.score);
  }
  double sum = 0;
  for (double& each : expected) {
    each = real::exp(each - best);
    sum += each;
  }
  std::vector<Part> parts;
  double beyond_all = all.end;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    Part& part = parts.emplace_back();
    for (const Option& option : all.calls) {
      part.named += option.form_key == all.tried[i].symbol ? option.ranked : 0;
    }
    part.beyond = std::max(0.0, (1 - all.end) * expected[i] / sum - part.named);
    beyond_all += part.beyond;
  }
  struct Told {
    ExpectedTask expected;
    const Form* form = nullptr;  ///< Its likeliest.
    double of_form = 0;
  };
  std::vector<Told> told;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const double probability =
        parts[i].named +
        (beyond_all > 0 ? all.none_probability * parts[i].beyond / beyond_all : 0.0);
    const Form* form = all.tried[i].form;
    auto at = std::find_if(told.begin(), told.end(),
                           [&](const Told& each) { return each.expected.task == form->task; });
    if (at == told.end()) {
      at = told.insert(told.end(), Told{{form->task}, nullptr, 0});
    }
    at->expected.probability = std::min(at->expected.probability + probability, probability_max);
    if (at->form == nullptr || probability > at->of_form) {
      at->form = form;
      at->of_form = probability;
    }
  }
  std::erase_if(told, [&question](const Told& each) {
    return each.expected.probability < task_probability_min ||
           (question.wants && !question.wants(each.expected.task));
  });
  std::sort(told.begin(), told.end(), [](const Told& a, const Told& b) {
    return a.expected.probability != b.expected.probability
               ? a.expected.probability > b.expected.probability
               : a.expected.task < b.expected.task;
  });
  told.resize(std::min(told.size(), question.limit));
  std::vector<ExpectedTask> tasks;
  for (Told& each : told) {
    if (question.explains) {
      each.expected.unfilled =
          values_.unfilled(around(session, each.form->task_key), tenant.arguments, *each.form);
    }
    tasks.push_back(std::move(each.expected));
  }
  return tasks;
}

void Graph::predict_next(const Session& session, const Tenant& tenant, bool is_open, double scale,
                         const Question& question, std::vector<Draft>& drafts,
                         std::vector<ExpectedTask>* tasks) const {
  const Options all =
      options(session, tenant, is_open, {.probability_min = question.probability_min / scale});
  if (tasks != nullptr) {
    *tasks = tasks_of(session, tenant, all, question);
  }
  std::vector<std::pair<double, const Option*>> worth;
  for (const Option& option : all.calls) {
    const double probability = stating(tenant, option).stated;
    if (probability * scale >= std::max(question.probability_min, answer_probability_min) &&
        (!question.wants || question.wants(option.form->task))) {
      worth.emplace_back(probability, &option);
    }
  }
  // Only those that can be among the answers are built.
  std::stable_sort(worth.begin(), worth.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  while (worth.size() > question.limit &&
         (question.limit == 0 || worth.back().first < worth[question.limit - 1].first)) {
    worth.pop_back();
  }
  for (const auto& [probability, option] : worth) {
    Draft draft;
    draft.form = option->form;
    draft.probability = probability;
    draft.input_hash = option->filling.input_hash;
    for (std::size_t i = 0; i < option->values->size(); ++i) {
      draft.input.set(option->form->names[i], *option->value(i).value);
    }
    if (question.explains) {
      draft.reasons = explanation(session, tenant, is_open, all, *option);
    } else {
      draft.reasons = reasons(session, *option, probability);
    }
    drafts.push_back(std::move(draft));
  }
}

void Graph::predict_beyond_open(Session& session, const Tenant& tenant, const Question& question,
                                const Conversation& said, bool is_thinking,
                                std::vector<Draft>& drafts, std::vector<ExpectedTask>* tasks) {
  const bool asks_model = has_model() && !is_thinking;
  if (!asks_model) {
    predict_next(session, tenant, true, 1, question, drafts, tasks);
  }
  std::size_t tried = 0;
  for (const Likely& likely : outputs_.likely(session.memory, session.tenant, contexts_)) {
    if (likely.probability < std::max(premise_probability_min, question.probability_min) ||
        tried == premises_max) {
      break;
    }
    const Output* const output = outputs_.find(likely.symbol);
    if (output == nullptr) {
      continue;
    }
    ++tried;
    const std::string why = question.explains ? premise_text(session, likely) : std::string();
    const SessionMemory::Mark mark = session.memory.mark();
    const Key task = session.memory.steps().back().task;
    session.memory.add_output(*output, labels_.of_output(task, &output->value()));
    const std::vector<Key> open = std::exchange(open_tasks_, {});
    const std::size_t from = drafts.size();
    const double scale = std::min(likely.probability, probability_max);
    if (asks_model) {
      Conversation imagined = said;
      imagined.step(session.memory.steps().back().call, *output);
      predict_model(session, imagined, scale, drafts);
    } else {
      predict_next(session, tenant, false, scale, question, drafts);
    }
    open_tasks_ = open;
    session.memory.rollback(mark);
    for (std::size_t i = from; i < drafts.size(); ++i) {
      drafts[i].premise = *output;
      drafts[i].premise_key = likely.symbol;
      if (!why.empty()) {
        drafts[i].reasons.push_back(why);
      }
      drafts[i].premise_probability = std::min(likely.probability, probability_max);
    }
  }
}

Graph::Asked Graph::asked(const RunId& id) {
  Session* const session = sessions_.find(id);
  const Tenant* const tenant = session == nullptr ? nullptr : tenants_.find(session->tenant_name);
  return tenant == nullptr || tenant->key != session->tenant ? Asked{} : Asked{session, tenant};
}

std::vector<Prediction> Graph::predict(const RunId& id, const Question& question,
                                       std::vector<ExpectedTask>* tasks) {
  const auto [found, tenant] = asked(id);
  if (found == nullptr) {
    return {};
  }
  Session& session = *found;
  const SessionMemory::Mark mark = session.memory.mark();
  Conversation said = session.said;
  bool is_thinking = session.is_thinking;
  bool is_open = false;
  for (const ImaginedStep& step : question.beyond) {
    if (is_model(step.call)) {
      is_thinking = true;
      continue;
    }
    is_thinking = false;
    session.memory.add_call(labels_.seen(session.tenant, step.call, false));
    is_open = !step.output.has_value();
    const Key task = session.memory.steps().back().task;
    if (step.output) {
      session.memory.add_output(step.output, labels_.of_output(task, &step.output->value()));
      said.step(step.call, *step.output);
    } else {
      open_tasks_.push_back(task);
    }
  }
  std::vector<Draft> drafts;
  const std::size_t open = open_tasks_.size();
  if (is_open && open == 1) {
    predict_beyond_open(session, *tenant, question, said, is_thinking, drafts, tasks);
  } else if (has_model() && !is_thinking) {
    if (open == 0) {
      predict_model(session, said, 1, drafts);
    }
  } else {
    predict_next(session, *tenant, is_open, 1, question, drafts, tasks);
  }
  open_tasks_.clear();
  std::sort(drafts.begin(), drafts.end(), comes_before);
  drafts.resize(std::min(drafts.size(), question.limit));
  session.memory.rollback(mark);
  std::vector<Prediction> predictions;
  for (Draft& draft : drafts) {
    predictions.push_back({Call::make(draft.form->task, std::move(draft.input)), draft.probability,
                           std::move(draft.premise), draft.premise_probability,
                           std::move(draft.reasons)});
  }
  return predictions;
}

double Graph::end_probability(const RunId& id, const Question& question) {
  const auto [found, tenant] = asked(id);
  if (found == nullptr) {
    return 0;
  }
  Session& session = *found;
  const SessionMemory::Mark mark = session.memory.mark();
  bool is_open = false;
  for (const ImaginedStep& step : question.beyond) {
    if (is_model(step.call)) {
      continue;
    }
    session.memory.add_call(labels_.seen(session.tenant, step.call, false));
    const Key task = session.memory.steps().back().task;
    is_open = is_open || !step.output;
    if (step.output) {
      session.memory.add_output(step.output, labels_.of_output(task, &step.output->value()));
    }
  }
  double probability = 0;
  if (!is_open) {
    probability = tenant->forms.corrected(share_in(guess(session, *tenant, false), end_symbol));
  }
  session.memory.rollback(mark);
  return probability;
}

}  // namespace forerun::prediction
