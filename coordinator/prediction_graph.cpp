#include "coordinator/prediction_graph.hpp"

#include <algorithm>
#include <cstdio>
#include <list>
#include <map>

#include "base/assert.hpp"
#include "coordinator/argument_bindings.hpp"
#include "coordinator/learned_contexts.hpp"

namespace forerun {

namespace {

using namespace prediction;

constexpr Key start_task = 0x41;     ///< Stands before a session's first step.
constexpr Key end_symbol = 0x42;     ///< The session ends.
constexpr Key failed_symbol = 0x43;  ///< The step has no output.
constexpr Key large_symbol = 0x44;   ///< An output too large to be predicted.

constexpr std::size_t parameters_per_call_max = 32;
constexpr std::size_t forms_tried_max = 8;
constexpr std::size_t values_per_parameter_max = 4;
constexpr std::size_t calls_per_form_max = 6;
constexpr std::size_t premises_max = 3;
constexpr std::size_t telling_words_max = 3;
/// How much a word's different followers, and that it is rare, count against it.
constexpr double word_doubt = 0.6;
constexpr double word_rarity = 0.2;
constexpr std::size_t text_bytes_max = 64U << 10U;
constexpr double form_probability_min = 0.005;
constexpr double premise_probability_min = 0.02;
/// Nothing learned is certain.
constexpr double probability_max = 0.995;

constexpr std::size_t reliability_bins = 10;
constexpr std::size_t reliability_guesses = 3;
constexpr double reliability_prior = 4;
constexpr double reliability_memory = 40;

std::size_t reliability_bin(double probability) {
  const auto bin = static_cast<std::size_t>(probability * static_cast<double>(reliability_bins));
  return std::min(bin, reliability_bins - 1);
}

constexpr std::size_t field_values_max = 48;
constexpr std::size_t field_tries_min = 12;
constexpr std::size_t fields_per_document_max = 16;
constexpr std::size_t label_bytes_max = 40;

/// Whether a field takes few values, so that it can tell what comes next. Once it has taken too
/// many it never does.
struct Field {
  std::vector<Key> values;
  std::size_t tries = 0;
  bool is_label = true;

  void learn(Key value) {
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
};

/// A task with the parameters that a call gives: what follows is predicted in forms.
struct Form {
  std::string task;
  Key task_key = 0;
  std::vector<std::string> names;
  std::vector<Key> parameters;
  double tries = 0;     ///< Calls of this form.
  double expected = 0;  ///< Sum of what its best arguments were given as their probability.
  double hits = 0;      ///< How often they were exactly right.
  double repeats = 0;   ///< Calls that the session had made before.
};

/// Where the words of the text and the contexts guessed differently and one was right: which.
struct WordsRecord {
  double words = 0.5, contexts = 1;
  double share() const { return words / (words + contexts); }
  void learn(bool words_right) {
    (words_right ? words : contexts) += 1;
    if (words + contexts > 128) {
      words *= 0.5;
      contexts *= 0.5;
    }
  }
};

/// How far stated probabilities of what comes next came true, by what was stated.
struct Reliability {
  double expected = 0, came = 0;
  double correction() const { return (came + reliability_prior) / (expected + reliability_prior); }
  void learn(double probability, bool has_come) {
    expected += probability;
    came += has_come ? 1 : 0;
    if (expected + came > reliability_memory) {
      expected *= 0.5;
      came *= 0.5;
    }
  }
};

struct Tenant {
  Key key = 0;
  std::uint64_t used = 0;
  KindRecord kinds;
  WordsRecord words[40];
  Reliability forms[reliability_bins];

