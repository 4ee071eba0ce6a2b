#include <algorithm>
#include <cmath>

#include "base/real.hpp"
#include "coordinator/graph.hpp"
#include "coordinator/likely.hpp"
#include "coordinator/symbols.hpp"

namespace forerun::prediction {

namespace {

constexpr std::size_t forms_considered_max = 32;
constexpr std::size_t words_propose_max = 8;
constexpr std::size_t forms_tried_max = 9;
constexpr std::size_t forms_tried_of_contexts_max = 6;  ///< Where contexts alone name forms.
/// Where only what is so probable is asked for, forms whose score is so far behind the best are
/// left out, and calls that are so small a part of their form.
constexpr double probability_min_of_few = 0.05;
constexpr double far_behind = 3;
constexpr double share_min_of_few = 0.01;  ///< Of a form's values together.

/// As a feature: what is far less likely than a few in a hundred is all alike.
double share_as_logarithm(double share) {
  return real::log(0.02 + share);
}

}  // namespace

/// How much more often sessions ended after so many steps than after any number: the logarithm of
/// the ratio of odds.
double Graph::ends_here(const Session& session) const {
  const Context* const all = contexts_.find(anywhere_context(session.tenant));
  const Context* const here = contexts_.find(number_context(session.memory, session.tenant));
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

/// What the contexts say; the likeliest first, as many as are considered.
std::vector<Likely> Graph::guess(const Session& session, const Tenant& tenant, bool is_open) const {
  std::vector<Likely> forms =
      contexts_.likely(next_contexts(session.memory, session.tenant, is_open),
                       declared_next(session, tenant), trust_of(tenant, is_open));
  const auto in_order =
      forms.begin() + static_cast<std::ptrdiff_t>(std::min(forms.size(), forms_considered_max));
  std::partial_sort(forms.begin(), in_order, forms.end(), more_likely);
  return forms;
}

Precedents Graph::precedents(const Session& session, const Tenant& tenant) const {
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

/// How likely the last call is made again, as odds (logarithm); 0 where nothing tells it.
double Graph::repeats_last(const Session& session, bool is_open) const {
  constexpr double odds_max = 4;
  double same = 0;
  double all = 0;
  for (const Likely& each :
       contexts_.likely(repeat_contexts(session.memory, session.tenant, is_open))) {
    same += each.symbol == same_symbol ? each.probability : 0;
    all += each.probability;
  }
  if (all <= 0) {
    return 0;
  }
  const double unknown = (1 - all) / 2;
  return std::clamp(real::log((same + unknown) / (1 - same - unknown)), -odds_max, odds_max);
}

FormFeatures Graph::describe_form(const Session& session, const Tenant& tenant, const Form& form,
                                  const Likely& likely, const Precedents& precedents,
                                  const LongContexts& long_contexts, bool is_open) const {
  const SessionMemory& memory = session.memory;
  FormFeatures features;
  features.probability = as_logarithm(likely.probability);
  features.record = real::log(std::min((form.hits + 2) / (form.expected + 2), 1.5));
  features.repeats = as_logarithm((form.repeats + 0.1) / (form.tries + 2));
  // A catalog that says what follows is like a session that was seen to go that way.
  features.sessions =
      share_as_logarithm(form.declared != nullptr ? likely.probability
                                                  : share_in(precedents.sessions, likely.symbol)) +
      1.5;
  features.turns = precedents.turns.empty()
                       ? 0.0
                       : share_as_logarithm(share_in(precedents.turns, likely.symbol)) + 1.5;
  features.named_all = forms_.how_far_named(tenant.names, form, memory.all_stems());
  features.named_fresh =
      memory.has_fresh_words() ? forms_.how_far_named(tenant.names, form, memory.last_stems()) : 0;
  features.named_ahead = forms_.how_far_named(tenant.names, form, memory.stems_ahead());
  features.words = share_in(session.spoken[spoken_at(memory)], likely.symbol);
  features.tries = real::log(1 + form.tries) * 0.25;
  features.importance = std::clamp(real::log(tenant.importance.of(likely.symbol)), -2.0, 2.0) * 0.5;
  features.is_known = memory.was_called(form.task_key);
  features.is_last = !memory.steps().empty() && memory.steps().back().task == form.task_key;
  features.evidence = evidence_for(long_contexts, likely, is_open);
  return features;
}

/// The best of these forms as the ranker would have them, before it is known with which arguments.
std::vector<Graph::Considered> Graph::consider(const Session& session, const Tenant& tenant,
                                               const Precedents& precedents,
                                               std::span<const Likely> forms,
                                               std::size_t tried_max) const {
  const Features<call_features>& weights = tenant.calls.weights();
  const SessionMemory& memory = session.memory;
  const std::vector<Likely>& spoken = session.spoken[spoken_at(memory)];
  std::vector<Considered> considered;
  considered.reserve(forms.size());
  for (const Likely& each : forms) {
    forms_.prefetch_slot(each.symbol);
  }
  for (const Likely& each : forms) {
    forms_.prefetch_entry(each.symbol);
  }
  for (const Likely& each : forms) {
    const Form* form = forms_.find(each.symbol);
    if (form == nullptr) {
      continue;
    }
    double score =
        weights[feature::contexts] * as_logarithm(each.probability) +
        weights[feature::sessions] *
            share_as_logarithm(share_in(precedents.sessions, each.symbol)) +
        weights[feature::named] * forms_.how_far_named(tenant.names, *form, memory.all_stems()) +
        weights[feature::named_ahead] *
            forms_.how_far_named(tenant.names, *form, memory.stems_ahead()) +
        weights[feature::words] * share_in(spoken, each.symbol);
    if (!precedents.turns.empty()) {
      score +=
          weights[feature::turns] * share_as_logarithm(share_in(precedents.turns, each.symbol));
    }
    considered.push_back({score, each, form});
  }
  const auto tried =
      considered.begin() + static_cast<std::ptrdiff_t>(std::min(considered.size(), tried_max));
  std::partial_sort(considered.begin(), tried, considered.end(), [](const auto& a, const auto& b) {
    return a.score != b.score ? a.score > b.score : a.likely.symbol < b.likely.symbol;
  });
  considered.erase(tried, considered.end());
  return considered;
}

/// What may come next: what contexts, past sessions and texts name, filled and ranked.
Options Graph::options(const Session& session, const Tenant& tenant, bool is_open,
                       Look look) const {
  Options all;
  const Precedents precedents = this->precedents(session, tenant);
  std::vector<Likely> forms = guess(session, tenant, is_open);
  for (const Likely& each : forms) {
    if (each.symbol == end_symbol) {
      all.end = is_open ? each.probability : tenant.forms.corrected(each.probability);
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
  for (const Likely& each : session.named) {
    propose(each.symbol);
  }
  const std::vector<Likely>& spoken = session.spoken[spoken_at(session.memory)];
  for (std::size_t i = 0; i < std::min(spoken.size(), words_propose_max); ++i) {
    propose(spoken[i].symbol);
  }
  const bool are_of_contexts = forms.size() <= all.guessed.size();
  std::vector<Considered> considered =
      consider(session, tenant, precedents, forms,
               are_of_contexts ? forms_tried_of_contexts_max : forms_tried_max);
  const bool wants_few = look.probability_min >= probability_min_of_few;
  if (wants_few) {
    // What contexts alone make probable is kept: the score knows nothing of its arguments yet.
    std::erase_if(considered, [best = considered.empty() ? 0 : considered.front().score,
                               &look](const Considered& each) {
      return each.score < best - far_behind && each.likely.probability < look.probability_min;
    });
  }
  for (const Considered& each : considered) {
    values_.prefetch_slots(*each.form);
  }
  for (const Considered& each : considered) {
    values_.prefetch_entries(*each.form);
  }
  LongContexts long_contexts{};
  contexts_.find(prediction::long_contexts(session.memory, session.tenant), long_contexts);
  all.calls.reserve(considered.size() * (calls_per_form_max + Records::fillings_max));
  std::vector<double> scores;
  std::vector<Filling> fillings;
  const double repeats = repeats_last(session, is_open);
  double known = 0;
  for (auto& [quick, likely, form] : considered) {
    likely.probability = is_open ? likely.probability : tenant.forms.corrected(likely.probability);
    all.tried.push_back({form, likely.symbol, quick});
    Values values = values_.of(around(session, form->task_key), tenant.arguments, *form,
                               likely.symbol == look.came ? Wanted::all : Wanted::best);
    if (values.size() != form->parameters.size()) {
      continue;
    }
    const Values& kept = all.values.emplace_back(likely.symbol, std::move(values)).second;
    const FormFeatures of_form =
        describe_form(session, tenant, *form, likely, precedents, long_contexts, is_open);
    std::size_t rank = 0;
    const Fillings best(*form, kept, calls_per_form_max);
    const Records records(session.memory, *form, kept);
    fillings.assign(best.begin(), best.end());
    if (has(Idea::records)) {
      const std::vector<Filling> more = records.fillings(best);
      fillings.insert(fillings.end(), more.begin(), more.end());
    }
    for (const Filling& filling : fillings) {
      if (wants_few && rank > 0 && filling.share < share_min_of_few) {
        break;
      }
      Option& option = all.calls.emplace_back(
          Option{form, &kept, likely.symbol, likely.probability, filling, {}, 0, 0});
      option.features = describe(session.memory, !session.near.empty(), option, of_form, rank++,
                                 records.together(filling), repeats);
      for (std::size_t n = 0; settings_.without && n < call_features; ++n) {
        option.features[n] *= call_mask_[n];
      }
      known += likely.probability * filling.share *
               real::exp(option.features[feature::record] + option.features[feature::repeats]);
      scores.push_back(tenant.calls.score(option.features));
    }
  }
  all.none[feature::something_comes] = 1;
  all.none[feature::end_expected] = share_as_logarithm(all.end) + 2;
  all.none[feature::unknown_expected] = real::log(std::max(1 - known, 0.01));
  all.none[feature::ends_here] = ends_here(session);
  all.none_probability = CallRanker::normalise(scores, tenant.calls.score(all.none));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    // However sure the features are: no surer than so many calls of this form allow (Laplace's rule
    // of succession).
    Option& option = all.calls[i];
    option.ranked = scores[i];
    double allowed = forms_.calls_allowed(*option.form, tenant.declared_calls, 2);
    for (std::size_t n = 0; n < option.values->size(); ++n) {
      allowed = std::min(allowed, option.value(n).allowed);
    }
    option.probability = std::min(scores[i], allowed);
  }
  return all;
}

}  // namespace forerun::prediction
