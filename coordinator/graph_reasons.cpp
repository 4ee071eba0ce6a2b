#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <utility>

#include "base/assert.hpp"
#include "base/real.hpp"
#include "coordinator/graph.hpp"
#include "coordinator/likely.hpp"

namespace forerun::prediction {

namespace {

std::string place_text(const Session& session) {
  const std::vector<SeenStep>& steps = session.memory.steps();
  return steps.empty() ? "as first call" : "after " + steps.back().call.task();
}

constexpr const char* from_catalog = "never called; the catalog tells of it";

std::string proposed_by(const Session& session, const Precedents& precedents, Key form) {
  return share_in(precedents.sessions, form) > 0 ? "past sessions with such texts"
         : share_in(precedents.turns, form) > 0  ? "past turns with such texts"
         : share_in(session.named, form) > 0     ? "the text, which names its task"
                                                 : "words of the text";
}

}  // namespace

/// What is told of every answer, in few words.
std::vector<std::string> Graph::reasons(const Session& session, const Option& option,
                                        double stated) {
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

/// The same of what is asked about closely: all of its account.
std::vector<std::string> Graph::explanation(const Session& session, const Tenant& tenant,
                                            bool is_open, const Options& all,
                                            const Option& option) const {
  std::vector<std::string> lines = lines_of(account_of(session, tenant, is_open, all, option));
  if (option.form->declared != nullptr) {
    lines.push_back(from_catalog);
  }
  return lines;
}

std::vector<ContextSaid> Graph::contexts_said(Key symbol, std::span<const Key> contexts,
                                              std::span<const Likely> prior,
                                              const ContextTrust* trust,
                                              const std::vector<std::string>& texts) const {
  FORERUN_ASSERT(texts.size() == contexts.size());
  std::vector<ContextSaid> said;
  for (const LearnedContexts::Said& each : contexts_.said_of(symbol, contexts, prior, trust)) {
    said.push_back({each.context == LearnedContexts::of_prior ? "the catalog" : texts[each.context],
                    each.times, each.followed, each.weight});
  }
  return said;
}

/// Why the open output is expected to be this.
std::string Graph::premise_text(const Session& session, const Likely& likely) const {
  const std::vector<ContextSaid> said = contexts_said(
      likely.symbol, output_contexts(session.memory, session.tenant), {},
      outputs_.trust(session.memory), texts_of_output_contexts(session.memory, labels_));
  const auto heaviest = std::max_element(
      said.begin(), said.end(),
      [](const ContextSaid& a, const ContextSaid& b) { return a.weight < b.weight; });
  return "premise " + share_text(std::min(likely.probability, probability_max)) +
         (heaviest == said.end() ? std::string()
                                 : ": " + heaviest->what + " returned it " +
                                       how_often(heaviest->followed, heaviest->times) +
                                       ", which weighs " + share_text(heaviest->weight));
}

std::vector<ArgumentSaid> Graph::arguments_of(const Session& session, const Option& option) const {
  std::vector<ArgumentSaid> arguments;
  const Form& form = *option.form;
  const Surroundings surroundings = around(session, form.task_key);
  for (std::size_t i = 0; i < option.values->size(); ++i) {
    const Candidate& value = option.value(i);
    const Parameter* parameter = values_.find(form, i);
    const Count record = parameter == nullptr ? Count{} : parameter->record_of(surroundings, value);
    arguments.push_back({form.names[i], text_of(value.origin, session.memory), value.share,
                         record.tries, record.hits});
  }
  return arguments;
}

/// Takes what the ranker says apart, by what its features are about.
void Graph::add_forces(const Session& session, const Tenant& tenant, const Options& all,
                       const Option& option, Account& account) const {
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
      std::array{feature::sessions});
  add("past turns" + did(precedents.turns), std::array{feature::turns});
  const std::string words = words_.words_for(session.memory, session.tenant, option.form_key,
                                             by_form, apart.by[feature::words] > 0);
  add("words of the text" + (words.empty() ? "" : " (" + words + ")"), std::array{feature::words});
  LongContexts contexts{};
  contexts_.find(long_contexts(session.memory, session.tenant), contexts);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    if (const Context* context = contexts[i]; context != nullptr) {
      add(std::string("after ") + texts_of_long_contexts[i] + " (" +
              how_often(context->count(option.form_key), context->total()) + ")",
          std::array{feature::first_of_evidence + i});
    }
  }
  account.other_forces =
      real::exp(std::accumulate(apart.by.begin(), apart.by.end(), -apart.rivals));
}

/// All numbers that led to what is stated of a call.
Account Graph::account_of(const Session& session, const Tenant& tenant, bool is_open,
                          const Options& all, const Option& option) const {
  Account account;
  account.task = option.form->task;
  account.place = place_text(session);
  account.blended = share_in(all.guessed, option.form_key);
  if (account.blended > 0) {
    account.contexts =
        contexts_said(option.form_key, next_contexts(session.memory, session.tenant, is_open),
                      declared_next(session, tenant), trust_of(tenant, is_open),
                      texts_of_next_contexts(session.memory, is_open, labels_));
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

  const Stating stating = this->stating(tenant, option);
  const std::size_t bin = Reliability::bin_of(option.probability);
  const Reliability::Bin& record = tenant.whole_calls.bin(bin);
  account.calls = option.form->seen;
  account.allowed = option.probability;
  account.correction = option.probability > 0 ? stating.corrected / option.probability : 1;
  account.bin_from = static_cast<double>(bin) / Reliability::bins;
  account.bin_to = static_cast<double>(bin + 1) / Reliability::bins;
  account.bin_due = record.expected;
  account.bin_came = record.came;
  account.corrected = stating.corrected;
  account.bounded = stating.bounded;
  account.bounded_by_calls = stating.allowed;
  if (stating.allowed >= sure_from) {
    const SureRecord::Bin& sure = tenant.sure.bin(stating.allowed);
    account.sure_tries = sure.tries;
    account.sure_came = sure.came;
  }
  account.stated = stating.stated;
  return account;
}

}  // namespace forerun::prediction
