#include "coordinator/learned_contexts.hpp"

#include <algorithm>

namespace forerun::prediction {

namespace {

constexpr double total_max = 256;
constexpr std::size_t followers_max = 64;
/// How much a context's different followers count against it.
constexpr double doubt = 0.6;

}  // namespace

void Context::teach(Key symbol) {
  total += 1;
  const auto found = std::find_if(followers.begin(), followers.end(),
                                  [&](const Follower& each) { return each.symbol == symbol; });
  if (found != followers.end()) {
    found->count += 1;
  } else {
    if (followers.size() >= followers_max) {
      const auto least =
          std::min_element(followers.begin(), followers.end(),
                           [](const Follower& a, const Follower& b) { return a.count < b.count; });
      total -= least->count;
      followers.erase(least);
    } else {
      distinct += 1;
    }
    followers.push_back({symbol, 1});
  }
  if (total > total_max) {
    total = 0;
    for (Follower& each : followers) {
      each.count *= 0.5;
      total += each.count;
    }
    std::erase_if(followers, [&](const Follower& each) {
      const bool is_forgotten = each.count < 0.3;
      total -= is_forgotten ? each.count : 0;
      return is_forgotten;
    });
    distinct = static_cast<double>(followers.size());
  }
}

double Context::count(Key symbol) const {
  for (const Follower& each : followers) {
    if (each.symbol == symbol) {
      return each.count;
    }
  }
  return 0;
}

double Context::most() const {
  double most = 0;
  for (const Follower& each : followers) {
    most = std::max(most, each.count);
  }
  return most;
}

void LearnedContexts::teach(std::span<const Key> contexts, Key symbol) {
  for (const Key context : contexts) {
    contexts_.touch(context).teach(symbol);
  }
}

std::vector<Likely> LearnedContexts::likely(std::span<const Key> contexts) const {
  std::vector<Likely> blended;
  for (const Key key : contexts) {
    const Context* context = contexts_.find(key);
    if (context == nullptr || !(context->total > 0)) {
      continue;
    }
    const double unseen = doubt * context->distinct;
    const double scale = 1 / (context->total + unseen);
    for (Likely& each : blended) {
      each.probability = (context->count(each.symbol) + unseen * each.probability) * scale;
    }
    const std::size_t known = blended.size();
    for (const Context::Follower& follower : context->followers) {
      const auto end = blended.begin() + static_cast<std::ptrdiff_t>(known);
      if (std::none_of(blended.begin(), end,
                       [&](const Likely& each) { return each.symbol == follower.symbol; })) {
        blended.push_back({follower.symbol, follower.count * scale});
      }
    }
  }
  return blended;
}

}  // namespace forerun::prediction
