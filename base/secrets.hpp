#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace forerun {

/// 32 bytes that nobody can guess, from the operating system's randomness.
std::array<std::uint8_t, 32> random_secret();

/// Whether both are the same bytes, in a time that depends on their length alone.
bool same_secret(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

}  // namespace forerun
