#include "coordinator/context_trust.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/real.hpp"

namespace forerun::prediction {

namespace {

/// About so many of the last occasions count.
constexpr float told_kept = 0.998F;
/// Another doubt must have told e to so many times better.
constexpr float better_by = 1;
constexpr double told_min = 1e-3;

}  // namespace

const std::array<double, ContextTrust::doubts> ContextTrust::doubt_of = {0.1, 0.3, first_doubt, 1.5,
                                                                         4,   12,  40};

std::size_t ContextTrust::kind_of(const Context& context) {
  const bool is_much = context.total() >= 8;
  if (context.distinct() > 1) {
    return is_much ? 4 : 3;
  }
  return is_much ? 2 : context.total() >= 2 ? 1 : 0;
}

double ContextTrust::doubt(std::size_t at, const Context& context) const {
  return at < contexts_max ? doubt_of[records_[at][kind_of(context)].best] : first_doubt;
}

void ContextTrust::learn(std::span<const Context* const> contexts, std::span<const Likely> prior,
                         Key symbol) {
  FORERUN_ASSERT(contexts.size() <= contexts_max);
  // What none of them has seen is one of all that is new.
  const bool is_new = std::all_of(contexts.begin(), contexts.end(), [&](const Context* each) {
    return each == nullptr || !(each->count(symbol) > 0);
  });
  double share = is_new ? 1 : 0;
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    if (i == 1 && !prior.empty()) {
      const auto [all, its] = share_of(prior, symbol);
      share = share * (1 - all) + its;
    }
    const Context* const context = contexts[i];
    if (context == nullptr || !(context->total() > 0)) {
      continue;
    }
    const double count = context->count(symbol);  // Looked up once for all doubts.
    const auto told = [&](double doubt) {
      const double unseen = doubt * context->distinct();
      return (count + unseen * share) / (context->total() + unseen);
    };
    Record& record = records_[i][kind_of(*context)];
    const double before = told(doubt_of[record.best]);
    if (i > 0) {
      for (std::size_t d = 0; d < doubts; ++d) {
        const double share_told = std::max(told(doubt_of[d]), told_min);
        record.told[d] = told_kept * record.told[d] + static_cast<float>(real::log(share_told));
      }
      const auto best = static_cast<std::size_t>(
          std::max_element(record.told.begin(), record.told.end()) - record.told.begin());
      if (record.told[best] > record.told[record.best] + better_by) {
        record.best = static_cast<std::uint8_t>(best);
      }
    }
    share = before;
  }
}

void ContextTrust::learn(const LearnedContexts& contexts, std::span<const Key> keys,
                         std::span<const Likely> prior, Key symbol) {
  std::array<const Context*, contexts_max> found;
  const std::span<const Context*> known = std::span(found).first(keys.size());
  contexts.find(keys, known);
  learn(known, prior, symbol);
}

}  // namespace forerun::prediction
