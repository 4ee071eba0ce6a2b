#include "coordinator/prediction_graph.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <deque>
#include <functional>
#include <initializer_list>
#include <list>
#include <map>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "base/assert.hpp"
#include "base/real.hpp"
#include "coordinator/argument_bindings.hpp"
#include "coordinator/context_trust.hpp"
#include "coordinator/conversation.hpp"
#include "coordinator/declared_prior.hpp"
#include "coordinator/importance.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/past_sessions.hpp"
#include "coordinator/prediction_reasons.hpp"
#include "coordinator/ranker.hpp"
#include "coordinator/task_names.hpp"
#include "coordinator/telling_fields.hpp"

namespace forerun {

namespace {

using namespace prediction;

constexpr Key start_task = 0x41;     ///< Stands before a session's first step.
constexpr Key end_symbol = 0x42;     ///< The session ends.
constexpr Key failed_symbol = 0x43;  ///< The step has no output.
constexpr Key model_symbol = 0x45;   ///< The model is asked with all that was said.
constexpr Key other_symbol = 0x46;   ///< The model is asked when more has been said.
constexpr Key large_symbol = 0x44;   ///< An output too large to be predicted.

constexpr std::size_t past_sessions_each_min = 8;
/// One session's calls and outputs take at most this part of what all may.
constexpr std::size_t sessions_in_memory_min = 8;
/// Of what all sessions may take: for each so much, one value of a session and one byte of a
/// document whose values are remembered; at least units_min, at most the usual.
constexpr std::size_t session_bytes_per_unit = 8'192;
constexpr std::size_t units_min = 4'096;
constexpr std::size_t parameters_per_call_max = 32;
constexpr std::size_t forms_tried_max = 9;
/// Where only what is so probable is asked for, forms whose score is so far behind the best are
/// left out, and calls that are so small a part of their form.
constexpr double probability_min_of_few = 0.05;
constexpr double far_behind = 3;
constexpr double share_min_of_few = 0.01;               ///< Of a form's values together.
constexpr std::size_t forms_tried_of_contexts_max = 6;  ///< Where contexts alone name forms.
constexpr std::size_t values_per_parameter_max = 6;
constexpr std::size_t calls_per_form_max = 8;
constexpr std::size_t premises_max = 3;
constexpr double meaning_share_min = 0.05;
constexpr std::size_t mold_depth_max = 3;       ///< Of parts in parts.
constexpr std::size_t parts_per_form_max = 40;  ///< Of all arguments of a call.
constexpr std::size_t composed_others_max = 2;
constexpr std::size_t text_bytes_max = 64U << 10U;
constexpr double form_probability_min = 0.003;
/// Far more than one question needs at a time.
constexpr std::size_t declared_forms_max = 4'096;
/// Calls of a form after which the catalog's word counts no more for how sure it can be.
constexpr double declared_calls_max = 8;
constexpr double premise_probability_min = 0.02;
constexpr double answer_probability_min = 0.001;
constexpr double task_probability_min = 0.001;
/// Of a parameter's likeliest value; below, nothing tells it.
constexpr double filled_above = 0.25;
/// Nothing learned is certain.
constexpr double probability_max = 0.995;

/// How fast the weights of words move (AdaGrad).
constexpr double word_rate = 0.3;
constexpr double word_damping = 0.1;
constexpr std::size_t word_forms_max = 48;
constexpr std::size_t words_propose_max = 8;
constexpr std::size_t forms_considered_max = 32;

/// So many of a tenant's steps and ends teach how to rank; after them one in lessons_every does.
constexpr std::uint64_t lessons_full = 50'000;
constexpr std::uint64_t lessons_every = 16;

constexpr std::size_t reliability_bins = 10;
constexpr std::size_t reliability_guesses = 3;
constexpr double reliability_prior = 4;
constexpr double reliability_memory = 250;
constexpr double doubted_from = 0.86;
constexpr double doubted_whole = 0.9;
constexpr double lower_bound_errors = 1.282;
/// What is stated at sure_from and more came true so often, or it is stated just below.
constexpr double sure_from = 0.9;
constexpr double sure_min = 0.95;
constexpr double sure_memory = 1'000;
constexpr double just_below_sure = 0.8999;

std::size_t reliability_bin(double probability) {
  const auto bin = static_cast<std::size_t>(probability * static_cast<double>(reliability_bins));
  return std::min(bin, reliability_bins - 1);
}

/// Where there were more steps their number says nothing.
constexpr std::size_t numbered_steps_max = 32;
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
  std::vector<Key> name_keys;
  std::vector<Key> parameters;
  double seen = 0;      ///< Calls of this form, ever.
  double tries = 0;     ///< Calls of this form, the recent ones.
  double expected = 0;  ///< Sum of what its best arguments were given as their probability.
  double hits = 0;      ///< How often they were exactly right.
  double repeats = 0;   ///< Calls that the session had made before.
  const DeclaredPrior::Declared* declared = nullptr;  ///< Of a form that was never seen.
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

/// What a stated probability is worth by these records.
double corrected(const Reliability (&records)[reliability_bins], double probability) {
  // Upwards at most half of what is missing: a few lucky sessions make nobody certain.
  return std::min(probability * records[reliability_bin(probability)].correction(),
                  probability + (1 - probability) / 2);
}

/// How much of what was nearly certain came true.
struct SureRecord {
  static constexpr std::array<double, 3> from = {sure_from, 0.95, 0.98};
  struct Bin {
    double tries = 0, came = 0;
  };
  std::array<Bin, from.size()> bins{};

  /// @pre probability >= sure_from
  static std::size_t bin_of(double probability) {
    return probability < from[1] ? 0 : probability < from[2] ? 1 : 2;
  }
  void learn(double probability, bool has_come) {
    Bin& bin = bins[bin_of(probability)];
    bin.tries += 1;
    bin.came += has_come ? 1 : 0;
    if (bin.tries > sure_memory) {
      bin.tries *= 0.5;
      bin.came *= 0.5;
    }
  }
  /// Enough came true: by one standard error, so not before twenty did in a row.
  bool holds(double probability) const {
    const Bin& bin = bins[bin_of(probability)];
    return bin.tries > 0 &&
           bin.came >= sure_min * bin.tries + std::sqrt(sure_min * (1 - sure_min) * bin.tries);
  }
};

/// What is stated as nearly certain is stated as its lower bound after so many calls (one-sided,
/// 90 %, by the normal approximation of a share's error). Below doubted_from nothing is taken off,
/// from doubted_whole on all of it.
double doubted(double probability, double calls) {
  const double share = (probability - doubted_from) / (doubted_whole - doubted_from);
  const double error = std::sqrt(probability * (1 - probability) / (calls + 1));
  return probability - std::clamp(share, 0.0, 1.0) * lower_bound_errors * error;
}

/// What tells how likely a whole call is: see describe().
constexpr std::size_t call_features = 48;
using CallRanker = Ranker<call_features>;

/// At first a call is as likely as its form by the contexts times its arguments by their rules.
CallRanker first_call_ranker() {
  Features<call_features> weights = {
      0.65, 1.25, 0.75, 0.9, 0.15, -0.3, 0.05, 0.4,  -0.4, -0.15, -0.1, 0.2,  0.15, 0,   0.1, 0.1,
      -0.1, -0.5, 0.15, 0,   -0.1, -0.3, 0.1,  0.4,  0.8,  0.7,   -0.4, 0.35, 0.2,  0.2, 0.2, 0.2,
      0.2,  0.2,  0,    0,   0,    0.4,  0,    0.65, -0.5, 0.2,   0.2,  0.4,  0,    0,   0,   0.3};
  return CallRanker(weights);
}

/// What follows a word: how much it speaks for each form, the forms it was last wrong about.
struct WordWeights {
  struct Weight {
    Key form = 0;
    double weight = 0;
    double squares = 0;
  };
  std::vector<Weight> forms;

  Weight& of(Key form) {
    for (Weight& each : forms) {
      if (each.form == form) {
        return each;
      }
    }
    if (forms.size() >= word_forms_max) {
      // The one that says least.
      forms.erase(
          std::min_element(forms.begin(), forms.end(), [](const Weight& a, const Weight& b) {
            return std::abs(a.weight) < std::abs(b.weight);
          }));
    }
    return forms.emplace_back(Weight{form});
  }
};

struct Tenant {
  Key key = 0;
  std::uint64_t used = 0;
  std::uint64_t steps = 0;  ///< And ends that it taught.
  KindRecord kinds;
  ValueRanker values = first_value_ranker();
  CallRanker calls = first_call_ranker();
  /// What comes next teaches how to rank. Counting what follows what costs little and is always
  /// done; predicting what was to be expected is most of a step's cost, and weights that have
  /// seen tens of thousands of steps move little.
  bool takes_lesson() {
    ++steps;
    return is_lesson();
  }
  /// The step that came last teaches it.
  bool is_lesson() const { return steps <= lessons_full || steps % lessons_every == 0; }
  PastSessions past;
  PastSessions past_turns;  ///< From one text to the next.
  TaskNames names;
  Importance importance;
  DeclaredRecord declared_calls, declared_values;
  ContextTrust answered, open;  ///< In what next_contexts() gives.
  Reliability forms[reliability_bins];
  Reliability whole_calls[reliability_bins];
  SureRecord sure;
};

struct Session {
  RunId id;
  Key tenant = 0;
  std::string tenant_name;
  SessionMemory memory;
  std::vector<Key> forms{};                     ///< Of its steps.
  std::vector<PastSessions::Neighbour> near{};  ///< Past sessions with texts like its own.
  std::vector<PastSessions::Neighbour> turn_near{};
  std::vector<Key> turn_words{};
  std::size_t turn_from = 0;    ///< Its first step.
  std::vector<Likely> named{};  ///< Forms whose tasks the text names.
  /// What the words of the latest texts say of forms (not a probability), best first: before any
  /// step, and after.
  std::vector<Likely> spoken[2]{};
  std::vector<Meaning> meanings{};  ///< Of the words of all its texts.
  Conversation said{};
  std::string said_after_output{};
  bool is_thinking = false;           ///< The model was asked since the last step.
  std::size_t bytes = 0;              ///< Of its memory, as counted last.
  TellingFields::Saying said_last{};  ///< The last output, where it is compared what tells.
  bool has_said_last = false;
};

/// One way to fill a form: which candidate each parameter takes.
struct Filling {
  std::array<std::uint8_t, parameters_per_call_max> chosen{};
  double share = 1;
  Key input_hash = 0;
};

/// What each parameter of a form may get.
struct Values {
  std::vector<std::vector<Candidate>> of;
  MadeValues made;

  std::size_t size() const { return of.size(); }
  const std::vector<Candidate>& operator[](std::size_t parameter) const { return of[parameter]; }
};

/// A call that may come next, before it is built.
struct Option {
  const Form* form = nullptr;
  const Values* values = nullptr;  ///< Of the form.
  Key form_key = 0;
  double form_probability = 0;
  Filling filling;
  Features<call_features> features{};
  double ranked = 0;       ///< By the ranker alone.
  double probability = 0;  ///< No surer than the calls of its form allow.

