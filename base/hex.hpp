#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace forerun {

/// Lowercase hexadecimal, two digits a byte.
std::string to_hex(std::span<const std::uint8_t> bytes);
void append_hex(std::string& out, std::span<const std::uint8_t> bytes);

/// Reads exactly as many bytes as `to` has. False, with `to` in any state, when `text` is not twice
/// as many lowercase or uppercase hexadecimal digits.
bool bytes_from_hex(std::string_view text, std::span<std::uint8_t> to);
/// Reads lowercase or uppercase hexadecimal. Errors: invalid (odd length, other characters).
Result<std::vector<std::uint8_t>> from_hex(std::string_view text);

}  // namespace forerun