  double corrected(double probability) const {
    // Upwards at most half of what is missing: a few lucky sessions make nobody certain.
    return std::min(probability * forms[reliability_bin(probability)].correction(),
                    probability + (1 - probability) / 2);
  }
};

struct Session {
  RunId id;
  Key tenant = 0;
  std::string tenant_name;
  SessionMemory memory;
};

/// One way to fill a form.
struct Filling {
  std::vector<const Candidate*> values;
  double share = 1;
  Key input_hash = 0;
};

/// A prediction before its call is built.
struct Draft {
  const Form* form = nullptr;
  json::Object input;
  Key input_hash = 0;
  double probability = 0;
  std::optional<Output> premise;
  Key premise_key = 0;
  double premise_probability = 1;
  std::vector<std::string> reasons;

  double joint() const { return probability * premise_probability; }
};

/// A total order: equal histories give equal answers.
bool comes_before(const Draft& a, const Draft& b) {
  if (a.joint() != b.joint()) {
    return a.joint() > b.joint();
  }
  if (a.premise.has_value() != b.premise.has_value()) {
    return !a.premise.has_value();
  }
  if (a.form->task != b.form->task) {
    return a.form->task < b.form->task;
  }
  if (a.input_hash != b.input_hash) {
    return a.input_hash < b.input_hash;
  }
  return a.premise_key < b.premise_key;
}

bool more_likely(const Likely& a, const Likely& b) {
  return a.probability != b.probability ? a.probability > b.probability : a.symbol < b.symbol;
}

Key hash_input(const json::Object& input) {
  Key hash = hash_object_start();
  for (const json::Member& member : input) {
    hash = mix(hash, hash_text(member.name), hash_value(member.value));
  }
  return hash;
}

/// From the name alone, so that a tenant's answers do not depend on who else is there; from a
/// cryptographic hash, so that nobody can choose a name that reaches another's history.
Key tenant_key(const std::string& name) {
  const Digest digest = sha256(std::string_view(name));
  Key key = 0;
  for (std::size_t i = 0; i < sizeof key; ++i) {
    key = key << 8U | digest.bytes[i];
  }
  return key;
}

std::string percent(double share) {
  char text[32];
  const int tenths = static_cast<int>(share * 1000 + 0.5);
  std::snprintf(text, sizeof text, "%d.%d %%", tenths / 10, tenths % 10);
  return text;
}

}  // namespace

class PredictionGraph::Impl {
public:
  explicit Impl(const PredictionSettings& settings)
      : settings_(settings),
        nexts_(settings.contexts_max),
        forms_(settings.forms_max),
        parameters_(settings.parameters_max),
        outputs_(settings.outputs_max),
        fields_(settings.fields_max),
        output_names_(settings.fields_max) {}

  void text(const RunId& id, std::string_view tenant, std::string_view text);
  void observe(const RunId& id, std::string_view tenant, const Call& call,
               const std::optional<Output>& output);
  void end(const RunId& id);
  std::vector<Prediction> predict(const RunId& id, const Question& question);
  PredictionSizes sizes() const;

private:
  using Sessions = std::list<Session>;
  struct WordsSay {
    std::vector<Likely> forms;
    std::size_t bucket = 0;  ///< By how much they tell, and whether they are fresh.
  };
  struct Guess {
    std::vector<Likely> forms;  ///< The best first.
    std::vector<Likely> contexts_say;
    WordsSay words;
  };

  Session& open(const RunId& id, std::string_view tenant);
  void forget_sessions();
  Tenant& tenant_of(const std::string& name);

  SeenStep seen(Key tenant, const Call& call, bool learns);
  Key labels(Key task, Side side, const json::Value* value, bool learns);
  void scalar_label(Key place, std::string_view name, const json::Value& value, bool learns,
                    std::size_t& left, Key& labels);

  std::vector<Key> next_contexts(const Session& session, bool is_open) const;
  std::vector<Key> output_contexts(const Session& session) const;
  Guess guess(const Session& session, const Tenant& tenant, bool is_open) const;
  std::vector<Key> word_contexts(const Session& session) const;
  WordsSay words_say(const Session& session, const std::vector<Likely>& forms,
                     std::vector<Key> contexts) const;
  void learn_guess(const Session& session, Tenant& tenant, Key symbol) const;
  void learn_next(const Session& session, Key symbol);
  void learn_call(Session& session, Tenant& tenant, const Call& call, Key task);
  void learn_output(const Session& session, const std::optional<Output>& output);

