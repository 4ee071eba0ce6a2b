#include "coordinator/fillings.hpp"

#include <algorithm>

namespace forerun::prediction {

namespace {

/// One value on top of a shorter combination.
struct Extension {
  std::size_t shorter = 0;
  std::size_t value = 0;
  double share = 1;
};
/// Both the shorter ones and the values are in order, so the n-th with the k-th is worse than n k
/// others.
constexpr std::size_t extensions_max = 20;  ///< The sum of 8 / n, rounded down.

}  // namespace

Fillings::Fillings(const Form& form, const Values& values, std::size_t size_max)
    : size_max_(std::min(size_max, calls_per_form_max)) {
  best_.front().input_hash = hash_object_start();
  for (std::size_t i = 0; i < values.size(); ++i) {
    extend(i, values[i], form.name_keys[i]);
  }
}

void Fillings::extend(std::size_t parameter, const std::vector<Candidate>& values, Key name) {
  std::array<Extension, extensions_max> extensions;
  std::size_t made = 0;
  for (std::size_t n = 0; n < size_; ++n) {
    const std::size_t count =
        std::min({values.size(), values_per_parameter_max, size_max_ / (n + 1)});
    for (std::size_t k = 0; k < count; ++k) {
      extensions[made++] = {n, k, best_[n].share * values[k].share};
    }
  }
  const std::size_t kept = std::min(made, size_max_);
  std::partial_sort(extensions.begin(), extensions.begin() + static_cast<std::ptrdiff_t>(kept),
                    extensions.begin() + static_cast<std::ptrdiff_t>(made),
                    [](const Extension& a, const Extension& b) {
                      return a.share != b.share       ? a.share > b.share
                             : a.shorter != b.shorter ? a.shorter < b.shorter
                                                      : a.value < b.value;
                    });
  std::array<Filling, calls_per_form_max> longer;
  for (std::size_t n = 0; n < kept; ++n) {
    const Extension& extension = extensions[n];
    Filling& filling = longer[n] = best_[extension.shorter];
    filling.chosen[parameter] = static_cast<std::uint8_t>(extension.value);
    filling.share = extension.share;
    filling.input_hash = mix(filling.input_hash, name, values[extension.value].hash);
  }
  best_ = longer;
  size_ = kept;
}

}  // namespace forerun::prediction
