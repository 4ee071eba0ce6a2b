#include "base/uuid.hpp"

#include <openssl/rand.h>

#include <span>

#include "base/assert.hpp"
#include "base/hex.hpp"

namespace forerun {
namespace {

constexpr std::size_t text_size = 36;

constexpr bool hyphen_at(std::size_t i) {
  return i == 8 || i == 13 || i == 18 || i == 23;
}

int lowercase_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

Result<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != text_size) {
    return fail(Errc::invalid, "uuid: " + std::to_string(text.size()) + " characters, expected " +
                                   std::to_string(text_size));
  }
  Uuid uuid;
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text_size; ++i) {
    if (hyphen_at(i)) {
      if (text[i] != '-') {
        return fail(Errc::invalid, "uuid: character " + std::to_string(i) + ": expected a hyphen");
      }
      continue;
    }
    const int digit = lowercase_digit(text[i]);
    if (digit < 0) {
      return fail(Errc::invalid, "uuid: character " + std::to_string(i) +
                                     ": expected a lowercase hexadecimal digit");
    }
    std::uint8_t& byte = uuid.bytes[digits / 2];
    byte = static_cast<std::uint8_t>(byte << 4U | static_cast<unsigned>(digit));
    ++digits;
  }
  return uuid;
}

Uuid Uuid::from_random(std::array<std::uint8_t, 16> random) {
  // RFC 9562 §5.4: version 4 in the high half of octet 6, variant 10 in the top bits of octet 8.
  random[6] = static_cast<std::uint8_t>((random[6] & 0x0FU) | 0x40U);
  random[8] = static_cast<std::uint8_t>((random[8] & 0x3FU) | 0x80U);
  return Uuid{random};
}

Uuid Uuid::random() {
  std::array<std::uint8_t, 16> bytes{};
  FORERUN_ASSERT(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1);
  return from_random(bytes);
}

std::string to_string(const Uuid& uuid) {
  const std::span<const std::uint8_t> bytes(uuid.bytes);
  std::string text;
  text.reserve(text_size);
  append_hex(text, bytes.first(4));
  for (std::size_t from = 4; from < 10; from += 2) {
    text.push_back('-');
    append_hex(text, bytes.subspan(from, 2));
  }
  text.push_back('-');
  append_hex(text, bytes.subspan(10));
  return text;
}

}  // namespace forerun
