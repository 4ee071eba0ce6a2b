#include "coordinator/context_trust.hpp"

#include <catch2/catch.hpp>

#include "base/prng.hpp"
#include "base/real.hpp"

using namespace forerun;
using namespace forerun::prediction;

namespace {

/// A label tells what follows; the second context knows the label, the third a random number too.
struct Played {
  LearnedContexts contexts{100'000};
  ContextTrust trust;
  Prng prng{7};

  struct Place {
    std::array<Key, 3> keys;
    Key follows = 0;
  };
  Place next(bool third_tells) {
    const Key label = prng.below(3), other = prng.below(60);
    const Key told = third_tells ? mix(label, other) % 7 : label;
    return {{1, mix(2, label), mix(3, label, other)},
            prng.below(5) == 0 ? 900 + prng.below(4) : told};
  }
  void learn(const Place& place) {
    std::array<const Context*, 3> found;
    contexts.find(place.keys, found);
    trust.learn(found, {}, place.follows);
    contexts.teach(place.keys, place.follows);
  }
  double share(const Place& place, const ContextTrust* by) const {
    for (const Likely& each : contexts.likely(place.keys, {}, by)) {
      if (each.symbol == place.follows) {
        return each.probability;
      }
    }
    return 0;
  }
  /// How well it is foretold what comes, as mean logarithms: by learned trust and by none.
  std::array<double, 2> told(bool third_tells) {
    std::array<double, 2> sums{};
    constexpr int first = 2'000, all = 6'000;
    for (int i = 0; i < all; ++i) {
      const Place place = next(third_tells);
      if (i >= first) {
        sums[0] += real::log(std::max(share(place, &trust), 1e-3));
        sums[1] += real::log(std::max(share(place, nullptr), 1e-3));
      }
      learn(place);
    }
    return {sums[0] / (all - first), sums[1] / (all - first)};
  }
};

}  // namespace

TEST_CASE("contexts that know more than what matters are believed less", "[context_trust]") {
  Played played;
  const auto [learned, alike] = played.told(false);
  CHECK(learned > alike + 0.02);
}

TEST_CASE("contexts that alone know what matters are believed", "[context_trust]") {
  Played played;
  const auto [learned, alike] = played.told(true);
  CHECK(learned > alike - 0.01);
}

TEST_CASE("what each context says and its weight add up to what all say", "[context_trust]") {
  Played played;
  played.told(false);
  for (int i = 0; i < 20; ++i) {
    const Played::Place place = played.next(false);
    double sum = 0;
    for (const LearnedContexts::Said& said :
         played.contexts.said_of(place.follows, place.keys, {}, &played.trust)) {
      sum += said.weight * said.followed / said.times;
    }
    CHECK(sum == Approx(played.share(place, &played.trust)));
  }
}
