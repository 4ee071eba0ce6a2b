#pragma once

#include <span>
#include <vector>

#include "coordinator/prediction_hash.hpp"

namespace forerun::prediction {

/// A symbol (a form of call, an end, an output) and how likely it is next.
struct Likely {
  Key symbol = 0;
  double probability = 0;
};

/// What followed one context, and how often. Recent history counts more: all counts are halved when
/// they grow large.
struct Context {
  struct Follower {
    Key symbol = 0;
    double count = 0;
  };
  double total = 0;
  double distinct = 0;  ///< Followers seen so far, less those forgotten.
  std::vector<Follower> followers;

  void teach(Key symbol);
  double count(Key symbol) const;
  /// The largest count.
  double most() const;
};

/// Learned contexts of all tenants, a bounded number (the tenant is part of every key).
class LearnedContexts {
public:
  explicit LearnedContexts(std::size_t limit) : contexts_(limit) {}

  void teach(std::span<const Key> contexts, Key symbol);
  /// Blends the contexts, given from the most general to the most special: each keeps a share for
  /// what it has not seen, as large as it has seen different followers, and gives it to the one
  /// before. Sums to less than 1: the rest is for what nobody has seen. In no order that matters.
  std::vector<Likely> likely(std::span<const Key> contexts) const;
  const Context* find(Key context) const { return contexts_.find(context); }
  std::size_t size() const { return contexts_.size(); }

private:
  BoundedTable<Context> contexts_;
};

}  // namespace forerun::prediction