  const Candidate& value(std::size_t parameter) const {
    return (*values)[parameter][filling.chosen[parameter]];
  }
};

double share_in(const std::vector<Likely>& votes, Key symbol) {
  for (const Likely& each : votes) {
    if (each.symbol == symbol) {
      return each.probability;
    }
  }
  return 0;
}

/// What single contexts say of a form, beyond their blend.
using Evidence = std::array<double, 6>;
using LongContexts = std::array<const Context*, std::tuple_size_v<Evidence>>;

/// What describes all calls of one form alike.
struct FormFeatures {
  double probability = 0;  ///< Logarithm.
  double record = 0;       ///< How far its best arguments were right, against what was stated.
  double repeats = 0;
  double sessions = 0, turns = 0;
  double named_all = 0, named_fresh = 0, named_ahead = 0;
  double words = 0;
  double tries = 0;
  double importance = 0;
  bool is_known = false;  ///< The session has called its task.
  bool is_last = false;   ///< The last step did.
  Evidence evidence{};
};

/// What past sessions and past turns like this one say comes next.
struct Precedents {
  std::vector<Likely> sessions, turns;
};

/// From what is ranked to what is stated.
struct Stating {
  double corrected = 0;  ///< By how far such probabilities came true.
  double bounded = 0;    ///< The lower bound of that, where it is nearly certain.
  double allowed = 0;    ///< A correction upwards makes no form surer than its calls allow.
  double stated = 0;     ///< Just below sure_from where too little of what was so sure came true.
};

/// A form that is looked at, whether or not its arguments are known.
struct TriedForm {
  const Form* form = nullptr;
  Key symbol = 0;
  double score = 0;  ///< As the ranker has it before it knows with which arguments.
};

/// All calls that may come next and what describes that none of them does.
struct Options {
  std::deque<std::pair<Key, Values>> values;  ///< By form.
  std::vector<Option> calls;
  std::vector<Likely> guessed;  ///< What contexts alone say, best first.
  std::vector<TriedForm> tried;
  double end = 0;  ///< What contexts say of the session's end.
  Features<call_features> none{};
  double none_probability = 1;
};

/// The best combinations of values, best first.
class Fillings {
public:
  Fillings(const Form& form, const Values& values, std::size_t size_max)
      : size_max_(std::min(size_max, calls_per_form_max)) {
    best_.front().input_hash = hash_object_start();
    for (std::size_t i = 0; i < values.size(); ++i) {
      extend(i, values[i], form.name_keys[i]);
    }
  }
  const Filling* begin() const { return best_.data(); }
  const Filling* end() const { return best_.data() + size_; }
  const Filling& front() const { return best_.front(); }

private:
  /// One value on top of a shorter combination.
  struct Extension {
    std::size_t shorter = 0;
    std::size_t value = 0;
    double share = 1;
  };
  /// Both the shorter ones and the values are in order, so the n-th with the k-th is worse than n k
  /// others.
  static constexpr std::size_t extensions_max = 20;  ///< The sum of 8 / n, rounded down.

  void extend(std::size_t parameter, const std::vector<Candidate>& values, Key name) {
    std::array<Extension, extensions_max> extensions;
    std::size_t made = 0;
    for (std::size_t n = 0; n < size_; ++n) {
      const std::size_t count =
          std::min({values.size(), values_per_parameter_max, size_max_ / (n + 1)});
      for (std::size_t k = 0; k < count; ++k) {
        extensions[made++] = {n, k, best_[n].share * values[k].share};
      }
    }
    const std::size_t kept = std::min(made, size_max_);
    std::partial_sort(extensions.begin(), extensions.begin() + static_cast<std::ptrdiff_t>(kept),
                      extensions.begin() + static_cast<std::ptrdiff_t>(made),
                      [](const Extension& a, const Extension& b) {
                        return a.share != b.share       ? a.share > b.share
                               : a.shorter != b.shorter ? a.shorter < b.shorter
                                                        : a.value < b.value;
                      });
    std::array<Filling, calls_per_form_max> longer;
    for (std::size_t n = 0; n < kept; ++n) {
      const Extension& extension = extensions[n];
      Filling& filling = longer[n] = best_[extension.shorter];
      filling.chosen[parameter] = static_cast<std::uint8_t>(extension.value);
      filling.share = extension.share;
      filling.input_hash = mix(filling.input_hash, name, values[extension.value].hash);
    }
    best_ = longer;
    size_ = kept;
  }

