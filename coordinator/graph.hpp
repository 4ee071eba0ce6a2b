#pragma once

#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/call_features.hpp"
#include "coordinator/draft.hpp"
#include "coordinator/form_values.hpp"
#include "coordinator/known_forms.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/learned_outputs.hpp"
#include "coordinator/prediction_graph.hpp"
#include "coordinator/prediction_reasons.hpp"
#include "coordinator/prediction_session.hpp"
#include "coordinator/prediction_tenant.hpp"
#include "coordinator/step_labels.hpp"
#include "coordinator/telling_words.hpp"

namespace forerun::prediction {

/// Forms that only texts and past sessions name are as likely by contexts as this; others that are
/// less likely are hardly worth a look.
inline constexpr double form_probability_min = 0.003;

/// What past sessions and past turns like this one say comes next.
struct Precedents {
  std::vector<Likely> sessions, turns;
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

/// Which forms are worth a look: the form that came is looked at closely, and with it all that is
/// learned from; else what is too far behind the best to be asked for is left out.
struct Look {
  Key came = 0;
  double probability_min = 0;
};

/// The whole of PredictionGraph: the tables of all tenants, and what is done with them, a file for
/// each job. A step is learned (graph_learning.cpp): what was expected is compared with what came,
/// then it is counted. Calls are proposed and ranked (graph_options.cpp), made answers of
/// (graph_answers.cpp) and explained (graph_reasons.cpp).
class Graph {
public:
  explicit Graph(const PredictionSettings& settings);

  void text(const RunId& id, std::string_view tenant, std::string_view text);
  void observe(const RunId& id, std::string_view tenant, const Call& call,
               const std::optional<Output>& output);
  void end(const RunId& id);
  void forget(std::string_view tenant);
  void declare(const DeclaredTasks& tasks) { forms_.declare(tasks); }
  void set_learning(bool learns) { learns_ = learns; }
  /// Also the tasks, where `tasks` is not null.
  std::vector<Prediction> predict(const RunId& id, const Question& question,
                                  std::vector<ExpectedTask>* tasks);
  double end_probability(const RunId& id, const Question& question);
  PredictionSizes sizes() const;

private:
  bool has(Idea idea) const { return settings_.without != idea; }
  bool has_model() const { return !settings_.model_task.empty(); }
  bool is_model(const Call& call) const {
    return has_model() && call.task() == settings_.model_task;
  }
  Session& open(const RunId& id, std::string_view tenant);
  Surroundings around(const Session& session, Key task) const;
  std::vector<Likely> declared_next(const Session& session, const Tenant& tenant) const {
    return forms_.declared_next(session.memory, session.tenant, tenant.names);
  }
  const ContextTrust* trust_of(const Tenant& tenant, bool is_open) const {
    return !has(Idea::trust) ? nullptr : is_open ? &tenant.open : &tenant.answered;
  }
  /// What one tenant may keep, so that all keep their limit together.
  std::size_t past_sessions_each() const;

  // Learning.
  void hear(Session& session) const;
  void learn_call(Session& session, Tenant& tenant, const SeenStep& step);
  Options learn_options(const Session& session, Tenant& tenant, Key form_key, Key input_hash);
  static void learn_guess(const std::vector<Likely>& made, Tenant& tenant, Key symbol);
  static void learn_declared(Tenant& tenant, const Options& all, const Call& call, Key form_key);
  void learn_next(const Session& session, Tenant& tenant, Key symbol);
  void learn_values(Tenant& tenant, Form& form, const Values& values, const json::Object& input,
                    Key input_hash) const;
  void end_turn(const Session& session, Tenant& tenant) const;

  // Proposing and ranking.
  std::vector<Likely> guess(const Session& session, const Tenant& tenant, bool is_open) const;
  Precedents precedents(const Session& session, const Tenant& tenant) const;
  struct Considered {
    double score = 0;
    Likely likely;
    const Form* form = nullptr;
  };
  std::vector<Considered> consider(const Session& session, const Tenant& tenant,
                                   const Precedents& precedents, std::span<const Likely> forms,
                                   std::size_t tried_max) const;
  double ends_here(const Session& session) const;
  double repeats_last(const Session& session, bool is_open) const;
  FormFeatures describe_form(const Session& session, const Tenant& tenant, const Form& form,
                             const Likely& likely, const Precedents& precedents,
                             const LongContexts& long_contexts, bool is_open) const;
  Options options(const Session& session, const Tenant& tenant, bool is_open, Look look) const;

  // Answering.
  Stating stating(const Tenant& tenant, const Option& option) const;
  /// A session with its tenant as they are.
  struct Asked {
    Session* session = nullptr;  ///< Null: one of them is not known.
    const Tenant* tenant = nullptr;
  };
  Asked asked(const RunId& id);
  void predict_next(const Session& session, const Tenant& tenant, bool is_open, double scale,
                    const Question& question, std::vector<Draft>& drafts,
                    std::vector<ExpectedTask>* tasks = nullptr) const;
  void predict_beyond_open(Session& session, const Tenant& tenant, const Question& question,
                           const Conversation& said, bool is_thinking, std::vector<Draft>& drafts,
                           std::vector<ExpectedTask>* tasks);
  void predict_model(const Session& session, const Conversation& said, double scale,
                     std::vector<Draft>& drafts) const;
  std::vector<ExpectedTask> tasks_of(const Session& session, const Tenant& tenant,
                                     const Options& all, const Question& question) const;

  // Explaining.
  static std::vector<std::string> reasons(const Session& session, const Option& option,
                                          double stated);
  std::vector<std::string> explanation(const Session& session, const Tenant& tenant, bool is_open,
                                       const Options& all, const Option& option) const;
  Account account_of(const Session& session, const Tenant& tenant, bool is_open, const Options& all,
                     const Option& option) const;
  void add_forces(const Session& session, const Tenant& tenant, const Options& all,
                  const Option& option, Account& account) const;
  std::vector<ContextSaid> contexts_said(Key symbol, std::span<const Key> contexts,
                                         std::span<const Likely> prior, const ContextTrust* trust,
                                         const std::vector<std::string>& texts) const;
  std::vector<ArgumentSaid> arguments_of(const Session& session, const Option& option) const;
  std::string premise_text(const Session& session, const Likely& likely) const;

  PredictionSettings settings_;
  Features<value_features> value_mask_{};
  Features<call_features> call_mask_{};
  bool learns_ = true;
  LearnedContexts contexts_;
  KnownForms forms_;
  FormValues values_;
  StepLabels labels_;
  LearnedOutputs outputs_;
  TellingWords words_;
  Tenants tenants_;
  Sessions sessions_;
  std::vector<Key> open_tasks_;  ///< While predicting: tasks whose outputs are still open.
  Form model_form_;
};

}  // namespace forerun::prediction
