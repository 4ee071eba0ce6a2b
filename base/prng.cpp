#include "base/prng.hpp"

#include <cmath>

#include "base/assert.hpp"
#include "base/real.hpp"

namespace forerun {

std::uint64_t Prng::next() {
  state_ += 0x9E3779B97F4A7C15U;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

std::uint64_t Prng::below(std::uint64_t bound) {
  FORERUN_ASSERT(bound > 0);
  // Values under 2^64 mod bound would make the low residues likelier; at least half of all values
  // pass.
  const std::uint64_t biased = (0 - bound) % bound;
  std::uint64_t value = next();
  while (value < biased) {
    value = next();
  }
  return value % bound;
}

double Prng::unit() {
  return static_cast<double>(next() >> 11U) * 0x1.0p-53;
}

double Prng::lognormal(double median, double sigma) {
  // Box-Muller; 1 - unit() is never 0. Always two draws, so that a sequence does not depend on
  // sigma.
  const double radius = std::sqrt(-2.0 * real::log(1.0 - unit()));
  const double normal = radius * real::cos_of_turns(unit());
  return median * real::exp(sigma * normal);
}

}  // namespace forerun
