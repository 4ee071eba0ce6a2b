#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace forerun {

/// An RFC 9562 UUID. Text form is lowercase with hyphens.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};
  friend auto operator<=>(const Uuid&, const Uuid&) = default;

  /// Errors: invalid unless 36 characters, hyphens in place, lowercase hexadecimal.
  static Result<Uuid> parse(std::string_view text);
  /// A version 4 UUID from 16 random bytes.
  static Uuid from_random(std::array<std::uint8_t, 16> random);
  /// A version 4 UUID from the operating system's randomness.
  static Uuid random();
};

std::string to_string(const Uuid& uuid);

}  // namespace forerun
