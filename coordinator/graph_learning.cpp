#include <algorithm>
#include <array>

#include "coordinator/graph.hpp"
#include "coordinator/symbols.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t text_bytes_max = 64U << 10U;
constexpr std::size_t reliability_guesses = 3;
/// Calls that are less likely say nothing of how far what is stated comes true.
constexpr double reliability_from = 0.02;

}  // namespace

void Graph::text(const RunId& id, std::string_view tenant, std::string_view text) {
  Session& session = open(id, tenant);
  Tenant& owner = tenants_.take(session.tenant_name);
  if (!session.memory.has_fresh_words() && learns_) {
    end_turn(session, owner);
  }
  session.memory.add_text(text.substr(0, text_bytes_max), owner.years.usual());
  if (has_model()) {
    session.said.text(text);
    if (session.memory.steps().empty()) {
      session.said_after_output = session.said.digest();
    }
  }
  session.near = owner.past.nearest(session.memory.all_words());
  session.turn_words = session.memory.last_words();
  std::sort(session.turn_words.begin(), session.turn_words.end());
  session.turn_near = owner.past_turns.nearest(session.turn_words);
  session.turn_from = session.memory.steps().size();
  if (has(Idea::names)) {
    session.named = owner.names.named(session.memory.all_stems());
    forms_.add_declared_names(session.memory, session.tenant, owner.names, session.named);
  }
  hear(session);
  if (has(Idea::meanings)) {
    gather_meanings(session.memory, session.tenant, contexts_, session.meanings);
  }
  sessions_.count_bytes(session);
}

void Graph::observe(const RunId& id, std::string_view tenant, const Call& call,
                    const std::optional<Output>& output) {
  Session& session = open(id, tenant);
  Tenant& owner = tenants_.take(session.tenant_name);
  if (is_model(call)) {
    if (learns_) {
      const json::Value* said = call.input().find(conversation_parameter);
      const std::string* digest = said == nullptr ? nullptr : said->string();
      const bool is_expected = digest != nullptr && *digest == session.said_after_output;
      contexts_.teach(model_contexts(session.memory, session.tenant),
                      is_expected ? model_symbol : other_symbol);
    }
    session.is_thinking = true;
    return;
  }
  SeenStep step = labels_.seen(session.tenant, call, learns_);
  const Key task = step.task;
  if (learns_) {
    learn_call(session, owner, step);
  }
  session.forget(session.memory.add_call(std::move(step)));
  if (learns_) {
    outputs_.learn(session.memory, session.tenant, output, owner.is_lesson(), contexts_);
  }
  const json::Value* const returned = output ? &output->value() : nullptr;
  session.said_last.is_compared = false;
  session.memory.add_output(output, learns_ ? labels_.read(task, returned, session.said_last)
                                            : labels_.of_output(task, returned));
  session.is_thinking = false;
  hear(session);
  if (has_model()) {
    if (output) {
      session.said.step(call, *output);
    }
    session.said_after_output = session.said.digest();
  }
  sessions_.count_bytes(session);
}

void Graph::end(const RunId& id) {
  Session* const found = sessions_.find(id);
  if (found == nullptr) {
    return;
  }
  Session& session = *found;
  if (learns_) {
    Tenant& owner = tenants_.take(session.tenant_name);
    if (has_model()) {
      contexts_.teach(model_contexts(session.memory, session.tenant), end_symbol);
    }
    if (owner.takes_lesson()) {
      const Options all = learn_options(session, owner, end_symbol, 0);
      learn_guess(all.guessed, owner, end_symbol);
    }
    learn_next(session, owner, end_symbol);
    if (session.turn_from > 0) {
      end_turn(session, owner);
    }
    PastSession past = session.done_from(0);
    past.words = session.memory.all_words();
    past.forms.push_back(end_symbol);
    owner.past.add(std::move(past), past_sessions_each());
  }
  sessions_.erase(id);
}

/// What the words of the latest texts say; done once an event, not once a question.
void Graph::hear(Session& session) const {
  if (has(Idea::words)) {
    words_.hear(session.memory, session.tenant, session.spoken);
  }
}

void Graph::learn_call(Session& session, Tenant& tenant, const SeenStep& step) {
  const Call& call = step.call;
  const Key task = step.task;
  const Key input_hash = step.input_hash;
  const Key form_key = form_key_of(task, call.input());
  const bool is_lesson = tenant.takes_lesson();
  Options all;
  if (is_lesson) {
    all = learn_options(session, tenant, form_key, input_hash);
    learn_guess(all.guessed, tenant, form_key);
    learn_declared(tenant, all, call, form_key);
  }
  learn_next(session, tenant, form_key);
  tenant.years.learn(call.input());
  if (!session.memory.steps().empty()) {
    contexts_.teach(repeat_contexts(session.memory, session.tenant, false),
                    session.memory.is_last_call(task, input_hash) ? same_symbol : other_symbol);
  }
  tenant.importance.learn(session.forms.empty() ? start_task : session.forms.back(), form_key);
  session.forms.push_back(form_key);
  if (call.input().size() > parameters_per_call_max) {
    return;
  }
  Form& form = forms_.take(form_key, task, call, tenant.names);
  if (form.tries > 0 && is_lesson) {
    const auto known = std::find_if(all.values.begin(), all.values.end(),
                                    [&](const auto& each) { return each.first == form_key; });
    const Surroundings surroundings = around(session, task);
    learn_values(tenant, form,
                 known != all.values.end()
                     ? known->second
                     : values_.of(surroundings, tenant.arguments, form, Wanted::all),
                 call.input(), input_hash);
  }
  form.count(session.memory.was_called(task, input_hash));
  for (std::size_t i = 0; i < form.parameters.size(); ++i) {
    learn_meaning(session.memory, session.tenant, task, form.name_keys[i],
                  call.input().begin()[i].value, contexts_);
  }
  values_.learn(around(session, task), tenant.arguments, form, call.input());
}

