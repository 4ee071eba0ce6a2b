#pragma once

#include <array>
#include <tuple>
#include <vector>

#include "coordinator/fillings.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/ranker.hpp"
#include "coordinator/records.hpp"
#include "coordinator/session_contexts.hpp"
#include "coordinator/session_memory.hpp"

namespace forerun::prediction {

/// What tells how likely a whole call is: see describe(). Who adds a feature gives it its place
/// there, its first weight, its group for people, and its idea (ideas.cpp).
inline constexpr std::size_t call_features = 52;
using CallRanker = Ranker<call_features>;
/// At first a call is as likely as its form by the contexts times its arguments by their rules.
CallRanker first_call_ranker();

/// Features that are asked for one by one.
namespace feature {
inline constexpr std::size_t contexts = 0, share = 1, record = 2, repeats = 3, sessions = 7,
                             turns = 23, named = 24, words = 27, first_of_evidence = 28,
                             something_comes = 37, end_expected = 38, unknown_expected = 39,
                             named_ahead = 43, ends_here = 47;
}  // namespace feature

/// Features that say one thing of a call to people; those that need more words have no group.
struct FeatureGroup {
  const char* what;
  std::vector<std::size_t> features;
};
const std::vector<FeatureGroup>& feature_groups();

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

/// What single contexts say of a form, beyond their blend.
using Evidence = std::array<double, std::tuple_size_v<LongContexts>>;
Evidence evidence_for(const LongContexts& contexts, const Likely& form, bool is_open);

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

/// What describes a call, the `rank`-th of its form. `has_near`: past sessions are alike;
/// `repeats`: the odds that the last call is made again (logarithm).
Features<call_features> describe(const SessionMemory& memory, bool has_near, const Option& option,
                                 const FormFeatures& of_form, std::size_t rank,
                                 const Together& together, double repeats);

}  // namespace forerun::prediction