  Surroundings around(const Session& session, Key task, bool is_open) const;
  std::vector<Filling> fillings(const Session& session, const Form& form,
                                const std::vector<std::vector<Candidate>>& values) const;
  std::vector<std::vector<Candidate>> values_of(const Session& session, const Tenant& tenant,
                                                const Form& form, bool is_open) const;
  void predict_next(const Session& session, const Tenant& tenant, bool is_open, double scale,
                    const Question& question, std::vector<Draft>& drafts) const;
  void predict_beyond_open(Session& session, const Tenant& tenant, const Question& question,
                           std::vector<Draft>& drafts);
  std::vector<std::string> reasons(const Session& session, const Form& form, double probability,
                                   const Filling& filling) const;

  PredictionSettings settings_;
  LearnedContexts nexts_;
  BoundedTable<Form> forms_;
  BoundedTable<Parameter> parameters_;
  BoundedTable<std::optional<Output>> outputs_;
  BoundedTable<Field> fields_;
  BoundedTable<bool> output_names_;
  std::map<std::string, Tenant, std::less<>> tenants_;
  std::uint64_t uses_ = 0;
  Sessions sessions_;  ///< The most recently used first.
  std::map<RunId, Sessions::iterator> sessions_by_id_;
  std::size_t session_bytes_ = 0;
};

Tenant& PredictionGraph::Impl::tenant_of(const std::string& name) {
  auto found = tenants_.find(name);
  if (found == tenants_.end()) {
    if (tenants_.size() >= settings_.tenants_max) {
      // Its records go; what its sessions taught ages out of the tables, or serves it when it
      // returns.
      tenants_.erase(std::min_element(
          tenants_.begin(), tenants_.end(),
          [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
    }
    found = tenants_.emplace(name, Tenant{}).first;
    found->second.key = tenant_key(name);
  }
  found->second.used = ++uses_;
  return found->second;
}

Session& PredictionGraph::Impl::open(const RunId& id, std::string_view tenant) {
  if (const auto found = sessions_by_id_.find(id); found != sessions_by_id_.end()) {
    sessions_.splice(sessions_.begin(), sessions_, found->second);
    return sessions_.front();
  }
  MemoryLimits limits;
  limits.steps = settings_.steps_per_session_max;
  limits.values_per_document = settings_.paths_per_output_max;
  std::string name(tenant);
  const Key key = tenant_of(name).key;
  sessions_.push_front(Session{id, key, std::move(name), SessionMemory(limits)});
  sessions_by_id_.emplace(id, sessions_.begin());
  return sessions_.front();
}

void PredictionGraph::Impl::forget_sessions() {
  while (sessions_.size() > 1 && (sessions_.size() > settings_.sessions_max ||
                                  session_bytes_ > settings_.session_bytes_max)) {
    session_bytes_ -= sessions_.back().memory.bytes();
    sessions_by_id_.erase(sessions_.back().id);
    sessions_.pop_back();
  }
}

void PredictionGraph::Impl::scalar_label(Key place, std::string_view name, const json::Value& value,
                                         bool learns, std::size_t& left, Key& labels) {
  if (left == 0) {
    return;
  }
  --left;
  const Key field = mix(place, hash_text(name));
  labels = mix(labels, hash_text(name));
  Key hash = hash_value(value);
  if (const std::string* text = value.string(); text != nullptr && text->size() > label_bytes_max) {
    // Of a long text (a message, an error) the first word may be a label.
    hash = mix(1, hash_text(std::string_view(*text).substr(0, text->find(' ')).substr(0, 40)));
  }
  if (learns) {
    fields_.touch(field).learn(hash);
  }
  const Field* known = fields_.find(field);
  if (known == nullptr || known->is_label) {
    labels = mix(labels, hash);
  }
}

Key PredictionGraph::Impl::labels(Key task, Side side, const json::Value* value, bool learns) {
  if (value == nullptr) {
    return failed_symbol;
  }
  const Key place = mix(task_side(task, side), 0x61);
  std::size_t left = fields_per_document_max;
  if (const json::Array* array = value->array()) {
    return mix(0x62, std::min<std::size_t>(array->size(), 2));
  }
  const json::Object* object = value->object();
  Key labels = mix(0x63, object == nullptr ? 0 : 1);
  if (object == nullptr) {
    scalar_label(place, "", *value, learns, left, labels);
    return labels;
  }
  for (const json::Member& member : *object) {
    if (member.value.object() == nullptr && member.value.array() == nullptr) {
      scalar_label(place, member.name, member.value, learns, left, labels);
    } else if (const json::Array* array = member.value.array()) {
      labels = mix(labels, hash_text(member.name), std::min<std::size_t>(array->size(), 2));
    } else {
      labels = mix(labels, hash_text(member.name));
    }
  }
  return labels;
}

SeenStep PredictionGraph::Impl::seen(Key tenant, const Call& call, bool learns) {
  SeenStep step{
      call, std::nullopt, mix(tenant, hash_text(call.task())), hash_input(call.input()), 0, 0};
  const Key place = mix(task_side(step.task, Side::input), 0x61);
  std::size_t left = fields_per_document_max;
  for (const json::Member& member : call.input()) {
    if (member.value.object() == nullptr && member.value.array() == nullptr) {
      scalar_label(place, member.name, member.value, learns, left, step.input_labels);
    }
  }
  return step;
}

/// From the most general to the most special. While the last output is open, contexts that need it
/// are left out.
std::vector<Key> PredictionGraph::Impl::next_contexts(const Session& session, bool is_open) const {
  const std::vector<SeenStep>& steps = session.memory.steps();
  const auto back = [&](std::size_t n) -> const SeenStep* {
    return steps.size() >= n ? &steps[steps.size() - n] : nullptr;
  };
  const auto task = [&](std::size_t n) { return back(n) == nullptr ? start_task : back(n)->task; };
  const auto answered = [&](std::size_t n) {
    return back(n) == nullptr ? start_task : mix(back(n)->task, back(n)->output_labels);
  };
  const Key tenant = session.tenant;
  const Key inputs = back(1) == nullptr ? 0 : back(1)->input_labels;
  std::vector<Key> keys = {mix(tenant, 0x70), mix(tenant, 0x71, task(1)),
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

std::vector<Key> PredictionGraph::Impl::output_contexts(const Session& session) const {
  const std::vector<SeenStep>& steps = session.memory.steps();
  FORERUN_ASSERT(!steps.empty());
  const SeenStep& last = steps.back();
  const Key before = steps.size() < 2
                         ? start_task
                         : mix(steps[steps.size() - 2].task, steps[steps.size() - 2].output_labels);
  return {mix(session.tenant, 0x81, last.task),
          mix(session.tenant, 0x82, last.task, last.input_labels),
          mix(session.tenant, 0x83, last.task, last.input_labels, before),
          mix(session.tenant, 0x84, last.task, last.input_hash)};
}

/// Contexts of the words that reached the session last: alone while no step has followed them, else
/// with the last task.
std::vector<Key> PredictionGraph::Impl::word_contexts(const Session& session) const {
  const SessionMemory& memory = session.memory;
  const Key after =
      memory.has_fresh_words() || memory.steps().empty() ? 0 : memory.steps().back().task;
  std::vector<Key> keys;
  for (const Key word : memory.last_words()) {
    keys.push_back(mix(session.tenant, 0x90, word, after));
  }
  return keys;
}

/// What the most telling words of the text say. A word tells more the more often one thing followed
/// it.
PredictionGraph::Impl::WordsSay PredictionGraph::Impl::words_say(const Session& session,
                                                                 const std::vector<Likely>& forms,
                                                                 std::vector<Key> contexts) const {
  std::vector<std::pair<double, Key>> words;
  for (const Key key : word_contexts(session)) {
    if (const Context* context = nexts_.find(key); context != nullptr) {
      words.emplace_back(
          context->most() / (context->total + word_doubt * context->distinct + word_rarity), key);
    }
  }
  WordsSay say;
  if (words.empty()) {
    return say;
  }
  std::sort(words.begin(), words.end());
  for (std::size_t i = words.size() - std::min(words.size(), telling_words_max); i < words.size();
       ++i) {
    contexts.push_back(words[i].second);
  }
  say.forms = nexts_.likely(contexts);
  const auto step = static_cast<std::size_t>(words.back().first * 5);
  double most = 0;
  for (const Likely& each : forms) {
    most = std::max(most, each.probability);
  }
  const std::size_t sure = (most > 0.4 ? 1U : 0U) + (most > 0.7 ? 1U : 0U) + (most > 0.9 ? 1U : 0U);
  say.bucket =
      std::min<std::size_t>(step, 4) + 5 * sure + (session.memory.has_fresh_words() ? 20 : 0);
  return say;
}

/// Contexts and words, each by how often its guess was the right one of the two where the words
/// told as much.
PredictionGraph::Impl::Guess PredictionGraph::Impl::guess(const Session& session,
                                                          const Tenant& tenant,
                                                          bool is_open) const {
  Guess guess;
  std::vector<Key> contexts = next_contexts(session, is_open);
  guess.contexts_say = nexts_.likely(contexts);
  guess.words = words_say(session, guess.contexts_say, std::move(contexts));
  guess.forms = guess.contexts_say;
  if (!guess.words.forms.empty()) {
    const double share = tenant.words[guess.words.bucket].share();
    for (Likely& each : guess.forms) {
      each.probability *= 1 - share;
    }
    for (const Likely& said : guess.words.forms) {
      const auto found =
          std::find_if(guess.forms.begin(), guess.forms.end(),
                       [&](const Likely& each) { return each.symbol == said.symbol; });
      if (found == guess.forms.end()) {
        guess.forms.push_back({said.symbol, said.probability * share});
      } else {
        found->probability += said.probability * share;
      }
    }
  }
  std::sort(guess.forms.begin(), guess.forms.end(), more_likely);
  return guess;
}

/// What was guessed and what came, before the guess is taught to anyone.
void PredictionGraph::Impl::learn_guess(const Session& session, Tenant& tenant, Key symbol) const {
  const Guess made = guess(session, tenant, false);
  for (std::size_t i = 0; i < std::min(made.forms.size(), reliability_guesses); ++i) {
    const double stated = made.forms[i].probability;
    tenant.forms[reliability_bin(stated)].learn(stated, made.forms[i].symbol == symbol);
  }
  if (made.words.forms.empty()) {
    return;
  }
  const auto is_right = [&](const std::vector<Likely>& guesses) {
    const auto best = std::min_element(guesses.begin(), guesses.end(), more_likely);
    return best != guesses.end() && best->symbol == symbol;
  };
  const bool words_right = is_right(made.words.forms);
  if (words_right != is_right(made.contexts_say)) {
    tenant.words[made.words.bucket].learn(words_right);
  }
}

void PredictionGraph::Impl::learn_next(const Session& session, Key symbol) {
  std::vector<Key> contexts = next_contexts(session, false);
  const std::vector<Key> open = next_contexts(session, true);
  contexts.insert(contexts.end(), open.begin() + 3, open.end());
  const std::vector<Key> words = word_contexts(session);
  contexts.insert(contexts.end(), words.begin(), words.end());
  nexts_.teach(contexts, symbol);
}

Surroundings PredictionGraph::Impl::around(const Session& session, Key task, bool is_open) const {
  const std::vector<SeenStep>& steps = session.memory.steps();
  const Key previous = steps.empty() ? start_task : steps.back().task;
  return {session.memory, task, previous, is_open ? previous : 0, &output_names_};
}

std::vector<std::vector<Candidate>> PredictionGraph::Impl::values_of(const Session& session,
                                                                     const Tenant& tenant,
                                                                     const Form& form,
                                                                     bool is_open) const {
  std::vector<std::vector<Candidate>> values;
  const Surroundings surroundings = around(session, form.task_key, is_open);
  for (const Key key : form.parameters) {
    const Parameter* parameter = parameters_.find(key);
    if (parameter == nullptr) {
      return {};
    }
    values.push_back(parameter->candidates(surroundings, tenant.kinds, values_per_parameter_max));
    if (values.back().empty()) {
      return {};
    }
  }
  return values;
}

/// The best combinations of values. A call that the session has made before counts by how often
/// this form is repeated.
std::vector<Filling> PredictionGraph::Impl::fillings(
    const Session& session, const Form& form,
    const std::vector<std::vector<Candidate>>& values) const {
  std::vector<Filling> best(1);
  best.front().input_hash = hash_object_start();
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::vector<Filling> longer;
    for (const Filling& filling : best) {
      for (const Candidate& candidate : values[i]) {
        Filling more = filling;
        more.values.push_back(&candidate);
        more.share *= candidate.share;
        more.input_hash = mix(more.input_hash, hash_text(form.names[i]), candidate.hash);
        longer.push_back(std::move(more));
      }
    }
    std::stable_sort(longer.begin(), longer.end(),
                     [](const Filling& a, const Filling& b) { return a.share > b.share; });
    longer.resize(std::min(longer.size(), calls_per_form_max));
    best = std::move(longer);
  }
  const double repeats = (form.repeats + 0.1) / (form.tries + 2);
  double before = 0;
  double after = 0;
  for (Filling& filling : best) {
    before += filling.share;
    if (session.memory.was_called(form.task_key, filling.input_hash)) {
      filling.share *= repeats;
    }
    after += filling.share;
  }
  for (Filling& filling : best) {
    filling.share *= after > 0 ? before / after : 1;
    filling.share = std::min(filling.share, probability_max);
  }
  std::stable_sort(best.begin(), best.end(),
                   [](const Filling& a, const Filling& b) { return a.share > b.share; });
  return best;
}

void PredictionGraph::Impl::learn_call(Session& session, Tenant& tenant, const Call& call,
                                       Key task) {
  Key form_key = mix(task, 0xa0);
  for (const json::Member& member : call.input()) {
    form_key = mix(form_key, hash_text(member.name));
  }
  learn_guess(session, tenant, form_key);
  learn_next(session, form_key);
  if (call.input().size() > parameters_per_call_max) {
    return;
  }
  Form& form = forms_.touch(form_key);
  if (form.task.empty()) {
    form.task = call.task();
    form.task_key = task;
    for (const json::Member& member : call.input()) {
      form.names.push_back(member.name);
      form.parameters.push_back(mix(task, 0xa1, hash_text(member.name)));
    }
  }
  const Key input_hash = hash_input(call.input());
  if (form.tries > 0) {
    const auto values = values_of(session, tenant, form, false);
    if (values.size() == form.parameters.size()) {
      const Filling best = fillings(session, form, values).front();
      form.expected += best.share;
      form.hits += best.input_hash == input_hash ? 1 : 0;
    }
  }
  form.tries += 1;
  form.repeats += session.memory.was_called(task, input_hash) ? 1 : 0;
  if (form.tries > 128) {
    form.tries *= 0.5;
    form.expected *= 0.5;
    form.hits *= 0.5;
    form.repeats *= 0.5;
  }
  const Surroundings surroundings = around(session, task, false);
  for (const json::Member& member : call.input()) {
    const Key name = hash_text(member.name);
    parameters_.touch(mix(task, 0xa1, name)).learn(surroundings, tenant.kinds, name, member.value);
  }
}

void PredictionGraph::Impl::learn_output(const Session& session,
                                         const std::optional<Output>& output) {
  const SeenStep& last = session.memory.steps().back();
  Key symbol = failed_symbol;
  if (output) {
    const bool is_small = output->canonical().size() <= settings_.output_bytes_max;
    symbol = is_small ? mix(session.tenant, 0xb0, hash_value(output->value())) : large_symbol;
    if (is_small) {
      outputs_.touch(symbol) = *output;
    }
    if (const json::Object* object = output->value().object()) {
      std::size_t left = fields_per_document_max;
      for (const json::Member& member : *object) {
        if (left-- == 0) {
          break;
        }
        output_names_.touch(mix(last.task, hash_text(member.name))) = true;
      }
    }
  }
  nexts_.teach(output_contexts(session), symbol);
}

void PredictionGraph::Impl::text(const RunId& id, std::string_view tenant, std::string_view text) {
  Session& session = open(id, tenant);
  session_bytes_ -= session.memory.bytes();
  session.memory.add_text(text.substr(0, text_bytes_max));
  session_bytes_ += session.memory.bytes();
  forget_sessions();
}

void PredictionGraph::Impl::observe(const RunId& id, std::string_view tenant, const Call& call,
                                    const std::optional<Output>& output) {
  Session& session = open(id, tenant);
  Tenant& owner = tenant_of(session.tenant_name);
  session_bytes_ -= session.memory.bytes();
  SeenStep step = seen(session.tenant, call, true);
  const Key task = step.task;
  learn_call(session, owner, call, task);
  session.memory.add_call(std::move(step));
  learn_output(session, output);
  session.memory.add_output(output,
                            labels(task, Side::output, output ? &output->value() : nullptr, true));
  session_bytes_ += session.memory.bytes();
  forget_sessions();
}

void PredictionGraph::Impl::end(const RunId& id) {
  const auto found = sessions_by_id_.find(id);
  if (found == sessions_by_id_.end()) {
    return;
  }
  Session& session = *found->second;
  learn_guess(session, tenant_of(session.tenant_name), end_symbol);
  learn_next(session, end_symbol);
  session_bytes_ -= found->second->memory.bytes();
  sessions_.erase(found->second);
  sessions_by_id_.erase(found);
}

std::vector<std::string> PredictionGraph::Impl::reasons(const Session& session, const Form& form,
                                                        double probability,
                                                        const Filling& filling) const {
  std::vector<std::string> lines;
  const std::vector<SeenStep>& steps = session.memory.steps();
  const std::string after = steps.empty() ? "as first call" : "after " + steps.back().call.task();
  lines.push_back(form.task + " " + after + ": " + percent(probability));
  for (std::size_t i = 0; i < filling.values.size(); ++i) {
    const Candidate& value = *filling.values[i];
    lines.push_back(form.names[i] + " = " +
                    (value.origin == nullptr ? std::string("constant") : *value.origin) + ": " +
                    percent(value.share));
  }
  return lines;
}

void PredictionGraph::Impl::predict_next(const Session& session, const Tenant& tenant, bool is_open,
                                         double scale, const Question& question,
                                         std::vector<Draft>& drafts) const {
  const double least = std::max(form_probability_min, question.probability_min);
  std::size_t tried = 0;
  for (Likely likely : guess(session, tenant, is_open).forms) {
    likely.probability = is_open ? likely.probability : tenant.corrected(likely.probability);
    if (likely.probability * scale < form_probability_min || tried == forms_tried_max) {
      break;
    }
    const Form* form = likely.probability * scale < least ? nullptr : forms_.find(likely.symbol);
    if (form == nullptr || (question.wants && !question.wants(form->task))) {
      continue;
    }
    ++tried;
    const auto values = values_of(session, tenant, *form, is_open);
    if (values.size() != form->parameters.size()) {
      continue;
    }
    // How far this form's arguments were right when they were expected to be.
    const double trust = std::min((form->hits + 2) / (form->expected + 2), 1.5);
    for (const Filling& filling : fillings(session, *form, values)) {
      Draft draft;
      draft.form = form;
      draft.probability = std::min(
          likely.probability * std::min(filling.share * trust, probability_max), probability_max);
      if (draft.probability * scale < question.probability_min) {
        continue;
      }
      draft.input_hash = filling.input_hash;
      for (std::size_t i = 0; i < filling.values.size(); ++i) {
        draft.input.set(form->names[i], *filling.values[i]->value);
      }
      draft.reasons = reasons(session, *form, likely.probability, filling);
      drafts.push_back(std::move(draft));
    }
  }
}

void PredictionGraph::Impl::predict_beyond_open(Session& session, const Tenant& tenant,
                                                const Question& question,
                                                std::vector<Draft>& drafts) {
  predict_next(session, tenant, true, 1, question, drafts);
  std::vector<Likely> outputs = nexts_.likely(output_contexts(session));
  std::sort(outputs.begin(), outputs.end(), more_likely);
  std::size_t tried = 0;
  for (const Likely& likely : outputs) {
    if (likely.probability < std::max(premise_probability_min, question.probability_min) ||
        tried == premises_max) {
      break;
    }
    const std::optional<Output>* output = outputs_.find(likely.symbol);
    if (output == nullptr || !output->has_value()) {
      continue;
    }
    ++tried;
    const SessionMemory::Mark mark = session.memory.mark();
    const Key task = session.memory.steps().back().task;
    session.memory.add_output(*output, labels(task, Side::output, &(*output)->value(), false));
    const std::size_t from = drafts.size();
    predict_next(session, tenant, false, std::min(likely.probability, probability_max), question,
                 drafts);
    session.memory.rollback(mark);
    for (std::size_t i = from; i < drafts.size(); ++i) {
      drafts[i].premise = *output;
      drafts[i].premise_key = likely.symbol;
      drafts[i].premise_probability = std::min(likely.probability, probability_max);
    }
  }
}

std::vector<Prediction> PredictionGraph::Impl::predict(const RunId& id, const Question& question) {
  const auto found = sessions_by_id_.find(id);
  if (found == sessions_by_id_.end()) {
    return {};
  }
  Session& session = *found->second;
  const auto tenant = tenants_.find(session.tenant_name);
  if (tenant == tenants_.end() || tenant->second.key != session.tenant) {
    return {};
  }
  const SessionMemory::Mark mark = session.memory.mark();
  bool is_open = false;
  for (const ImaginedStep& step : question.beyond) {
    FORERUN_ASSERT(!is_open);
    session.memory.add_call(seen(session.tenant, step.call, false));
    is_open = !step.output.has_value();
    if (step.output) {
      const Key task = session.memory.steps().back().task;
      session.memory.add_output(step.output,
                                labels(task, Side::output, &step.output->value(), false));
    }
  }
  std::vector<Draft> drafts;
  if (is_open) {
    predict_beyond_open(session, tenant->second, question, drafts);
  } else {
    predict_next(session, tenant->second, false, 1, question, drafts);
  }
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

PredictionSizes PredictionGraph::Impl::sizes() const {
  PredictionSizes sizes;
  sizes.sessions = sessions_.size();
  sizes.session_bytes = session_bytes_;
  sizes.contexts = nexts_.size();
  sizes.forms = forms_.size();
  sizes.parameters = parameters_.size();
  sizes.outputs = outputs_.size();
  sizes.fields = fields_.size();
  sizes.tenants = tenants_.size();
  return sizes;
}

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

std::vector<Prediction> PredictionGraph::predict(const RunId& session,
                                                 const Question& question) const {
  return impl_->predict(session, question);
}

PredictionSizes PredictionGraph::sizes() const {
  return impl_->sizes();
}

}  // namespace forerun
