#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace forerun {

/// A SHA-256 value (FIPS 180-4). Orders bytewise.
struct Digest {
  std::array<std::uint8_t, 32> bytes{};
  friend auto operator<=>(const Digest&, const Digest&) = default;
};

std::string to_hex(const Digest& digest);
/// Errors: invalid unless exactly 64 hex digits.
Result<Digest> digest_from_hex(std::string_view text);

/// SHA-256 of the concatenation of `parts`. Thread-safe.
Digest sha256(std::string_view bytes);
Digest sha256(std::span<const std::uint8_t> bytes);
Digest sha256_concat(std::span<const std::uint8_t> first, std::string_view second);
Digest sha256_concat(std::uint8_t prefix, std::span<const std::uint8_t> first,
                     std::span<const std::uint8_t> second);

/// Bytes of text, for the overloads above.
inline std::span<const std::uint8_t> as_bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace forerun
