#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "coordinator/argument_bindings.hpp"
#include "coordinator/call_form.hpp"

namespace forerun::prediction {

inline constexpr std::size_t values_per_parameter_max = 6;
inline constexpr std::size_t calls_per_form_max = 8;

/// What each parameter of a form may get, the likeliest first.
struct Values {
  std::vector<std::vector<Candidate>> of;
  MadeValues made;

  std::size_t size() const { return of.size(); }
  const std::vector<Candidate>& operator[](std::size_t parameter) const { return of[parameter]; }
};

/// One way to fill a form: which candidate each parameter takes.
struct Filling {
  std::array<std::uint8_t, parameters_per_call_max> chosen{};
  double share = 1;
  Key input_hash = 0;  ///< hash_input() of the call that it makes.
};

/// The best combinations of values, best first, at most calls_per_form_max.
class Fillings {
public:
  /// @pre at least one value for each parameter of the form
  Fillings(const Form& form, const Values& values, std::size_t size_max);
  const Filling* begin() const { return best_.data(); }
  const Filling* end() const { return best_.data() + size_; }
  const Filling& front() const { return best_.front(); }

private:
  void extend(std::size_t parameter, const std::vector<Candidate>& values, Key name);

  std::array<Filling, calls_per_form_max> best_{};
  std::size_t size_ = 1;
  std::size_t size_max_;
};

}  // namespace forerun::prediction
