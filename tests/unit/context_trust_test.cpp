#include "coordinator/context_trust.hpp"

#include <catch2/catch.hpp>

#include "base/prng.hpp"

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
            prng.below(10) == 0 ? 900 + prng.below(50) : told};
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
  /// Means over the likely ones, by learned trust and by none.
  std::array<double, 2> shares(bool third_tells) {
    std::array<double, 2> sums{};
    std::size_t count = 0;
    for (int i = 0; i < 4'000; ++i) {
      const Place place = next(third_tells);
      if (i >= 2'000 && place.follows < 900) {
        sums[0] += share(place, &trust);
        sums[1] += share(place, nullptr);
        ++count;
      }
      learn(place);
    }
    return {sums[0] / static_cast<double>(count), sums[1] / static_cast<double>(count)};
  }
};

}  // namespace

TEST_CASE("contexts that know more than what matters are believed less", "[context_trust]") {
  Played played;
  const auto [learned, alike] = played.shares(false);
  CHECK(learned > 0.88);
  CHECK(learned > alike + 0.02);
}

TEST_CASE("contexts that alone know what matters are believed", "[context_trust]") {
  Played played;
  const auto [learned, alike] = played.shares(true);
  CHECK(learned > alike - 0.01);
}

TEST_CASE("what each context says and its weight add up to what all say", "[context_trust]") {
  Played played;
  played.shares(false);
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
