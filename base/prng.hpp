#pragma once

#include <cstdint>

namespace forerun {

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, equal on every machine. Not for secrets.
class Prng {
public:
  explicit Prng(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next();
  /// Uniform in [0, bound). @pre bound > 0.
  std::uint64_t below(std::uint64_t bound);
  /// Uniform in [0, 1).
  double unit();
  bool chance(double probability) { return unit() < probability; }
  /// Lognormal with the given median and sigma of the logarithm; for modelled latencies, never for
  /// what is hashed.
  double lognormal(double median, double sigma);

private:
  std::uint64_t state_;
};

}  // namespace forerun
