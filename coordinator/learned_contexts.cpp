#include "coordinator/learned_contexts.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "coordinator/context_trust.hpp"

namespace forerun::prediction {

namespace {

constexpr float total_max = 256;
constexpr std::size_t followers_max = 64;

/// Finds symbols in a list that grows, by open addressing.
class Places {
public:
  /// Where it is, or `next`, where it is put from now on.
  std::size_t find_or_put(const std::vector<Likely>& list, Key symbol) {
    for (std::size_t at = symbol % slots;; at = (at + 1) % slots) {
      if (places_[at] == 0) {
        places_[at] = static_cast<std::uint16_t>(list.size() + 1);
        return list.size();
      }
      const std::size_t place = places_[at] - 1U;
      if (list[place].symbol == symbol) {
        return place;
      }
    }
  }

  static constexpr std::size_t slots = 1'024;

private:
  std::array<std::uint16_t, slots> places_{};
};

/// How much of a context's counts it keeps for what it has not seen.
double unseen_by(const Context& context, std::size_t at, const ContextTrust* trust) {
  return (trust != nullptr ? trust->doubt(at, context) : ContextTrust::first_doubt) *
         context.distinct();
}

void blend_in(std::span<const Likely> prior, std::vector<Likely>& blended, Places& places) {
  FORERUN_ASSERT(blended.size() + prior.size() < Places::slots);
  double said = 0;
  for (const Likely& each : prior) {
    said += each.probability;
  }
  for (Likely& each : blended) {
    each.probability *= 1 - said;
  }
  for (const Likely& each : prior) {
    const std::size_t at = places.find_or_put(blended, each.symbol);
    if (at < blended.size()) {
      blended[at].probability += each.probability;
    } else {
      blended.push_back(each);
    }
  }
}

}  // namespace

static_assert(sizeof(Context) == 64);

void Context::teach(Key symbol) {
  total_ += 1;
  Follower* const first = begin();
  Follower* const end = first + size_;
  Follower* const found =
      std::find_if(first, end, [&](const Follower& each) { return each.symbol == symbol; });
  if (found != end) {
    found->count += 1;
    // Frequent ones move to the front, where they are found at once.
    if (found != first && found[-1].count < found->count) {
      std::swap(found[-1], *found);
    }
  } else {
    if (size_ >= followers_max) {
      const Follower* const least = std::min_element(
          first, end, [](const Follower& a, const Follower& b) { return a.count < b.count; });
      total_ -= least->count;
      remove(static_cast<std::size_t>(least - first));
    } else {
      ++distinct_;
    }
    add(symbol);
  }
  if (total_ > total_max) {
    halve();
  }
}

void Context::add(Key symbol) {
  if (size_ == room_) {
    const auto room = static_cast<std::uint8_t>(std::min(2U * room_ + 2U, 64U));
    auto more = std::make_unique<Follower[]>(room);
    std::copy(begin(), begin() + size_, more.get());
    more_ = std::move(more);
    room_ = room;
  }
  begin()[size_] = {symbol, 1};
  ++size_;
}

void Context::remove(std::size_t at) {
  Follower* const first = begin();
  std::copy(first + at + 1, first + size_, first + at);
  --size_;
}

void Context::halve() {
  total_ = 0;
  Follower* const first = begin();
  std::uint8_t kept = 0;
  for (std::uint8_t i = 0; i < size_; ++i) {
    const float half = first[i].count * 0.5F;
    if (half >= 0.3F) {
      total_ += half;
      first[kept++] = {first[i].symbol, half};
    }
  }
  size_ = kept;
  distinct_ = kept;
}

double Context::count(Key symbol) const {
  for (const Follower& each : followers()) {
    if (each.symbol == symbol) {
      return each.count;
    }
  }
  return 0;
}

void LearnedContexts::prefetch(std::span<const Key> contexts) const {
  for (const Key context : contexts) {
    contexts_.prefetch_slot(context);
  }
  for (const Key context : contexts) {
    contexts_.prefetch_entry(context);
  }
  for (const Key context : contexts) {
    if (const Context* known = contexts_.find(context)) {
      known->prefetch();
    }
  }
}

void LearnedContexts::teach(std::span<const Key> contexts, Key symbol) {
  prefetch(contexts);
  for (const Key context : contexts) {
    if (door_.lets_in(contexts_, context)) {
      contexts_.touch(context).teach(symbol);
    }
  }
}

void LearnedContexts::find(std::span<const Key> contexts, std::span<const Context*> found) const {
  FORERUN_ASSERT(found.size() == contexts.size());
  prefetch(contexts);
  std::transform(contexts.begin(), contexts.end(), found.begin(),
                 [this](Key context) { return contexts_.find(context); });
}

std::vector<Likely> LearnedContexts::likely(std::span<const Key> contexts,
                                            std::span<const Likely> prior,
                                            const ContextTrust* trust) const {
  prefetch(contexts);
  std::vector<Likely> blended;
  std::vector<float> counts;
  Places places;
  std::size_t context_at = 0;
  for (const Key key : contexts) {
    if (context_at++ == 1 && !prior.empty()) {
      blend_in(prior, blended, places);
    }
    const Context* context = contexts_.find(key);
    if (context == nullptr || !(context->total() > 0)) {
      continue;
    }
    FORERUN_ASSERT(blended.size() + followers_max < Places::slots);
    const double unseen = unseen_by(*context, context_at - 1, trust);
    const double scale = 1 / (context->total() + unseen);
    const std::size_t known = blended.size();
    counts.assign(known, 0);
    for (const Context::Follower& follower : context->followers()) {
      const std::size_t at = places.find_or_put(blended, follower.symbol);
      if (at < known) {
        counts[at] = follower.count;
      } else {
        blended.push_back({follower.symbol, follower.count * scale});
      }
    }
    for (std::size_t i = 0; i < known; ++i) {
      blended[i].probability = (counts[i] + unseen * blended[i].probability) * scale;
    }
  }
  return blended;
}

PriorShare share_of(std::span<const Likely> prior, Key symbol) {
  PriorShare share;
  for (const Likely& each : prior) {
    share.all += each.probability;
    share.its += each.symbol == symbol ? each.probability : 0;
  }
  return share;
}

std::vector<LearnedContexts::Said> LearnedContexts::said_of(Key symbol,
                                                            std::span<const Key> contexts,
                                                            std::span<const Likely> prior,
                                                            const ContextTrust* trust) const {
  std::vector<Said> said;
  // What one more says leaves less of all before it.
  const auto add = [&said](const Said& next, double left) {
    for (Said& each : said) {
      each.weight *= left;
    }
    said.push_back(next);
  };
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    if (i == 1 && !prior.empty()) {
      const auto [all, its] = share_of(prior, symbol);
      add({of_prior, all, its, all}, 1 - all);
    }
    const Context* context = contexts_.find(contexts[i]);
    if (context != nullptr && context->total() > 0) {
      const double unseen = unseen_by(*context, i, trust);
      const double scale = 1 / (context->total() + unseen);
      add({i, context->total(), context->count(symbol), context->total() * scale}, unseen * scale);
    }
  }
  return said;
}

}  // namespace forerun::prediction
