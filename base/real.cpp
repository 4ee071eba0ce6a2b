#include "base/real.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>

namespace forerun::real {
namespace {

// The first has zeros at its end, so that its product with an exponent is exact; both together are
// ln 2 to twice the precision of a double.
constexpr double ln2_high = 0x1.62e42feep-1;
constexpr double ln2_low = 0x1.a39ef35793c76p-33;

constexpr std::size_t log_terms = 10;    // 0.1716^22 / 23 < 2^-60.
constexpr std::size_t exp_terms = 14;    // 0.3466^15 / 15! < 2^-62.
constexpr std::size_t circle_terms = 9;  // (π / 4)^18 / 18! < 2^-57.

/// 1/3, 1/5, 1/7, …
constexpr auto odd_fractions = [] {
  std::array<double, log_terms> made{};
  for (std::size_t i = 0; i < made.size(); ++i) {
    made[i] = 1.0 / static_cast<double>(2 * i + 3);
  }
  return made;
}();

/// 1/1!, 1/2!, 1/3!, …
constexpr auto inverse_factorials_from_1 = [] {
  std::array<double, 2 * circle_terms> made{};
  double factorial = 1;  // Up to 18!, which a double holds exactly.
  for (std::size_t i = 0; i < made.size(); ++i) {
    factorial *= static_cast<double>(i + 1);
    made[i] = 1.0 / factorial;
  }
  return made;
}();
static_assert(exp_terms <= inverse_factorials_from_1.size());

constexpr int exponent_bias = 1023;
constexpr std::uint64_t mantissa_mask = (std::uint64_t{1} << 52U) - 1;

/// The bits of 2 to a power that a normal number has.
std::uint64_t power_bits(int power) {
  return static_cast<std::uint64_t>(power + exponent_bias) << 52U;
}

/// c[0] + c[1] x + c[2] x² + …, the even and the odd terms side by side, as a processor likes it.
template <std::size_t Terms, std::size_t N>
double polynomial(const std::array<double, N>& coefficients, double x) {
  static_assert(Terms % 2 == 0 && Terms <= N);
  const double square = x * x;
  double even = 0;
  double odd = 0;
  for (std::size_t i = Terms; i > 0; i -= 2) {
    odd = coefficients[i - 1] + square * odd;
    even = coefficients[i - 2] + square * even;
  }
  return even + x * odd;
}

/// Cosine and sine of an angle in radians. @pre |angle| <= π / 4.
double small_cosine(double angle) {
  const double square = angle * angle;
  double sum = 0;
  for (std::size_t i = circle_terms; i-- > 0;) {
    sum = inverse_factorials_from_1[2 * i + 1] - square * sum;
  }
  return 1 - square * sum;
}
double small_sine(double angle) {
  const double square = angle * angle;
  double sum = 0;
  for (std::size_t i = circle_terms; i-- > 0;) {
    sum = inverse_factorials_from_1[2 * i] - square * sum;
  }
  return angle * sum;
}

}  // namespace

double log(double value) {
  const auto bits =
      std::bit_cast<std::uint64_t>(std::max(value, std::numeric_limits<double>::min()));
  int exponent = static_cast<int>(bits >> 52U) - exponent_bias;
  double mantissa = std::bit_cast<double>((bits & mantissa_mask) | power_bits(0));  // From 1 to 2.
  if (mantissa > std::numbers::sqrt2) {
    mantissa /= 2;
    ++exponent;
  }
  // log m = 2 artanh((m - 1) / (m + 1)), and m - 1 is exact. Written as f - s (f - the series), so
  // that what is rounded is small beside f.
  const double f = mantissa - 1;
  const double s = f / (2 + f);
  const double square = s * s;
  const double series = 2 * square * polynomial<log_terms>(odd_fractions, square);
  const double whole = exponent;
  return whole * ln2_high - ((s * (f - series) - whole * ln2_low) - f);
}

double log1p(double value) {
  const double sum = 1 + value;
  return sum == 1 ? value : log(sum) * (value / (sum - 1));
}

double exp(double value) {
  if (std::isnan(value)) {
    return value;
  }
  if (value < -708) {
    return 0;
  }
  if (value > 709) {
    return std::numeric_limits<double>::infinity();
  }
  const double in_powers = value * std::numbers::log2e;
  const int power = static_cast<int>(in_powers + (in_powers < 0 ? -0.5 : 0.5));
  const double whole = power;
  const double rest = (value - whole * ln2_high) - whole * ln2_low;
  // 1 last, since the rest is small beside it.
  const double less_one = rest * polynomial<exp_terms>(inverse_factorials_from_1, rest);
  return (1 + less_one) * std::bit_cast<double>(power_bits(power));
}

double pow(double base, double exponent) {
  return exp(exponent * log(base));
}

double cos_of_turns(double turns) {
  const double quarters = turns * 4;
  const double nearest = std::floor(quarters + 0.5);
  const double angle = (quarters - nearest) * (std::numbers::pi / 2);
  switch (static_cast<int>(nearest) % 4) {
    case 0:
      return small_cosine(angle);
    case 1:
      return -small_sine(angle);
    case 2:
      return -small_cosine(angle);
    default:
      return small_sine(angle);
  }
}

}  // namespace forerun::real
