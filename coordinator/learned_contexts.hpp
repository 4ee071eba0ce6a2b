#pragma once

#include <array>
#include <cstdint>
#include <memory>
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
/// they grow large. Most contexts have few followers: with these it fills one line of the
/// processor's cache.
class alignas(64) Context {
public:
  struct Follower {
    Key symbol = 0;
    float count = 0;
  };

  void teach(Key symbol);
  std::span<const Follower> followers() const { return {begin(), size_}; }
  double total() const { return total_; }
  /// Followers seen so far, less those forgotten.
  double distinct() const { return distinct_; }
  double count(Key symbol) const;
  /// How likely the symbol is, where it is `otherwise` by what knows less; `doubt`: how much the
  /// different followers count against the context (ContextTrust). @pre total() > 0
  double share(Key symbol, double otherwise, double doubt) const {
    const double unseen = doubt * distinct();
    return (count(symbol) + unseen * otherwise) / (total() + unseen);
  }
  /// Its followers are on their way from the machine's memory meanwhile.
  void prefetch() const {
    if (more_) {
      __builtin_prefetch(more_.get());
      __builtin_prefetch(more_.get() + 4);
    }
  }

private:
  static constexpr std::size_t inside_max = 3;

  const Follower* begin() const { return more_ ? more_.get() : inside_.data(); }
  Follower* begin() { return more_ ? more_.get() : inside_.data(); }
  void add(Key symbol);
  void remove(std::size_t at);
  void halve();

  std::array<Follower, inside_max> inside_{};
  std::unique_ptr<Follower[]> more_;  ///< All of them, once they were too many.
  float total_ = 0;
  std::uint8_t size_ = 0;
  std::uint8_t room_ = inside_max;
  std::uint16_t distinct_ = 0;
};

/// How likely a prior holds the symbol, and all that it names.
struct PriorShare {
  double all = 0, its = 0;
};
PriorShare share_of(std::span<const Likely> prior, Key symbol);

class ContextTrust;

/// Learned contexts of all tenants, a bounded number (the tenant is part of every key).
class LearnedContexts {
public:
  explicit LearnedContexts(std::size_t limit) : contexts_(limit) {}

  void teach(std::span<const Key> contexts, Key symbol);
  /// Blends the contexts, given from the most general to the most special: each keeps a share for
  /// what it has not seen, as large as it has seen different followers, and gives it to the one
  /// before. Sums to less than 1: the rest is for what nobody has seen. In no order that matters.
  /// What the `prior` says, in shares that sum to less than 1, stands between the first context and
  /// the others. `trust`: how far each is believed; none: all alike.
  std::vector<Likely> likely(std::span<const Key> contexts, std::span<const Likely> prior = {},
                             const ContextTrust* trust = nullptr) const;
  /// What likely() blends for one symbol: each context that was seen, as its place in the list, and
  /// the prior as `of_prior`. The sum of weight × followed / times is the symbol's probability.
  struct Said {
    std::size_t context = 0;
    double times = 0, followed = 0, weight = 0;
  };
  static constexpr std::size_t of_prior = SIZE_MAX;
  std::vector<Said> said_of(Key symbol, std::span<const Key> contexts,
                            std::span<const Likely> prior = {},
                            const ContextTrust* trust = nullptr) const;
  const Context* find(Key context) const { return contexts_.find(context); }
  /// What find() gives of each.
  void find(std::span<const Key> contexts, std::span<const Context*> found) const;
  std::size_t size() const { return contexts_.size(); }

private:
  void prefetch(std::span<const Key> contexts) const;

  BoundedTable<Context> contexts_;
  Doorkeeper door_;
};

}  // namespace forerun::prediction
