#pragma once

#include <array>
#include <cstddef>

/// How far what was stated came true, and what may be stated for that.
namespace forerun::prediction {

/// Nothing learned is certain.
inline constexpr double probability_max = 0.995;
/// What is stated at sure_from and more came true so often as it says, or it is stated just below.
inline constexpr double sure_from = 0.9;

/// How far stated probabilities came true, in bins by what was stated. Pure; constant size.
class Reliability {
public:
  static constexpr std::size_t bins = 10;
  struct Bin {
    double expected = 0, came = 0;

    double correction() const;
    void learn(double probability, bool has_come);
  };

  static std::size_t bin_of(double probability);
  const Bin& bin(std::size_t at) const { return bins_[at]; }
  void learn(double probability, bool has_come) {
    bins_[bin_of(probability)].learn(probability, has_come);
  }
  /// What a stated probability is worth by these records.
  double corrected(double probability) const;

private:
  std::array<Bin, bins> bins_{};
};

/// How much of what was nearly certain came true.
class SureRecord {
public:
  struct Bin {
    double tries = 0, came = 0;
  };

  /// @pre probability >= sure_from
  const Bin& bin(double probability) const { return bins_[bin_of(probability)]; }
  /// @pre probability >= sure_from
  void learn(double probability, bool has_come);
  /// Enough came true: by one standard error, so not before about twenty did in a row.
  /// @pre probability >= sure_from
  bool holds(double probability) const;

private:
  static std::size_t bin_of(double probability) {
    return probability < 0.95 ? 0 : probability < 0.98 ? 1 : 2;
  }
  std::array<Bin, 3> bins_{};
};

/// What is stated as nearly certain is stated as its lower bound after so many calls (one-sided,
/// 90 %, by the normal approximation of a share's error). Well below sure_from nothing is taken
/// off, from there on all of it.
double doubted(double probability, double calls);

/// From what is ranked to what is stated.
struct Stating {
  double corrected = 0;  ///< By how far such probabilities came true.
  double bounded = 0;    ///< The lower bound of that, where it is nearly certain.
  double allowed = 0;    ///< A correction upwards makes no form surer than its calls allow.
  double stated = 0;     ///< Just below sure_from where too little of what was so sure came true.
};
/// Of a call whose form had so many `calls`, which allow at most `allowed_by_calls`.
Stating state(double ranked, double calls, double allowed_by_calls, const Reliability& reliability,
              const SureRecord& sure);

}  // namespace forerun::prediction