/// What was expected and what came, before any of it is taught.
Options Graph::learn_options(const Session& session, Tenant& tenant, Key form_key, Key input_hash) {
  Options all = options(session, tenant, false, {.came = form_key});
  bool has_come = false;
  for (const Option& option : all.calls) {
    const bool came = option.form_key == form_key && option.filling.input_hash == input_hash;
    has_come = has_come || came;
    tenant.calls.note(option.features, option.probability, came);
    if (option.probability > reliability_from) {
      const double sureness = stating(tenant, option).allowed;
      if (sureness >= sure_from) {
        tenant.sure.learn(sureness, came);
      }
      tenant.whole_calls.learn(option.probability, came);
    }
  }
  tenant.calls.note(all.none, all.none_probability, !has_come);
  if (has(Idea::ranking_calls)) {
    tenant.calls.step();
  }
  std::map<Key, double> stated;
  for (const Option& option : all.calls) {
    stated[option.form_key] += option.probability;
  }
  words_.learn(session.memory, session.tenant, std::move(stated), form_key);
  return all;
}

/// What was guessed and what came, before the guess is taught to anyone.
void Graph::learn_guess(const std::vector<Likely>& made, Tenant& tenant, Key symbol) {
  for (std::size_t i = 0; i < std::min(made.size(), reliability_guesses); ++i) {
    const double stated = made[i].probability;
    tenant.forms.learn(stated, made[i].symbol == symbol);
  }
}

/// What calls that were never made before, and their arguments, were worth.
void Graph::learn_declared(Tenant& tenant, const Options& all, const Call& call, Key form_key) {
  const Option* best = nullptr;
  for (const Option& option : all.calls) {
    if (option.form->declared != nullptr &&
        (best == nullptr || option.probability > best->probability)) {
      best = &option;
    }
  }
  if (best == nullptr || best->form_probability <= 2 * form_probability_min) {
    return;  // No more than named in passing.
  }
  const bool came = best->form_key == form_key;
  bool is_exact = came;
  for (std::size_t i = 0; came && i < best->values->size(); ++i) {
    const bool is_right =
        best->value(i).hash == hash_value(*call.input().find(best->form->names[i]));
    tenant.arguments.declared.learn(is_right);
    is_exact = is_exact && is_right;
  }
  tenant.declared_calls.learn(is_exact);
}

void Graph::learn_next(const Session& session, Tenant& tenant, Key symbol) {
  if (session.said_last.is_compared) {
    const SeenStep& last = session.memory.steps().back();
    labels_.learn_next(session.said_last, {session.tenant, last.task, last.input_labels},
                       last.output_labels, symbol, contexts_);
  }
  const ContextKeys answered = next_contexts(session.memory, session.tenant, false);
  const ContextKeys open = next_contexts(session.memory, session.tenant, true);
  if (has(Idea::trust) && tenant.is_lesson()) {
    const std::vector<Likely> declared = declared_next(session, tenant);
    tenant.answered.learn(contexts_, answered, declared, symbol);
    tenant.open.learn(contexts_, open, declared, symbol);
  }
  ContextKeys taught = answered;
  taught.append(open.from(contexts_of_tasks));
  taught.append(long_contexts(session.memory, session.tenant));
  contexts_.teach(taught, symbol);
  contexts_.teach(std::array{number_context(session.memory, session.tenant)},
                  symbol == end_symbol ? end_symbol : other_symbol);
}

/// How well the form's values were known, and how they are ranked.
void Graph::learn_values(Tenant& tenant, Form& form, const Values& values,
                         const json::Object& input, Key input_hash) const {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].front().is_settled) {
      continue;
    }
    const Key hash = hash_value(*input.find(form.names[i]));
    for (const Candidate& candidate : values[i]) {
      tenant.arguments.ranker.note(candidate.features, candidate.share, candidate.hash == hash);
    }
    if (has(Idea::ranking_values)) {
      tenant.arguments.ranker.step();
    }
  }
  if (values.size() == form.parameters.size()) {
    const Filling best = Fillings(form, values, 1).front();
    form.expected += best.share;
    form.hits += best.input_hash == input_hash ? 1 : 0;
  }
}

void Graph::end_turn(const Session& session, Tenant& tenant) const {
  PastSession turn = session.done_from(session.turn_from);
  if (!turn.forms.empty()) {
    turn.words = session.turn_words;
    tenant.past_turns.add(std::move(turn), past_sessions_each());
  }
}

}  // namespace forerun::prediction
