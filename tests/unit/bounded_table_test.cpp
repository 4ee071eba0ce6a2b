#include "coordinator/prediction_hash.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace forerun::prediction;

TEST_CASE("a bounded table keeps what was learned last, wherever its slots lie",
          "[bounded_table]") {
  constexpr Key limit = 50;
  BoundedTable<Key> table(limit);
  // Keys that share their low bits meet in the slots.
  const auto key = [](Key n) { return (n % 7) + (n << 20U); };
  for (Key n = 0; n < 1'000; ++n) {
    table.touch(key(n)) = n;
    table.touch(key(n < 10 ? 0 : n / 10 * 10)) = n < 10 ? 0 : n / 10 * 10;
    for (Key seen = 0; seen <= n; ++seen) {
      const Key* found = table.find(key(seen));
      if (n < limit) {
        REQUIRE(found != nullptr);
      }
      if (found != nullptr) {
        REQUIRE(*found == seen);
      }
    }
    REQUIRE(table.find(key(n)) != nullptr);
    REQUIRE(table.size() <= limit);
  }
  // Forty-nine others may be younger than it; twice as many push it out for certain.
  CHECK(table.find(key(990)) != nullptr);
  CHECK(table.find(key(880)) == nullptr);
}

TEST_CASE("what comes once pushes nothing out of a full table, what comes twice gets in",
          "[bounded_table]") {
  constexpr Key limit = 64;
  BoundedTable<Key> table(limit);
  Doorkeeper door;
  const auto come = [&](Key key) {
    const bool is_in = door.lets_in(table, key);
    if (is_in) {
      table.touch(key) = key;
    }
    return is_in;
  };
  for (Key n = 0; n < limit; ++n) {
    REQUIRE(come(mix(1, n)));
  }
  CHECK_FALSE(come(mix(2, 0)));
  CHECK(come(mix(2, 0)));
  CHECK(table.find(mix(2, 0)) != nullptr);
  Key let_in = 0;
  for (Key n = 0; n < 1'000; ++n) {
    let_in += come(mix(3, n)) ? 1 : 0;
  }
  CHECK(let_in < 250);  // Those that share a mark with another.
  CHECK(table.size() == limit);
}

TEST_CASE("a full table is probed as shortly as a filling one, however much has gone through it",
          "[bounded_table]") {
  // Between two doublings: 18,000 of 32,768 slots.
  constexpr Key limit = 18'000;
  BoundedTable<Key> table(limit);
  const auto mean_probes = [&](Key first, Key count) {
    std::size_t probes = 0;
    for (Key n = first; n < first + count; ++n) {
      probes += table.probes(mix(1, n));
    }
    return static_cast<double>(probes) / static_cast<double>(count);
  };
  for (Key n = 0; n < limit; ++n) {
    table.touch(mix(0, n));
  }
  // Keys that are absent are looked for longest: up to a free slot.
  const double filled = mean_probes(0, limit);
  double longest = 0;
  for (Key n = 0; n < 8 * limit; ++n) {
    table.touch(mix(2, n));
    if (n % 500 == 0) {
      longest = std::max(longest, mean_probes(n, 1'000));
    }
  }
  CHECK(filled < 4);
  CHECK(longest < 1.5 * filled);
}
