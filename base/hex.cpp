#include "base/hex.hpp"

#include <algorithm>
#include <array>

namespace forerun {

namespace {

/// Both digits of every byte.
constexpr auto digit_pairs = [] {
  constexpr char digits[] = "0123456789abcdef";
  std::array<std::array<char, 2>, 256> pairs{};
  for (std::size_t byte = 0; byte < pairs.size(); ++byte) {
    pairs[byte] = {digits[byte >> 4U], digits[byte & 15U]};
  }
  return pairs;
}();

constexpr std::uint8_t no_digit = 0xFF;

/// The value of every character that is a digit.
constexpr auto digit_values = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(no_digit);
  for (std::uint8_t i = 0; i < 10; ++i) {
    values[static_cast<std::size_t>('0') + i] = i;
  }
  for (std::uint8_t i = 0; i < 6; ++i) {
    values[static_cast<std::size_t>('a') + i] = static_cast<std::uint8_t>(10 + i);
    values[static_cast<std::size_t>('A') + i] = static_cast<std::uint8_t>(10 + i);
  }
  return values;
}();

}  // namespace

void append_hex(std::string& out, std::span<const std::uint8_t> bytes) {
  const std::size_t from = out.size();
  out.resize(from + bytes.size() * 2);
  char* to = out.data() + from;
  for (const std::uint8_t byte : bytes) {
    to = std::copy_n(digit_pairs[byte].data(), 2, to);
  }
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  append_hex(text, bytes);
  return text;
}

bool bytes_from_hex(std::string_view text, std::span<std::uint8_t> to) {
  if (text.size() != to.size() * 2) {
    return false;
  }
  std::uint8_t wrong = 0;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::uint8_t high = digit_values[static_cast<std::uint8_t>(text[2 * i])];
    const std::uint8_t low = digit_values[static_cast<std::uint8_t>(text[2 * i + 1])];
    wrong |= high | low;
    to[i] = static_cast<std::uint8_t>(high << 4U | low);
  }
  return (wrong & 0xF0U) == 0;
}

Result<std::vector<std::uint8_t>> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) {
    return fail(Errc::invalid, "hex: odd length " + std::to_string(text.size()));
  }
  std::vector<std::uint8_t> bytes(text.size() / 2);
  if (!bytes_from_hex(text, bytes)) {
    const auto wrong = std::ranges::find_if(
        text, [](char c) { return digit_values[static_cast<std::uint8_t>(c)] == no_digit; });
    return fail(Errc::invalid, "hex: byte " + std::to_string((wrong - text.begin()) / 2) +
                                   ": not two hexadecimal digits");
  }
  return bytes;
}

}  // namespace forerun