  std::array<Filling, calls_per_form_max> best_{};
  std::size_t size_ = 1;
  std::size_t size_max_;
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

}  // namespace

/// Keys of contexts, in order.
class ContextKeys {
public:
  ContextKeys() = default;
  ContextKeys(std::initializer_list<Key> keys) {
    for (const Key key : keys) {
      push_back(key);
    }
  }
  void push_back(Key key) {
    FORERUN_ASSERT(size_ < keys_.size());
    keys_[size_++] = key;
  }
  void append(std::span<const Key> keys) {
    for (const Key key : keys) {
      push_back(key);
    }
  }
  operator std::span<const Key>() const { return std::span(keys_).first(size_); }
  std::size_t size() const { return size_; }
  Key operator[](std::size_t at) const { return keys_[at]; }
  Key back() const { return keys_[size_ - 1]; }
  std::span<const Key> from(std::size_t first) const {
    return std::span(keys_).first(size_).subspan(first);
  }

private:
  static constexpr std::size_t size_max = 24;
  std::array<Key, size_max> keys_;
  std::size_t size_ = 0;
};

class PredictionGraph::Impl {
public:
  explicit Impl(const PredictionSettings& settings)
      : settings_(settings),
        nexts_(settings.contexts_max),
        forms_(settings.forms_max),
        parameters_(settings.parameters_max),
        outputs_(settings.outputs_max),
        fields_(settings.fields_max),
        telling_(std::max<std::size_t>(1, settings.fields_max / fields_per_document_max)),
        output_trust_(telling_.limit()),
        output_names_(settings.fields_max),
        word_weights_(settings.word_weights_max) {
    model_form_.task = settings_.model_task;
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

  void text(const RunId& id, std::string_view tenant, std::string_view text);
  void observe(const RunId& id, std::string_view tenant, const Call& call,
               const std::optional<Output>& output);
  void end(const RunId& id);
  void forget(std::string_view tenant);
  void declare(const DeclaredTasks& tasks);
  void set_learning(bool learns) { learns_ = learns; }
  /// Also the tasks, where `tasks` is not null.
  std::vector<Prediction> predict(const RunId& id, const Question& question,
                                  std::vector<ExpectedTask>* tasks);
  double end_probability(const RunId& id, const Question& question);
  PredictionSizes sizes() const;

private:
  using Sessions = std::list<Session>;
  Session& open(const RunId& id, std::string_view tenant);
  void count_bytes(Session& session);
  void forget_sessions();
  Tenant& tenant_of(const std::string& name);

  SeenStep seen(Key tenant, const Call& call, bool learns);
  Key labels(Key task, Side side, const json::Value* value, bool learns);
  Key answer(Key task, const json::Value* value);
  Key read_answer(Session& session, Key task, const json::Value* value);
  ContextKeys names_of(Key place, const json::Object& object) const;
  void scalar_label(Key place, Key key, const json::Value& value, bool learns, std::size_t& left,
                    Key& labels);

  static ContextKeys next_contexts(const Session& session, bool is_open);
  static ContextKeys output_contexts(const Session& session);
  static Key number_context(const Session& session);
  double ends_here(const Session& session) const;
  const ContextTrust* trust_of(const Tenant& tenant, bool is_open) const;
  const ContextTrust* output_trust(const Session& session) const;
  std::vector<Likely> guess(const Session& session, const Tenant& tenant, bool is_open) const;
  const Form* form_of(Key symbol) const;
  Key declared_form(Key tenant, const DeclaredPrior::Declared& declared) const;
  void add_declared(const Session& session, const DeclaredPrior::Follower& follower,
                    std::vector<Likely>& prior) const;
  std::vector<Likely> declared_next(const Session& session) const;
  void add_declared_names(Session& session, const Tenant& tenant) const;
  double how_far_named(const Tenant& tenant, const Form& form, const std::vector<Key>& stems) const;
  double calls_allowed(const Tenant& tenant, const Form& form, double doubt) const;
  void learn_declared(Tenant& tenant, const Options& all, const Call& call, Key form_key) const;
  static void learn_guess(const std::vector<Likely>& made, Tenant& tenant, Key symbol);
  void learn_trust(ContextTrust& trust, std::span<const Key> contexts,
                   std::span<const Likely> prior, Key symbol) const;
  void learn_next(const Session& session, Tenant& tenant, Key symbol);
  void learn_call(Session& session, Tenant& tenant, const SeenStep& step);
  void learn_output(const Session& session, const Tenant& owner,
                    const std::optional<Output>& output);

  Surroundings around(const Session& session, Key task) const;
  Values values_of(const Session& session, const Tenant& tenant, const Form& form,
                   Wanted wanted) const;
  /// Of one of the form's parameters.
  std::vector<Candidate> values_for(const Surroundings& surroundings, const Tenant& tenant,
                                    const Form& form, std::size_t parameter,
                                    std::size_t& parts_left, MadeValues& made, Wanted wanted) const;
  std::vector<Candidate> candidates(const Surroundings& surroundings, const Tenant& tenant, Key key,
                                    std::size_t depth, std::size_t& parts_left, MadeValues& made,
                                    Wanted wanted) const;
  void compose(const Surroundings& surroundings, const Tenant& tenant, Key key, const Mold& mold,
               double share, std::size_t depth, std::size_t& parts_left,
               std::vector<Composed>& composed, MadeValues& made) const;
  void learn_parameter(const Surroundings& surroundings, Tenant& tenant, Key key,
                       std::string_view name, const json::Value& value, std::size_t depth,
                       std::size_t& parts_left);
  /// Which forms are worth a look: the form that came is looked at closely, and with it all that is
  /// learned from; else what is too far behind the best to be asked for is left out.
  struct Look {
    Key came = 0;
    double probability_min = 0;
  };
  Options options(const Session& session, const Tenant& tenant, bool is_open, Look look) const;
  FormFeatures describe_form(const Session& session, const Tenant& tenant, const Form& form,
                             const Likely& likely, const Precedents& precedents,
                             const LongContexts& long_contexts, bool is_open) const;
  static Features<call_features> describe(const Session& session, const Option& option,
                                          const FormFeatures& of_form, std::size_t rank);
  Precedents precedents(const Session& session, const Tenant& tenant) const;
  static ContextKeys long_contexts(const Session& session);
  static Evidence evidence_for(const LongContexts& contexts, const Likely& form, bool is_open);
  void hear(Session& session) const;
  void understand(Session& session) const;
  void learn_meaning(const Session& session, Key task, Key name, const json::Value& value);
  void learn_words(const Session& session, const Options& all, Key came);
  static void forget_steps(Session& session, SessionMemory::Dropped dropped);
  static PastSession done_from(const Session& session, std::size_t first);
  void end_turn(const Session& session, Tenant& tenant) const;
  Options learn_options(const Session& session, Tenant& tenant, Key form_key, Key input_hash);
  void learn_values(Tenant& tenant, Form& form, const Values& values, const json::Object& input,
                    Key input_hash) const;
  void predict_next(const Session& session, const Tenant& tenant, bool is_open, double scale,
                    const Question& question, std::vector<Draft>& drafts,
                    std::vector<ExpectedTask>* tasks = nullptr) const;
  void predict_beyond_open(Session& session, const Tenant& tenant, const Question& question,
                           const Conversation& said, bool is_thinking, std::vector<Draft>& drafts,
                           std::vector<ExpectedTask>* tasks);
  std::vector<ExpectedTask> tasks_of(const Session& session, const Tenant& tenant,
                                     const Options& all, const Question& question) const;
  std::vector<std::string> unfilled(const Session& session, const Tenant& tenant,
                                    const Form& form) const;
  bool is_model(const Call& call) const {
    return has_model() && call.task() == settings_.model_task;
  }
  bool has_model() const { return !settings_.model_task.empty(); }
  static ContextKeys model_contexts(const Session& session);
  /// What one tenant may keep, so that all keep their limit together.
  std::size_t past_sessions_each() const {
    return std::max<std::size_t>(past_sessions_each_min,
                                 settings_.past_sessions_max / tenants_.size());
  }
  void predict_model(const Session& session, const Conversation& said, double scale,
                     std::vector<Draft>& drafts) const;
  Stating state(const Tenant& tenant, const Option& option) const;
  static std::vector<std::string> reasons(const Session& session, const Option& option,
                                          double stated);
  Account account_of(const Session& session, const Tenant& tenant, bool is_open, const Options& all,
                     const Option& option) const;
  std::string labels_text(Key task, Side side, const json::Value* value) const;
  std::vector<std::string> texts_of_next_contexts(const Session& session, bool is_open) const;
  std::vector<std::string> texts_of_output_contexts(const Session& session) const;
  std::string step_text(const SeenStep& step, bool tells_input, bool tells_output) const;
  std::vector<ContextSaid> contexts_said(Key symbol, std::span<const Key> contexts,
                                         std::span<const Likely> prior, const ContextTrust* trust,
                                         const std::vector<std::string>& texts) const;
  std::vector<ArgumentSaid> arguments_of(const Session& session, const Option& option) const;
  void add_forces(const Session& session, const Tenant& tenant, const Options& all,
                  const Option& option, Account& account) const;
  std::string words_for(const Session& session, Key form, const std::map<Key, double>& rivals,
                        bool speaks_for) const;
  std::string premise_text(const Session& session, const Likely& likely) const;
  static std::string proposed_by(const Session& session, const Precedents& precedents, Key form);

  bool has(Idea idea) const { return settings_.without != idea; }

  PredictionSettings settings_;
  Features<value_features> value_mask_{};
  Features<call_features> call_mask_{};
  bool learns_ = true;
  LearnedContexts nexts_;
  BoundedTable<Form> forms_;
  BoundedTable<Parameter> parameters_;
  BoundedTable<std::optional<Output>> outputs_;
  Doorkeeper outputs_door_;
  BoundedTable<Field> fields_;
  BoundedTable<TellingFields> telling_;      ///< By task.
  BoundedTable<ContextTrust> output_trust_;  ///< By task: in what output_contexts() gives.
  BoundedTable<bool> output_names_;
  BoundedTable<WordWeights> word_weights_;  ///< By tenant and word.
  DeclaredPrior declared_;
  /// Of tasks that a tenant never called; made when they are asked for, alike each time.
  mutable BoundedTable<Form> declared_forms_{declared_forms_max};
  std::map<std::string, Tenant, std::less<>> tenants_;
  std::map<std::string, std::uint64_t, std::less<>> forgotten_;  ///< How often, by tenant.
  std::uint64_t uses_ = 0;
  std::vector<Key> open_tasks_;  ///< While predicting: tasks whose outputs are still open.
  Form model_form_;
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
    const auto forgotten = forgotten_.find(name);
    found->second.key =
        mix(tenant_key(name), forgotten == forgotten_.end() ? 0 : forgotten->second);
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
  limits.bytes = settings_.session_bytes_max / sessions_in_memory_min;
  const std::size_t units =
      std::max(settings_.session_bytes_max / session_bytes_per_unit, units_min);
  limits.values = std::min(units, limits.values);
  limits.document_bytes = std::min(units, limits.document_bytes);
  limits.counts = has(Idea::counts);
  limits.parts = has(Idea::parts_of_texts);
  std::string name(tenant);
  const Key key = tenant_of(name).key;
  sessions_.push_front(Session{id,
                               key,
                               std::move(name),
                               SessionMemory(limits),
                               {},
                               {},
                               {},
                               {},
                               0,
                               {},
                               {},
                               {},
                               {},
                               {},
                               false});
  sessions_by_id_.emplace(id, sessions_.begin());
  return sessions_.front();
}

/// What the session holds by now; others go where that is too much.
void PredictionGraph::Impl::count_bytes(Session& session) {
  session_bytes_ -= session.bytes;
  session.bytes = session.memory.bytes();
  session_bytes_ += session.bytes;
  forget_sessions();
}

void PredictionGraph::Impl::forget_sessions() {
  while (sessions_.size() > 1 && (sessions_.size() > settings_.sessions_max ||
                                  session_bytes_ > settings_.session_bytes_max)) {
    session_bytes_ -= sessions_.back().bytes;
    sessions_by_id_.erase(sessions_.back().id);
    sessions_.pop_back();
  }
}

/// The hashes of the names of an object's first fields, which are about to be looked up.
ContextKeys PredictionGraph::Impl::names_of(Key place, const json::Object& object) const {
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

void PredictionGraph::Impl::scalar_label(Key place, Key key, const json::Value& value, bool learns,
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
  const Field* known = nullptr;
  if (learns) {
    Field& touched = fields_.touch(field);
    touched.learn(hash);
    known = &touched;
  } else {
    known = fields_.find(field);
  }
  if (known == nullptr || known->is_label) {
    labels = mix(labels, hash);
  }
}

Key PredictionGraph::Impl::labels(Key task, Side side, const json::Value* value, bool learns) {
  if (value == nullptr) {
    return failed_symbol;
  }
  if (!has(Idea::labels)) {
    return 0;
  }
  const Key place = mix(task_side(task, side), 0x61);
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

/// What an output says of what comes next. Nothing is learned of it.
Key PredictionGraph::Impl::answer(Key task, const json::Value* value) {
  if (const TellingFields* fields = value == nullptr ? nullptr : telling_.find(task);
      fields != nullptr && fields->uses_chosen()) {
    return fields->chosen_of(*value);
  }
  return labels(task, Side::output, value, false);
}

/// The same of an output that has come: its fields are watched, and compared when it is known what
/// came next.
Key PredictionGraph::Impl::read_answer(Session& session, Key task, const json::Value* value) {
  session.has_said_last = false;
  if (!learns_) {
    return answer(task, value);
  }
  const Key all = labels(task, Side::output, value, true);
  if (value == nullptr || !has(Idea::labels) || !has(Idea::telling_fields)) {
    return all;
  }
  TellingFields& fields = telling_.touch(task);
  session.said_last = fields.read(*value, all);
  session.has_said_last = true;
  return fields.uses_chosen() ? session.said_last.chosen : all;
}

SeenStep PredictionGraph::Impl::seen(Key tenant, const Call& call, bool learns) {
  SeenStep step{
      call, std::nullopt, mix(tenant, hash_text(call.task())), hash_input(call.input()), 0, 0};
  const Key place = mix(task_side(step.task, Side::input), 0x61);
  std::size_t left = has(Idea::labels) ? fields_per_document_max : 0;
  const ContextKeys names = names_of(place, call.input());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const json::Value& value = call.input().begin()[i].value;
    if (value.object() == nullptr && value.array() == nullptr) {
      scalar_label(place, names[i], value, learns, left, step.input_labels);
    }
  }
  return step;
}

/// From the most general to the most special. While the last output is open, contexts that need it
/// are left out.
ContextKeys PredictionGraph::Impl::next_contexts(const Session& session, bool is_open) {
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
  // 0x71, 0x73, 0x76 and 0x79 are those of telling_fields.hpp.
  ContextKeys keys = {mix(tenant, 0x70), mix(tenant, 0x71, task(1)),
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

ContextKeys PredictionGraph::Impl::output_contexts(const Session& session) {
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

void PredictionGraph::Impl::declare(const DeclaredTasks& tasks) {
  declared_ = DeclaredPrior(tasks, has(Idea::descriptions));
  declared_forms_ = BoundedTable<Form>(declared_forms_max);
}

const Form* PredictionGraph::Impl::form_of(Key symbol) const {
  const Form* form = forms_.find(symbol);
  return form == nullptr && !declared_.empty() ? declared_forms_.find(symbol) : form;
}

/// The form of a call that looks like the example. @pre there is one
Key PredictionGraph::Impl::declared_form(Key tenant,
                                         const DeclaredPrior::Declared& declared) const {
  const Key task = mix(tenant, hash_text(declared.name));
  Key form_key = mix(task, 0xa0);
  for (const json::Member& member : declared.example) {
    form_key = mix(form_key, hash_text(member.name));
  }
  if (forms_.find(form_key) != nullptr) {
    return form_key;
  }
  Form& form = declared_forms_.touch(form_key);
  if (form.declared == nullptr) {
    form.declared = &declared;
    form.task = declared.name;
    form.task_key = task;
    for (const json::Member& member : declared.example) {
      form.names.push_back(member.name);
      form.name_keys.push_back(hash_text(member.name));
      form.parameters.push_back(mix(task, 0xa1, hash_text(member.name)));
    }
  }
  return form_key;
}

/// In the forms that the tenant's calls of it had, else in the one of its example.
void PredictionGraph::Impl::add_declared(const Session& session,
                                         const DeclaredPrior::Follower& follower,
                                         std::vector<Likely>& prior) const {
  const auto tenant = tenants_.find(session.tenant_name);
  const std::vector<Key>* forms =
      tenant == tenants_.end() ? nullptr
                               : tenant->second.names.forms_of(mix(session.tenant, follower.name));
  if (forms == nullptr) {
    const DeclaredPrior::Declared* declared = declared_.find(follower.name);
    if (declared != nullptr && declared->has_example &&
        declared->example.size() <= parameters_per_call_max) {
      prior.push_back({declared_form(session.tenant, *declared), follower.share});
    }
    return;
  }
  double all = 0;
  for (const Key form : *forms) {
    const Form* known = forms_.find(form);
    all += known == nullptr ? 0 : known->tries;
  }
  for (const Key form : *forms) {
    if (const Form* known = forms_.find(form); known != nullptr && all > 0) {
      prior.push_back({form, follower.share * known->tries / all});
    }
  }
}

/// What the catalog says comes next.
std::vector<Likely> PredictionGraph::Impl::declared_next(const Session& session) const {
  std::vector<Likely> prior;
  if (declared_.empty() || !has(Idea::declared)) {
    return prior;
  }
  const std::vector<SeenStep>& steps = session.memory.steps();
  const DeclaredPrior::Declared* last =
      steps.empty() ? nullptr : declared_.find(hash_text(steps.back().call.task()));
  if (last != nullptr && last->ends) {
    return {{end_symbol, DeclaredPrior::followed_share}};
  }
  if (!steps.empty() && last == nullptr) {
    return prior;
  }
  for (const DeclaredPrior::Follower& each : steps.empty() ? declared_.starting() : last->next) {
    add_declared(session, each, prior);
  }
  return prior;
}

/// Tasks that the text names and the tenant never called.
void PredictionGraph::Impl::add_declared_names(Session& session, const Tenant& tenant) const {
  if (declared_.empty()) {
    return;
  }
  for (const Likely& each : declared_.names().named(session.memory.all_stems())) {
    const DeclaredPrior::Declared* declared = declared_.find(each.symbol);
    if (declared->has_example && declared->example.size() <= parameters_per_call_max &&
        tenant.names.forms_of(mix(session.tenant, each.symbol)) == nullptr) {
      session.named.push_back({declared_form(session.tenant, *declared), each.probability});
    }
  }
}

/// How far the text names the form's task.
double PredictionGraph::Impl::how_far_named(const Tenant& tenant, const Form& form,
                                            const std::vector<Key>& stems) const {
  return form.declared == nullptr ? tenant.names.match(form.task_key, stems)
                                  : declared_.names().match(hash_text(form.declared->name), stems);
}

/// However sure all else is: no surer than its calls allow (Laplace's rule of succession). For the
/// first few calls of a task that the catalog tells of, all such calls of the tenant count.
double PredictionGraph::Impl::calls_allowed(const Tenant& tenant, const Form& form,
                                            double doubt) const {
  const double by_itself = (form.seen + 1) / (form.seen + doubt);
  if (declared_.empty() || form.seen >= declared_calls_max ||
      (form.declared == nullptr && declared_.find(hash_text(form.task)) == nullptr)) {
    return by_itself;
  }
  const DeclaredRecord& record = tenant.declared_calls;
  return std::max(by_itself, (record.hits + 1) / (record.tries + doubt));
}

/// What calls that were never made before, and their arguments, were worth.
void PredictionGraph::Impl::learn_declared(Tenant& tenant, const Options& all, const Call& call,
                                           Key form_key) const {
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
    tenant.declared_values.learn(is_right);
    is_exact = is_exact && is_right;
  }
  tenant.declared_calls.learn(is_exact);
}

/// How many steps there were.
Key PredictionGraph::Impl::number_context(const Session& session) {
  return mix(session.tenant, 0x7c, std::min(session.memory.steps().size(), numbered_steps_max));
}

/// How much more often sessions ended after so many steps than after any number: the logarithm of
/// the ratio of odds.
double PredictionGraph::Impl::ends_here(const Session& session) const {
  const Context* const all = nexts_.find(mix(session.tenant, 0x70));
  const Context* const here = nexts_.find(number_context(session));
  if (!has(Idea::number_of_steps) || all == nullptr || here == nullptr) {
    return 0;
  }
  const auto odds = [](double share) {
    return std::clamp(share, 0.01, 0.99) / (1 - std::clamp(share, 0.01, 0.99));
  };
  const double anyway = all->count(end_symbol) / all->total();
  const double share = (here->count(end_symbol) + 2 * anyway) / (here->total() + 2);
  return std::clamp(real::log(odds(share) / odds(anyway)), -3.0, 3.0);
}

const ContextTrust* PredictionGraph::Impl::trust_of(const Tenant& tenant, bool is_open) const {
  return !has(Idea::trust) ? nullptr : is_open ? &tenant.open : &tenant.answered;
}

/// A task that answers at random when it is asked the same again is not believed to repeat itself.
const ContextTrust* PredictionGraph::Impl::output_trust(const Session& session) const {
  return has(Idea::trust) ? output_trust_.find(session.memory.steps().back().task) : nullptr;
}

/// What the contexts say; the likeliest first, as many as are considered.
std::vector<Likely> PredictionGraph::Impl::guess(const Session& session, const Tenant& tenant,
                                                 bool is_open) const {
  std::vector<Likely> forms = nexts_.likely(next_contexts(session, is_open), declared_next(session),
                                            trust_of(tenant, is_open));
  const auto in_order =
      forms.begin() + static_cast<std::ptrdiff_t>(std::min(forms.size(), forms_considered_max));
  std::partial_sort(forms.begin(), in_order, forms.end(), more_likely);
  return forms;
}

/// What was guessed and what came, before the guess is taught to anyone.
void PredictionGraph::Impl::learn_guess(const std::vector<Likely>& made, Tenant& tenant,
                                        Key symbol) {
  for (std::size_t i = 0; i < std::min(made.size(), reliability_guesses); ++i) {
    const double stated = made[i].probability;
    tenant.forms[reliability_bin(stated)].learn(stated, made[i].symbol == symbol);
  }
}

void PredictionGraph::Impl::learn_trust(ContextTrust& trust, std::span<const Key> contexts,
                                        std::span<const Likely> prior, Key symbol) const {
  std::array<const Context*, ContextTrust::contexts_max> found;
  const std::span<const Context*> known = std::span(found).first(contexts.size());
  nexts_.find(contexts, known);
  trust.learn(known, prior, symbol);
}

void PredictionGraph::Impl::learn_next(const Session& session, Tenant& tenant, Key symbol) {
  if (session.has_said_last) {
    const SeenStep& last = session.memory.steps().back();
    telling_.touch(last.task).learn(session.said_last,
                                    {session.tenant, last.task, last.input_labels},
                                    last.output_labels, symbol, nexts_);
  }
  const ContextKeys answered = next_contexts(session, false);
  const ContextKeys open = next_contexts(session, true);
  if (has(Idea::trust) && tenant.is_lesson()) {
    const std::vector<Likely> declared = declared_next(session);
    learn_trust(tenant.answered, answered, declared, symbol);
    learn_trust(tenant.open, open, declared, symbol);
  }
  ContextKeys taught = answered;
  taught.append(open.from(3));
  taught.append(long_contexts(session));
  nexts_.teach(taught, symbol);
  nexts_.teach(std::array{number_context(session)},
               symbol == end_symbol ? end_symbol : other_symbol);
}

Surroundings PredictionGraph::Impl::around(const Session& session, Key task) const {
  const std::vector<SeenStep>& steps = session.memory.steps();
  const Key previous = steps.empty() ? start_task : steps.back().task;
  Surroundings around{session.memory, task,           previous,
                      open_tasks_,    &output_names_, session.meanings};
  around.corrects = has(Idea::corrected_texts);
  around.has_about = has(Idea::spoken_of);
  around.converts = has(Idea::parts_of_texts);
  around.mask = settings_.without ? &value_mask_ : nullptr;
  return around;
}

Values PredictionGraph::Impl::values_of(const Session& session, const Tenant& tenant,
                                        const Form& form, Wanted wanted) const {
  Values values;
  values.of.reserve(form.parameters.size());
  const Surroundings surroundings = around(session, form.task_key);
  std::size_t parts_left = parts_per_form_max;
  for (const Key key : form.parameters) {
    if (const Parameter* parameter = parameters_.find(key)) {
      parameter->prefetch();
    }
  }
  for (std::size_t i = 0; i < form.parameters.size(); ++i) {
    values.of.push_back(values_for(surroundings, tenant, form, i, parts_left, values.made, wanted));
    if (values.of.back().empty()) {
      values.of.clear();
      break;
    }
  }
  return values;
}

std::vector<Candidate> PredictionGraph::Impl::values_for(const Surroundings& surroundings,
                                                         const Tenant& tenant, const Form& form,
                                                         std::size_t parameter,
                                                         std::size_t& parts_left, MadeValues& made,
                                                         Wanted wanted) const {
  return form.declared != nullptr
             ? bind_by_example(surroundings, form.name_keys[parameter],
                               *form.declared->example.find(form.names[parameter]),
                               tenant.declared_values)
             : candidates(surroundings, tenant, form.parameters[parameter], 0, parts_left, made,
                          wanted);
}

std::vector<Candidate> PredictionGraph::Impl::candidates(const Surroundings& surroundings,
                                                         const Tenant& tenant, Key key,
                                                         std::size_t depth, std::size_t& parts_left,
                                                         MadeValues& made, Wanted wanted) const {
  const Parameter* parameter = parameters_.find(key);
  if (parameter == nullptr) {
    return {};
  }
  std::vector<Composed> composed;
  if (depth < mold_depth_max && has(Idea::composed_values)) {
    for (const auto& [mold, share] : parameter->molds(surroundings.previous)) {
      compose(surroundings, tenant, key, *mold, share, depth, parts_left, composed, made);
    }
  }
  return parameter->candidates(surroundings, tenant.kinds, tenant.values, composed, made, wanted);
}

/// The likeliest value of this mold, and the likeliest with one other part.
void PredictionGraph::Impl::compose(const Surroundings& surroundings, const Tenant& tenant, Key key,
                                    const Mold& mold, double share, std::size_t depth,
                                    std::size_t& parts_left, std::vector<Composed>& composed,
                                    MadeValues& made) const {
  if (mold.parts.size() > parts_left) {
    return;
  }
  parts_left -= mold.parts.size();
  std::vector<std::vector<Candidate>> parts;
  std::vector<std::pair<double, std::size_t>> others;  ///< What the second is to the first.
  for (const Key part : mold.parts) {
    parts.push_back(candidates(surroundings, tenant, mix(key, part), depth + 1, parts_left, made,
                               Wanted::best));
    const std::vector<Candidate>& best = parts.back();
    if (best.empty()) {
      return;
    }
    share *= best.front().share;
    if (best.size() > 1) {
      others.emplace_back(best[1].share / best.front().share, parts.size() - 1);
    }
  }
  std::stable_sort(others.begin(), others.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  others.resize(std::min(others.size(), composed_others_max));
  others.emplace(others.begin(), 1.0, SIZE_MAX);
  for (const auto& [odds, other] : others) {
    json::Array array;
    json::Object object;
    Key hash = mold.is_array ? hash_array_start() : hash_object_start();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Candidate& part = parts[i][i == other ? 1 : 0];
      if (mold.is_array) {
        array.push_back(*part.value);
        hash = mix(hash, part.hash);
      } else {
        object.set(mold.names[i], *part.value);
        hash = mix(hash, hash_text(mold.names[i]), part.hash);
      }
    }
    made.push_front(mold.is_array ? json::Value(std::move(array)) : json::Value(std::move(object)));
    composed.push_back({hash, share * odds, &made.front()});
  }
}

Precedents PredictionGraph::Impl::precedents(const Session& session, const Tenant& tenant) const {
  Precedents found;
  if ((session.near.empty() && session.turn_near.empty()) || !has(Idea::past)) {
    return found;
  }
  std::vector<Key> tasks;
  for (const SeenStep& step : session.memory.steps()) {
    tasks.push_back(step.task);
  }
  found.sessions = tenant.past.likely(session.near, tasks);
  tasks.erase(tasks.begin(), tasks.begin() + static_cast<std::ptrdiff_t>(
                                                 std::min(tasks.size(), session.turn_from)));
  found.turns = tenant.past_turns.likely(session.turn_near, tasks);
  return found;
}

FormFeatures PredictionGraph::Impl::describe_form(const Session& session, const Tenant& tenant,
                                                  const Form& form, const Likely& likely,
                                                  const Precedents& precedents,
                                                  const LongContexts& long_contexts,
                                                  bool is_open) const {
  const SessionMemory& memory = session.memory;
  FormFeatures features;
  features.probability = as_logarithm(likely.probability);
  features.record = real::log(std::min((form.hits + 2) / (form.expected + 2), 1.5));
  features.repeats = as_logarithm((form.repeats + 0.1) / (form.tries + 2));
  // A catalog that says what follows is like a session that was seen to go that way.
  features.sessions =
      real::log(0.02 + (form.declared != nullptr ? likely.probability
                                                 : share_in(precedents.sessions, likely.symbol))) +
      1.5;
  features.turns = precedents.turns.empty()
                       ? 0.0
                       : real::log(0.02 + share_in(precedents.turns, likely.symbol)) + 1.5;
  features.named_all = how_far_named(tenant, form, memory.all_stems());
  features.named_fresh =
      memory.has_fresh_words() ? how_far_named(tenant, form, memory.last_stems()) : 0;
  features.named_ahead = how_far_named(tenant, form, memory.stems_ahead());
  features.words = share_in(session.spoken[memory.has_fresh_words() ? 0 : 1], likely.symbol);
  features.tries = real::log(1 + form.tries) * 0.25;
  features.importance = std::clamp(real::log(tenant.importance.of(likely.symbol)), -2.0, 2.0) * 0.5;
  features.is_known = memory.was_called(form.task_key);
  features.is_last = !memory.steps().empty() && memory.steps().back().task == form.task_key;
  features.evidence = evidence_for(long_contexts, likely, is_open);
  return features;
}

Features<call_features> PredictionGraph::Impl::describe(const Session& session,
                                                        const Option& option,
                                                        const FormFeatures& of_form,
                                                        std::size_t rank) {
  const SessionMemory& memory = session.memory;
  const std::size_t parameters = option.values->size();
  const bool was_called = memory.was_called(option.form->task_key, option.filling.input_hash);
  std::array<std::uint32_t, 3> documents{};  ///< Up to three different ones.
  std::size_t sources = 0;
  double least = 1;
  double fresh = 0, text = 0, output = 0, same = 0, used = 0, constant = 0;
  double mentioned = 0, ahead = 0, alike = 0, composed = 0, corrected = 0;
  for (std::size_t i = 0; i < parameters; ++i) {
    const Candidate& value = option.value(i);
    least = std::min(least, value.share);
    constant += value.features[2];
    if (value.seen != 0) {
      const std::uint32_t document = memory.value(value.seen).document;
      if (sources < documents.size() &&
          std::find(documents.begin(), documents.begin() + static_cast<std::ptrdiff_t>(sources),
                    document) == documents.begin() + static_cast<std::ptrdiff_t>(sources)) {
        documents[sources++] = document;
      }
    }
    fresh += value.features[4];
    text += value.features[5];
    used += value.features[6];
    same += value.features[8];
    output += value.features[9];
    mentioned += value.features[17];
    ahead += value.features[18];
    composed += value.features[20] + value.features[21];
    corrected += value.features[22] + value.features[23];
    const bool tells = value.value->string() != nullptr || value.value->number() != nullptr;
    for (std::size_t other = 0; tells && other < i; ++other) {
      alike += option.value(other).hash == value.hash ? 1 : 0;
    }
  }
  const double count = std::max<double>(1, static_cast<double>(parameters));
  return {of_form.probability,
          as_logarithm(option.filling.share),
          of_form.record,
          was_called ? of_form.repeats : 0.0,
          was_called ? 1.0 : 0.0,
          of_form.is_known ? 1.0 : 0.0,
          of_form.is_last ? 1.0 : 0.0,
          of_form.sessions,
          session.near.empty() ? 0.0 : of_form.probability * 0.25,
          rank == 0 ? 1.0 : 0.0,
          parameters == 0 ? 1.0 : 0.0,
          as_logarithm(least) * 0.5,
          fresh / count,
          text / count,
          output / count,
          same / count,
          used / count,
          constant / count,
          memory.has_fresh_words() ? fresh / count : 0.0,
          same == count ? 1.0 : 0.0,
          used == count && !was_called ? 1.0 : 0.0,
          of_form.tries,
          parameters > 3 ? 1.0 : 0.0,
          of_form.turns,
          of_form.named_all,
          of_form.named_fresh,
          of_form.is_known ? of_form.named_all : 0.0,
          of_form.words,
          of_form.evidence[0],
          of_form.evidence[1],
          of_form.evidence[2],
          of_form.evidence[3],
          of_form.evidence[4],
          of_form.evidence[5],
          sources == 1 && parameters > 1 ? 1.0 : 0.0,
          sources > 2 ? 1.0 : 0.0,
          corrected,
          0.0,
          0.0,
          0.0,
          alike,
          mentioned / count,
          ahead / count,
          of_form.named_ahead,
          ahead >= count ? 1.0 : 0.0,
          of_form.importance,
          composed,
          0.0};
}

Options PredictionGraph::Impl::options(const Session& session, const Tenant& tenant, bool is_open,
                                       Look look) const {
  Options all;
  const Precedents precedents = this->precedents(session, tenant);
  std::vector<Likely> forms = guess(session, tenant, is_open);
  double end = 0;
  for (const Likely& each : forms) {
    if (each.symbol == end_symbol) {
      end = is_open ? each.probability : corrected(tenant.forms, each.probability);
    }
  }
  forms.resize(std::min(forms.size(), forms_considered_max));
  all.guessed = forms;
  const auto propose = [&](Key symbol) {
    if (std::none_of(forms.begin(), forms.end(),
                     [&](const Likely& known) { return known.symbol == symbol; })) {
      forms.push_back({symbol, form_probability_min});
    }
  };
  for (const Likely& each : precedents.sessions) {
    propose(each.symbol);
  }
  for (const Likely& each : precedents.turns) {
    propose(each.symbol);
  }
  const std::vector<Likely>& named = session.named;
  for (const Likely& each : named) {
    propose(each.symbol);
  }
  const std::vector<Likely>& spoken = session.spoken[session.memory.has_fresh_words() ? 0 : 1];
  for (std::size_t i = 0; i < std::min(spoken.size(), words_propose_max); ++i) {
    propose(spoken[i].symbol);
  }
  // The best as the ranker would have them, before it is known with which arguments.
  const Features<call_features>& weights = tenant.calls.weights();
  struct Considered {
    double score = 0;
    Likely likely;
    const Form* form = nullptr;
  };
  std::vector<Considered> considered;
  considered.reserve(forms.size());
  for (const Likely& each : forms) {
    forms_.prefetch_slot(each.symbol);
  }
  for (const Likely& each : forms) {
    forms_.prefetch_entry(each.symbol);
  }
  for (const Likely& each : forms) {
    const Form* form = form_of(each.symbol);
    if (form == nullptr) {
      continue;
    }
    const SessionMemory& memory = session.memory;
    double score = weights[0] * as_logarithm(each.probability) +
                   weights[7] * real::log(0.02 + share_in(precedents.sessions, each.symbol)) +
                   weights[24] * how_far_named(tenant, *form, memory.all_stems()) +
                   weights[43] * how_far_named(tenant, *form, memory.stems_ahead()) +
                   weights[27] * share_in(spoken, each.symbol);
    if (!precedents.turns.empty()) {
      score += weights[23] * real::log(0.02 + share_in(precedents.turns, each.symbol));
    }
    considered.push_back({score, each, form});
  }
  const bool are_of_contexts = forms.size() <= all.guessed.size();
  const auto tried =
      considered.begin() +
      static_cast<std::ptrdiff_t>(std::min(
          considered.size(), are_of_contexts ? forms_tried_of_contexts_max : forms_tried_max));
  std::partial_sort(considered.begin(), tried, considered.end(), [](const auto& a, const auto& b) {
    return a.score != b.score ? a.score > b.score : a.likely.symbol < b.likely.symbol;
  });
  considered.erase(tried, considered.end());
  const bool wants_few = look.probability_min >= probability_min_of_few;
  if (wants_few) {
    std::erase_if(considered,
                  [best = considered.empty() ? 0 : considered.front().score](
                      const Considered& each) { return each.score < best - far_behind; });
  }
  for (const Considered& each : considered) {
    for (const Key parameter : each.form->parameters) {
      parameters_.prefetch_slot(parameter);
    }
  }
  for (const Considered& each : considered) {
    for (const Key parameter : each.form->parameters) {
      parameters_.prefetch_entry(parameter);
    }
  }
  LongContexts long_contexts{};
  nexts_.find(this->long_contexts(session), long_contexts);
  std::vector<double> scores;
  double known = 0;
  for (auto& [quick, likely, form] : considered) {
    likely.probability = is_open ? likely.probability : corrected(tenant.forms, likely.probability);
    all.tried.push_back({form, likely.symbol, quick});
    Values values =
        values_of(session, tenant, *form, likely.symbol == look.came ? Wanted::all : Wanted::best);
    if (values.size() != form->parameters.size()) {
      continue;
    }
    const Values& kept = all.values.emplace_back(likely.symbol, std::move(values)).second;
    const FormFeatures of_form =
        describe_form(session, tenant, *form, likely, precedents, long_contexts, is_open);
    std::size_t rank = 0;
    for (const Filling& filling : Fillings(*form, kept, calls_per_form_max)) {
      if (wants_few && rank > 0 && filling.share < share_min_of_few) {
        break;
      }
      Option& option = all.calls.emplace_back(
          Option{form, &kept, likely.symbol, likely.probability, filling, {}, 0, 0});
      option.features = describe(session, option, of_form, rank++);
      for (std::size_t n = 0; settings_.without && n < call_features; ++n) {
        option.features[n] *= call_mask_[n];
      }
      known +=
          likely.probability * filling.share * real::exp(option.features[2] + option.features[3]);
      scores.push_back(tenant.calls.score(option.features));
    }
  }
  all.end = end;
  all.none[37] = 1;
  all.none[38] = real::log(0.02 + end) + 2;
  all.none[39] = real::log(std::max(1 - known, 0.01));
  all.none[47] = ends_here(session);
  all.none_probability = CallRanker::normalise(scores, tenant.calls.score(all.none));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    // However sure the features are: no surer than so many calls of this form allow (Laplace's rule
    // of succession).
    all.calls[i].ranked = scores[i];
    all.calls[i].probability = std::min(scores[i], calls_allowed(tenant, *all.calls[i].form, 2));
  }
  return all;
}

/// Long and whole contexts, each for itself. The last two need the last output.
ContextKeys PredictionGraph::Impl::long_contexts(const Session& session) {
  const std::vector<SeenStep>& steps = session.memory.steps();
  const auto task = [&](std::size_t n) {
    return steps.size() >= n ? steps[steps.size() - n].task : start_task;
  };
  const Key tenant = session.tenant;
  const Key last = steps.empty() ? start_task : mix(steps.back().task, steps.back().input_hash);
  const Key labels = steps.empty() ? start_task : steps.back().output_labels;
  return {mix(tenant, 0xc1, task(1), task(2), task(3)),
          mix(tenant, 0xc2, task(1), task(2), mix(task(3), task(4))),
          mix(tenant, 0xc3, last),
          mix(tenant, 0xc4, session.memory.task_set(), task(1)),
          mix(tenant, 0xc5, task(1), labels),
          mix(tenant, 0xc6, last, labels)};
}

Evidence PredictionGraph::Impl::evidence_for(const LongContexts& contexts, const Likely& form,
                                             bool is_open) {
  Evidence evidence{};
  const std::size_t count = is_open ? contexts.size() - 2 : contexts.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (const Context* context = contexts[i]; context != nullptr) {
      const double stated = std::max(form.probability, 1e-4);
      evidence[i] = real::log((context->count(form.symbol) + 0.5 * stated) /
                              (context->total() + 0.5) / stated);
    }
  }
  return evidence;
}

/// Adds up what the words of the latest texts say; done once an event, not once a question.
void PredictionGraph::Impl::hear(Session& session) const {
  const std::vector<Key>& words = session.memory.last_words();
  const double scale = 1 / std::sqrt(static_cast<double>(std::max<std::size_t>(1, words.size())));
  for (Key later = has(Idea::words) ? 0 : 2; later < 2; ++later) {
    if (words.empty()) {
      session.spoken[later].clear();
      continue;
    }
    std::unordered_map<Key, double, KeyHash> sums;
    for (const Key word : words) {
      if (const WordWeights* known = word_weights_.find(mix(session.tenant, word, later))) {
        for (const WordWeights::Weight& each : known->forms) {
          sums[each.form] += each.weight * scale;
        }
      }
    }
    std::vector<Likely>& spoken = session.spoken[later];
    spoken.clear();
    for (const auto& [form, sum] : sums) {
      spoken.push_back({form, sum});
    }
    std::sort(spoken.begin(), spoken.end(), more_likely);
  }
}

/// A step along the gradient, for each word and form.
void PredictionGraph::Impl::learn_words(const Session& session, const Options& all, Key came) {
  std::map<Key, double> stated;
  for (const Option& option : all.calls) {
    stated[option.form_key] += option.probability;
  }
  stated.try_emplace(came, 0);
  const std::vector<Key>& words = session.memory.last_words();
  const Key later = session.memory.has_fresh_words() ? 0 : 1;
  const double scale = 1 / std::sqrt(static_cast<double>(std::max<std::size_t>(1, words.size())));
  std::erase_if(stated, [&](const auto& each) {
    return std::abs((each.first == came ? 1.0 : 0.0) - each.second) < 0.01;
  });
  if (stated.empty()) {
    return;
  }
  for (const Key word : words) {
    WordWeights& known = word_weights_.touch(mix(session.tenant, word, later));
    for (const auto& [form, probability] : stated) {
      WordWeights::Weight& each = known.of(form);
      const double gradient = ((form == came ? 1.0 : 0.0) - probability) * scale;
      each.squares += gradient * gradient;
      each.weight += word_rate * gradient / std::sqrt(each.squares + word_damping);
    }
  }
}

/// What the session did from this step on, as far as it is remembered.
PastSession PredictionGraph::Impl::done_from(const Session& session, std::size_t first) {
  PastSession past;
  const std::vector<SeenStep>& steps = session.memory.steps();
  const std::size_t end = std::min(steps.size(), session.forms.size());
  for (std::size_t i = first; i < end && past.tasks.size() < PastSessions::steps_max; ++i) {
    past.tasks.push_back(steps[i].task);
    past.forms.push_back(session.forms[i]);
  }
  return past;
}

void PredictionGraph::Impl::end_turn(const Session& session, Tenant& tenant) const {
  PastSession turn = done_from(session, session.turn_from);
  if (!turn.forms.empty()) {
    turn.words = session.turn_words;
    tenant.past_turns.add(std::move(turn), past_sessions_each());
  }
}

/// What was expected and what came, before any of it is taught.
Options PredictionGraph::Impl::learn_options(const Session& session, Tenant& tenant, Key form_key,
                                             Key input_hash) {
  Options all = options(session, tenant, false, {.came = form_key});
  bool has_come = false;
  for (const Option& option : all.calls) {
    const bool came = option.form_key == form_key && option.filling.input_hash == input_hash;
    has_come = has_come || came;
    tenant.calls.note(option.features, option.probability, came);
    if (option.probability > 0.02) {
      const double sureness = state(tenant, option).allowed;
      if (sureness >= sure_from) {
        tenant.sure.learn(sureness, came);
      }
      tenant.whole_calls[reliability_bin(option.probability)].learn(option.probability, came);
    }
  }
  tenant.calls.note(all.none, all.none_probability, !has_come);
  if (has(Idea::ranking_calls)) {
    tenant.calls.step();
  }
  learn_words(session, all, form_key);
  return all;
}

/// How well the form's values were known, and how they are ranked.
void PredictionGraph::Impl::learn_values(Tenant& tenant, Form& form, const Values& values,
                                         const json::Object& input, Key input_hash) const {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].front().is_settled) {
      continue;
    }
    const Key hash = hash_value(*input.find(form.names[i]));
    for (const Candidate& candidate : values[i]) {
      tenant.values.note(candidate.features, candidate.share, candidate.hash == hash);
    }
    if (has(Idea::ranking_values)) {
      tenant.values.step();
    }
  }
  if (values.size() == form.parameters.size()) {
    const Filling best = Fillings(form, values, 1).front();
    form.expected += best.share;
    form.hits += best.input_hash == input_hash ? 1 : 0;
  }
}

void PredictionGraph::Impl::learn_call(Session& session, Tenant& tenant, const SeenStep& step) {
  const Call& call = step.call;
  const Key task = step.task;
  const Key input_hash = step.input_hash;
  Key form_key = mix(task, 0xa0);
  for (const json::Member& member : call.input()) {
    form_key = mix(form_key, hash_text(member.name));
  }
  const bool is_lesson = tenant.takes_lesson();
  Options all;
  if (is_lesson) {
    all = learn_options(session, tenant, form_key, input_hash);
    learn_guess(all.guessed, tenant, form_key);
    learn_declared(tenant, all, call, form_key);
  }
  learn_next(session, tenant, form_key);
  tenant.importance.learn(session.forms.empty() ? start_task : session.forms.back(), form_key);
  session.forms.push_back(form_key);
  if (call.input().size() > parameters_per_call_max) {
    return;
  }
  Form& form = forms_.touch(form_key);
  if (form.task.empty()) {
    form.task = call.task();
    form.task_key = task;
    for (const json::Member& member : call.input()) {
      form.names.push_back(member.name);
      form.name_keys.push_back(hash_text(member.name));
      form.parameters.push_back(mix(task, 0xa1, hash_text(member.name)));
    }
    tenant.names.add(form.task, declared_.description(hash_text(form.task)), task, form_key);
  }
  if (form.tries > 0 && is_lesson) {
    const auto known = std::find_if(all.values.begin(), all.values.end(),
                                    [&](const auto& each) { return each.first == form_key; });
    learn_values(
        tenant, form,
        known != all.values.end() ? known->second : values_of(session, tenant, form, Wanted::all),
        call.input(), input_hash);
  }
  form.seen += 1;
  form.tries += 1;
  form.repeats += session.memory.was_called(task, input_hash) ? 1 : 0;
  if (form.tries > 128) {
    form.tries *= 0.5;
    form.expected *= 0.5;
    form.hits *= 0.5;
    form.repeats *= 0.5;
  }
  const Surroundings surroundings = around(session, task);
  std::size_t parts_left = parts_per_form_max;
  for (const Key parameter : form.parameters) {
    parameters_.prefetch_entry(parameter);
  }
  for (std::size_t i = 0; i < form.parameters.size(); ++i) {
    const json::Member& member = call.input().begin()[i];
    learn_meaning(session, task, form.name_keys[i], member.value);
    learn_parameter(surroundings, tenant, form.parameters[i], member.name, member.value, 0,
                    parts_left);
  }
}

void PredictionGraph::Impl::learn_parameter(const Surroundings& surroundings, Tenant& tenant,
                                            Key key, std::string_view name,
                                            const json::Value& value, std::size_t depth,
                                            std::size_t& parts_left) {
  const bool was_looked_at = parameters_.touch(key).learn(surroundings, tenant.kinds, name, value);
  const bool may_have_parts =
      was_looked_at && depth < mold_depth_max && (value.array() || value.object());
  const std::optional<Mold> mold = may_have_parts ? mold_of(value) : std::nullopt;
  if (!mold || mold->parts.size() > parts_left) {
    return;
  }
  parts_left -= mold->parts.size();
  for (std::size_t i = 0; i < mold->parts.size(); ++i) {
    const json::Value& part =
        mold->is_array ? (*value.array())[i] : *value.object()->find(mold->names[i]);
    learn_parameter(surroundings, tenant, mix(key, mold->parts[i]), "", part, depth + 1,
                    parts_left);
  }
}

void PredictionGraph::Impl::learn_output(const Session& session, const Tenant& owner,
                                         const std::optional<Output>& output) {
  const SeenStep& last = session.memory.steps().back();
  Key symbol = failed_symbol;
  if (output) {
    const bool is_small = output->canonical().size() <= settings_.output_bytes_max;
    symbol = is_small ? mix(session.tenant, 0xb0, hash_value(output->value())) : large_symbol;
    if (is_small && outputs_door_.lets_in(outputs_, symbol)) {
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
  const ContextKeys contexts = output_contexts(session);
  if (has(Idea::trust) && owner.is_lesson()) {
    learn_trust(output_trust_.touch(last.task), contexts, {}, symbol);
  }
  nexts_.teach(contexts, symbol);
}

void PredictionGraph::Impl::text(const RunId& id, std::string_view tenant, std::string_view text) {
  Session& session = open(id, tenant);
  Tenant& owner = tenant_of(session.tenant_name);
  if (!session.memory.has_fresh_words() && learns_) {
    end_turn(session, owner);
  }
  session.memory.add_text(text.substr(0, text_bytes_max));
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
    add_declared_names(session, owner);
  }
  hear(session);
  understand(session);
  count_bytes(session);
}

/// Gathers what the words of all texts were told to mean; done once a text.
void PredictionGraph::Impl::understand(Session& session) const {
  std::vector<Meaning>& meanings = session.meanings;
  meanings.clear();
  const Context* anyway = !has(Idea::meanings) ? nullptr : nexts_.find(mix(session.tenant, 0xf1));
  if (anyway == nullptr) {
    return;
  }
  for (const Key word : session.memory.all_words()) {
    const Context* known = nexts_.find(mix(session.tenant, 0xf2, word));
    if (known == nullptr) {
      continue;
    }
    for (const Context::Follower& each : known->followers()) {
      const Key any = each.symbol & name_of_meaning;
      if (each.symbol == any) {
        continue;
      }
      const double share = (each.count - 0.5) / (known->count(any) + 1);
      if (share > meaning_share_min) {
        const double usual = (anyway->count(each.symbol) + 0.5) / (anyway->count(any) + 1);
        meanings.push_back(
            {each.symbol, share, std::clamp(real::log(share / usual), -1.0, 4.0) * 0.25});
      }
    }
  }
  std::sort(meanings.begin(), meanings.end(), [](const Meaning& a, const Meaning& b) {
    return a.value != b.value ? a.value < b.value : a.share > b.share;
  });
  meanings.erase(std::unique(meanings.begin(), meanings.end(),
                             [](const Meaning& a, const Meaning& b) { return a.value == b.value; }),
                 meanings.end());
}

/// A value that nothing the session has seen holds may be what its words mean.
void PredictionGraph::Impl::learn_meaning(const Session& session, Key task, Key name,
                                          const json::Value& value) {
  const std::string* text = value.string();
  if ((text == nullptr && value.number() == nullptr) ||
      (text != nullptr && text->size() > label_bytes_max) || !session.memory.has_text()) {
    return;
  }
  const Key hash = hash_value(value);
  const std::uint32_t seen = session.memory.latest_equal(hash);
  if (session.memory.was_used(SessionMemory::used_key(task, name, hash)) ||
      (seen != 0 && session.memory.value(seen).side != Side::input) ||
      session.memory.in_text(hash) != 0) {
    return;
  }
  std::vector<Key> contexts = {mix(session.tenant, 0xf1)};
  for (const Key word : session.memory.all_words()) {
    contexts.push_back(mix(session.tenant, 0xf2, word));
  }
  nexts_.teach(contexts, meaning_of(name, hash));
  nexts_.teach(contexts, meaning_of(name, 0));
}

/// What stands beside the memory's steps keeps their numbers.
void PredictionGraph::Impl::forget_steps(Session& session, SessionMemory::Dropped dropped) {
  const std::size_t end = dropped.from + dropped.count;
  const auto at = [&](std::size_t n) {
    return session.forms.begin() + static_cast<std::ptrdiff_t>(std::min(n, session.forms.size()));
  };
  session.forms.erase(at(dropped.from), at(end));
  session.turn_from = session.turn_from >= end ? session.turn_from - dropped.count
                                               : std::min(session.turn_from, dropped.from);
}

void PredictionGraph::Impl::observe(const RunId& id, std::string_view tenant, const Call& call,
                                    const std::optional<Output>& output) {
  Session& session = open(id, tenant);
  Tenant& owner = tenant_of(session.tenant_name);
  if (is_model(call)) {
    if (learns_) {
      const json::Value* said = call.input().find(conversation_parameter);
      const std::string* digest = said == nullptr ? nullptr : said->string();
      const bool is_expected = digest != nullptr && *digest == session.said_after_output;
      nexts_.teach(model_contexts(session), is_expected ? model_symbol : other_symbol);
    }
    session.is_thinking = true;
    return;
  }
  SeenStep step = seen(session.tenant, call, learns_);
  const Key task = step.task;
  if (learns_) {
    learn_call(session, owner, step);
  }
  forget_steps(session, session.memory.add_call(std::move(step)));
  if (learns_) {
    learn_output(session, owner, output);
  }
  session.memory.add_output(output,
                            read_answer(session, task, output ? &output->value() : nullptr));
  session.is_thinking = false;
  hear(session);
  if (has_model()) {
    if (output) {
      session.said.step(call, *output);
    }
    session.said_after_output = session.said.digest();
  }
  count_bytes(session);
}

void PredictionGraph::Impl::end(const RunId& id) {
  const auto found = sessions_by_id_.find(id);
  if (found == sessions_by_id_.end()) {
    return;
  }
  Session& session = *found->second;
  if (learns_) {
    Tenant& owner = tenant_of(session.tenant_name);
    if (has_model()) {
      nexts_.teach(model_contexts(session), end_symbol);
    }
    if (owner.takes_lesson()) {
      const Options all = learn_options(session, owner, end_symbol, 0);
      learn_guess(all.guessed, owner, end_symbol);
    }
    learn_next(session, owner, end_symbol);
    if (session.turn_from > 0) {
      end_turn(session, owner);
    }
    PastSession past = done_from(session, 0);
    past.words = session.memory.all_words();
    past.forms.push_back(end_symbol);
    owner.past.add(std::move(past), past_sessions_each());
  }
  session_bytes_ -= found->second->bytes;
  sessions_.erase(found->second);
  sessions_by_id_.erase(found);
}

void PredictionGraph::Impl::forget(std::string_view tenant) {
  if (const auto known = tenants_.find(tenant); known != tenants_.end()) {
    // Everything learned is found by the tenant's key: another key finds nothing of it.
    forgotten_[known->first] += 1;
    tenants_.erase(known);
  }
  for (auto session = sessions_.begin(); session != sessions_.end();) {
    if (session->tenant_name == tenant) {
      session_bytes_ -= session->bytes;
      sessions_by_id_.erase(session->id);
      session = sessions_.erase(session);
    } else {
      ++session;
    }
  }
}

ContextKeys PredictionGraph::Impl::model_contexts(const Session& session) {
  const std::vector<SeenStep>& steps = session.memory.steps();
  const Key last = steps.empty() ? start_task : steps.back().task;
  return {mix(session.tenant, 0xd0), mix(session.tenant, 0xd1, last)};
}

/// The model is asked next, with all that was said so far.
void PredictionGraph::Impl::predict_model(const Session& session, const Conversation& said,
                                          double scale, std::vector<Draft>& drafts) const {
  for (const Likely& each : nexts_.likely(model_contexts(session))) {
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

Stating PredictionGraph::Impl::state(const Tenant& tenant, const Option& option) const {
  Stating stating;
  stating.corrected = corrected(tenant.whole_calls, option.probability);
  stating.bounded = doubted(stating.corrected, option.form->seen);
  stating.allowed =
      std::min(stating.bounded, std::min(calls_allowed(tenant, *option.form, 3), probability_max));
  stating.stated = stating.allowed < sure_from || tenant.sure.holds(stating.allowed)
                       ? stating.allowed
                       : just_below_sure;
  return stating;
}

namespace {

std::string place_text(const Session& session) {
  const std::vector<SeenStep>& steps = session.memory.steps();
  return steps.empty() ? "as first call" : "after " + steps.back().call.task();
}

constexpr const char* from_catalog = "never called; the catalog tells of it";

}  // namespace

/// What is told of every answer, in few words.
std::vector<std::string> PredictionGraph::Impl::reasons(const Session& session,
                                                        const Option& option, double stated) {
  std::vector<std::string> lines;
  const Form& form = *option.form;
  lines.push_back(summary_of(form.task, place_text(session), option.form_probability,
                             option.filling.share, option.ranked, stated));
  for (std::size_t i = 0; i < option.values->size(); ++i) {
    const Candidate& value = option.value(i);
    lines.push_back(form.names[i] + " = " + text_of(value.origin, session.memory) + ": " +
                    share_text(value.share));
  }
  if (form.declared != nullptr) {
    lines.push_back(from_catalog);
  }
  return lines;
}

namespace {

constexpr std::size_t labels_told = 3;
constexpr std::size_t label_bytes_told = 24;
constexpr std::size_t words_told = 2;

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

/// Features of a call that say one thing of it to people.
struct FeatureGroup {
  const char* what;
  std::vector<std::size_t> features;
};

/// What the features of describe() are about; those that need more words are in add_forces().
const std::vector<FeatureGroup>& feature_groups() {
  static const std::vector<FeatureGroup> groups = {
      {"what its contexts say", {0, 8}},
      {"how sure its arguments are", {1, 9, 11}},
      {"how often its arguments were right", {2}},
      {"whether the session made this call before", {3, 4}},
      {"whether the session called its task before", {5, 6}},
      {"where its arguments come from",
       {10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 34, 35, 36, 40, 41, 42, 44, 46}},
      {"how often it was called", {21}},
      {"how far the text names its task", {24, 25, 26, 43}},
      {"its rank in all that followed (PageRank)", {45}},
      {"that something comes that was expected", {37, 38, 39, 47}},
  };
  return groups;
}

constexpr std::size_t feature_of_sessions = 7, feature_of_turns = 23, feature_of_words = 27,
                      first_feature_of_evidence = 28;

}  // namespace

/// The labels that labels() and seen() make a key of. The fields that take few values, for people.
std::string PredictionGraph::Impl::labels_text(Key task, Side side,
                                               const json::Value* value) const {
  if (!has(Idea::labels)) {
    return {};
  }
  const Key place = mix(task_side(task, side), 0x61);
  std::string text;
  std::size_t told = 0;
  if (const TellingFields* fields = side == Side::output ? telling_.find(task) : nullptr;
      fields != nullptr && fields->uses_chosen()) {
    for (const std::string& each : fields->chosen_texts(*value)) {
      text += (text.empty() ? "" : ", ") + json::clean_text(each, label_bytes_max);
    }
    return text + " in the fields that tell what follows";
  }
  const auto add = [&](const std::string& label) {
    text += told == labels_told  ? ", ..."
            : told > labels_told ? ""
                                 : (told == 0 ? "" : ", ") + label;
    ++told;
  };
  const auto is_label = [&](std::string_view name) {
    const Field* known = fields_.find(mix(place, hash_text(name)));
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

std::string PredictionGraph::Impl::step_text(const SeenStep& step, bool tells_input,
                                             bool tells_output) const {
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

/// What each of next_contexts() contains, in its order.
std::vector<std::string> PredictionGraph::Impl::texts_of_next_contexts(const Session& session,
                                                                       bool is_open) const {
  struct Shape {
    std::size_t steps;     ///< So many of the latest,
    std::size_t answered;  ///< and what so many of them returned.
    bool has_input;        ///< Labels of the latest one's input.
  };
  static const std::vector<Shape> of_tasks = {{0, 0, false}, {1, 0, false}, {2, 0, false}};
  static const std::vector<Shape> open = {{1, 0, true}, {2, 1, false}, {2, 1, true}};
  static const std::vector<Shape> answered = {{1, 1, false}, {2, 1, false}, {3, 1, false},
                                              {1, 1, true},  {2, 2, true},  {3, 3, true}};
  const std::vector<SeenStep>& steps = session.memory.steps();
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
              step_text(steps[steps.size() - n], n == 1 && shape.has_input, is_answered);
    }
    texts.push_back(std::move(text));
  };
  std::for_each(of_tasks.begin(), of_tasks.end(), tell);
  const std::vector<Shape>& more = is_open ? open : answered;
  std::for_each(more.begin(), more.end(), tell);
  return texts;
}

/// The same of output_contexts().
std::vector<std::string> PredictionGraph::Impl::texts_of_output_contexts(
    const Session& session) const {
  const std::vector<SeenStep>& steps = session.memory.steps();
  const SeenStep& last = steps.back();
  const std::string with = step_text(last, true, false);
  return {last.call.task(), with,
          with + " after " +
              (steps.size() < 2 ? "the start" : step_text(steps[steps.size() - 2], false, true)),
          last.call.task() + " with just this input"};
}

std::vector<ContextSaid> PredictionGraph::Impl::contexts_said(
    Key symbol, std::span<const Key> contexts, std::span<const Likely> prior,
    const ContextTrust* trust, const std::vector<std::string>& texts) const {
  FORERUN_ASSERT(texts.size() == contexts.size());
  std::vector<ContextSaid> said;
  for (const LearnedContexts::Said& each : nexts_.said_of(symbol, contexts, prior, trust)) {
    said.push_back({each.context == LearnedContexts::of_prior ? "the catalog" : texts[each.context],
                    each.times, each.followed, each.weight});
  }
  return said;
}

/// Why the open output is expected to be this.
std::string PredictionGraph::Impl::premise_text(const Session& session,
                                                const Likely& likely) const {
  const std::vector<ContextSaid> said =
      contexts_said(likely.symbol, output_contexts(session), {}, output_trust(session),
                    texts_of_output_contexts(session));
  const auto heaviest = std::max_element(
      said.begin(), said.end(),
      [](const ContextSaid& a, const ContextSaid& b) { return a.weight < b.weight; });
  return "premise " + share_text(std::min(likely.probability, probability_max)) +
         (heaviest == said.end() ? std::string()
                                 : ": " + heaviest->what + " returned it " +
                                       how_often(heaviest->followed, heaviest->times) +
                                       ", which weighs " + share_text(heaviest->weight));
}

std::vector<ArgumentSaid> PredictionGraph::Impl::arguments_of(const Session& session,
                                                              const Option& option) const {
  std::vector<ArgumentSaid> arguments;
  const Form& form = *option.form;
  const Surroundings surroundings = around(session, form.task_key);
  for (std::size_t i = 0; i < option.values->size(); ++i) {
    const Candidate& value = option.value(i);
    const Parameter* parameter =
        form.declared != nullptr ? nullptr : parameters_.find(form.parameters[i]);
    const Count record = parameter == nullptr ? Count{} : parameter->record_of(surroundings, value);
    arguments.push_back({form.names[i], text_of(value.origin, session.memory), value.share,
                         record.tries, record.hits});
  }
  return arguments;
}

/// The words of the text that speak most for a form, or against it, before its rivals (each with
/// its part of them).
std::string PredictionGraph::Impl::words_for(const Session& session, Key form,
                                             const std::map<Key, double>& rivals,
                                             bool speaks_for) const {
  const Key later = session.memory.has_fresh_words() ? 0 : 1;
  std::vector<std::pair<double, std::string_view>> weighed;
  for (const Key word : session.memory.last_words()) {
    const WordWeights* known = word_weights_.find(mix(session.tenant, word, later));
    if (known == nullptr) {
      continue;
    }
    double weight = 0;
    for (const WordWeights::Weight& each : known->forms) {
      const auto rival = rivals.find(each.form);
      weight += each.form == form ? each.weight
                                  : (rival == rivals.end() ? 0 : -each.weight * rival->second);
    }
    weight = speaks_for ? weight : -weight;
    if (const std::string_view spelling = session.memory.spelling_of(word);
        weight > 0 && !spelling.empty()) {
      weighed.emplace_back(weight, spelling);
    }
  }
  std::sort(weighed.begin(), weighed.end(), std::greater<>());
  weighed.resize(std::min(weighed.size(), words_told));
  std::string text;
  for (const auto& [weight, spelling] : weighed) {
    // One that says far less than the first is not named.
    if (weight * 2 > weighed.front().first) {
      text += (text.empty() ? "\"" : ", \"") + json::clean_text(spelling, label_bytes_told) + "\"";
    }
  }
  return text;
}

std::string PredictionGraph::Impl::proposed_by(const Session& session, const Precedents& precedents,
                                               Key form) {
  return share_in(precedents.sessions, form) > 0 ? "past sessions with such texts"
         : share_in(precedents.turns, form) > 0  ? "past turns with such texts"
         : share_in(session.named, form) > 0     ? "the text, which names its task"
                                                 : "words of the text";
}

/// Takes what the ranker says apart, by what its features are about.
void PredictionGraph::Impl::add_forces(const Session& session, const Tenant& tenant,
                                       const Options& all, const Option& option,
                                       Account& account) const {
  std::vector<CallRanker::Rival> rivals = {{&all.none, all.none_probability}};
  std::map<Key, double> by_form;
  for (const Option& rival : all.calls) {
    if (&rival != &option) {
      rivals.push_back({&rival.features, rival.ranked});
      by_form[rival.form_key] += rival.ranked / (1 - option.ranked);
    }
  }
  CallRanker::Apart apart = tenant.calls.apart(option.features, rivals);
  const auto add = [&](std::string what, std::span<const std::size_t> features) {
    double sum = 0;
    for (const std::size_t i : features) {
      sum += std::exchange(apart.by[i], 0);
    }
    account.forces.push_back({std::move(what), real::exp(sum)});
  };
  for (const FeatureGroup& group : feature_groups()) {
    add(group.what, group.features);
  }
  const Precedents precedents = this->precedents(session, tenant);
  const auto did = [&](const std::vector<Likely>& past) {
    return " with such texts (" + share_text(share_in(past, option.form_key)) + " did this here)";
  };
  add(option.form->declared != nullptr ? "the catalog" : "past sessions" + did(precedents.sessions),
      std::array{feature_of_sessions});
  add("past turns" + did(precedents.turns), std::array{feature_of_turns});
  const std::string words =
      words_for(session, option.form_key, by_form, apart.by[feature_of_words] > 0);
  add("words of the text" + (words.empty() ? "" : " (" + words + ")"),
      std::array{feature_of_words});
  static const char* const names[] = {
      "its last three tasks",          "its last four tasks",
      "just this last call",           "the tasks so far in any order",
      "the last task with its labels", "just this last call with its labels"};
  LongContexts contexts{};
  nexts_.find(long_contexts(session), contexts);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    if (const Context* context = contexts[i]; context != nullptr) {
      add(std::string("after ") + names[i] + " (" +
              how_often(context->count(option.form_key), context->total()) + ")",
          std::array{first_feature_of_evidence + i});
    }
  }
  account.other_forces =
      real::exp(std::accumulate(apart.by.begin(), apart.by.end(), -apart.rivals));
}

/// All numbers that led to what is stated of a call.
Account PredictionGraph::Impl::account_of(const Session& session, const Tenant& tenant,
                                          bool is_open, const Options& all,
                                          const Option& option) const {
  Account account;
  account.task = option.form->task;
  account.place = place_text(session);
  account.blended = share_in(all.guessed, option.form_key);
  if (account.blended > 0) {
    account.contexts =
        contexts_said(option.form_key, next_contexts(session, is_open), declared_next(session),
                      trust_of(tenant, is_open), texts_of_next_contexts(session, is_open));
  } else {
    account.proposed_by = proposed_by(session, precedents(session, tenant), option.form_key);
  }
  account.expected = option.form_probability;
  account.arguments = arguments_of(session, option);
  account.arguments_share = option.filling.share;
  account.ranked = option.ranked;
  add_forces(session, tenant, all, option, account);

  double same_task = 0;
  std::map<Key, Rival> by_form;
  for (const Option& rival : all.calls) {
    if (rival.form_key == option.form_key) {
      same_task += &rival == &option ? 0 : rival.ranked;
    } else {
      Rival& told = by_form[rival.form_key];
      told.what = rival.form->task;
      told.probability += rival.ranked;
    }
  }
  account.rivals.push_back({"none of these", all.none_probability});
  if (same_task > 0) {
    account.rivals.push_back({"it with other arguments", same_task});
  }
  for (auto& [form, rival] : by_form) {
    account.rivals.push_back(std::move(rival));
  }

  const Stating stating = state(tenant, option);
  const std::size_t bin = reliability_bin(option.probability);
  const Reliability& record = tenant.whole_calls[bin];
  account.calls = option.form->seen;
  account.allowed = option.probability;
  account.correction = option.probability > 0 ? stating.corrected / option.probability : 1;
  account.bin_from = static_cast<double>(bin) / reliability_bins;
  account.bin_to = static_cast<double>(bin + 1) / reliability_bins;
  account.bin_due = record.expected;
  account.bin_came = record.came;
  account.corrected = stating.corrected;
  account.bounded = stating.bounded;
  account.bounded_by_calls = stating.allowed;
  if (stating.allowed >= sure_from) {
    const SureRecord::Bin& sure = tenant.sure.bins[SureRecord::bin_of(stating.allowed)];
    account.sure_tries = sure.tries;
    account.sure_came = sure.came;
  }
  account.stated = stating.stated;
  return account;
}

/// The parameters of a form that no value is likely for.
std::vector<std::string> PredictionGraph::Impl::unfilled(const Session& session,
                                                         const Tenant& tenant,
                                                         const Form& form) const {
  std::vector<std::string> names;
  const Surroundings surroundings = around(session, form.task_key);
  std::size_t parts_left = parts_per_form_max;
  MadeValues made;
  for (std::size_t i = 0; i < form.parameters.size(); ++i) {
    const std::vector<Candidate> values =
        values_for(surroundings, tenant, form, i, parts_left, made, Wanted::best);
    if (values.empty() || values.front().share < filled_above) {
      names.push_back(form.names[i]);
    }
  }
  return names;
}

/// A form comes as its calls do; and of "none of them" it has what is expected of it, before it is
/// known with which arguments, beyond its calls.
std::vector<ExpectedTask> PredictionGraph::Impl::tasks_of(const Session& session,
                                                          const Tenant& tenant, const Options& all,
                                                          const Question& question) const {
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
      each.expected.unfilled = unfilled(session, tenant, *each.form);
    }
    tasks.push_back(std::move(each.expected));
  }
  return tasks;
}

void PredictionGraph::Impl::predict_next(const Session& session, const Tenant& tenant, bool is_open,
                                         double scale, const Question& question,
                                         std::vector<Draft>& drafts,
                                         std::vector<ExpectedTask>* tasks) const {
  const Options all =
      options(session, tenant, is_open, {.probability_min = question.probability_min / scale});
  if (tasks != nullptr) {
    *tasks = tasks_of(session, tenant, all, question);
  }
  std::vector<std::pair<double, const Option*>> worth;
  for (const Option& option : all.calls) {
    const double probability = state(tenant, option).stated;
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
      draft.reasons = lines_of(account_of(session, tenant, is_open, all, *option));
      if (option->form->declared != nullptr) {
        draft.reasons.push_back(from_catalog);
      }
    } else {
      draft.reasons = reasons(session, *option, probability);
    }
    drafts.push_back(std::move(draft));
  }
}

void PredictionGraph::Impl::predict_beyond_open(Session& session, const Tenant& tenant,
                                                const Question& question, const Conversation& said,
                                                bool is_thinking, std::vector<Draft>& drafts,
                                                std::vector<ExpectedTask>* tasks) {
  const bool asks_model = has_model() && !is_thinking;
  if (!asks_model) {
    predict_next(session, tenant, true, 1, question, drafts, tasks);
  }
  std::vector<Likely> outputs = nexts_.likely(output_contexts(session), {}, output_trust(session));
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
    const std::string why = question.explains ? premise_text(session, likely) : std::string();
    const SessionMemory::Mark mark = session.memory.mark();
    const Key task = session.memory.steps().back().task;
    session.memory.add_output(*output, answer(task, &(*output)->value()));
    const std::vector<Key> open = std::exchange(open_tasks_, {});
    const std::size_t from = drafts.size();
    const double scale = std::min(likely.probability, probability_max);
    if (asks_model) {
      Conversation imagined = said;
      imagined.step(session.memory.steps().back().call, **output);
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

std::vector<Prediction> PredictionGraph::Impl::predict(const RunId& id, const Question& question,
                                                       std::vector<ExpectedTask>* tasks) {
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
  Conversation said = session.said;
  bool is_thinking = session.is_thinking;
  bool is_open = false;
  for (const ImaginedStep& step : question.beyond) {
    if (is_model(step.call)) {
      is_thinking = true;
      continue;
    }
    is_thinking = false;
    session.memory.add_call(seen(session.tenant, step.call, false));
    is_open = !step.output.has_value();
    const Key task = session.memory.steps().back().task;
    if (step.output) {
      session.memory.add_output(step.output, answer(task, &step.output->value()));
      said.step(step.call, *step.output);
    } else {
      open_tasks_.push_back(task);
    }
  }
  std::vector<Draft> drafts;
  const std::size_t open = open_tasks_.size();
  if (is_open && open == 1) {
    predict_beyond_open(session, tenant->second, question, said, is_thinking, drafts, tasks);
  } else if (has_model() && !is_thinking) {
    if (open == 0) {
      predict_model(session, said, 1, drafts);
    }
  } else {
    predict_next(session, tenant->second, is_open, 1, question, drafts, tasks);
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

double PredictionGraph::Impl::end_probability(const RunId& id, const Question& question) {
  const auto found = sessions_by_id_.find(id);
  if (found == sessions_by_id_.end()) {
    return 0;
  }
  Session& session = *found->second;
  const auto tenant = tenants_.find(session.tenant_name);
  if (tenant == tenants_.end() || tenant->second.key != session.tenant) {
    return 0;
  }
  const SessionMemory::Mark mark = session.memory.mark();
  bool is_open = false;
  for (const ImaginedStep& step : question.beyond) {
    if (is_model(step.call)) {
      continue;
    }
    session.memory.add_call(seen(session.tenant, step.call, false));
    const Key task = session.memory.steps().back().task;
    is_open = is_open || !step.output;
    if (step.output) {
      session.memory.add_output(step.output, answer(task, &step.output->value()));
    }
  }
  double probability = 0;
  if (!is_open) {
    probability = corrected(tenant->second.forms,
                            share_in(guess(session, tenant->second, false), end_symbol));
  }
  session.memory.rollback(mark);
  return probability;
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
