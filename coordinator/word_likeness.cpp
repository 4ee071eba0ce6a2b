#include "coordinator/word_likeness.hpp"

#include <bit>

namespace forerun::prediction {

namespace {

constexpr std::uint32_t edge = 0;
constexpr std::uint32_t letters = 40;

std::uint32_t number_of(char c) {
  if (c >= 'a' && c <= 'z') {
    return static_cast<std::uint32_t>(c - 'a') + 1;
  }
  if (c >= 'A' && c <= 'Z') {
    return static_cast<std::uint32_t>(c - 'A') + 1;
  }
  return c >= '0' && c <= '9' ? static_cast<std::uint32_t>(c - '0') + 27 : 37;
}

}  // namespace

WordPairs pairs_of(std::string_view word) {
  WordPairs pairs;
  std::uint32_t before = edge;
  const auto add = [&](std::uint32_t letter) {
    // 1,600 pairs share 256 bits; words are short.
    const std::uint32_t bit = (before * letters + letter) * 2654435761U >> 24U;
    pairs.bits[bit / 64] |= std::uint64_t{1} << (bit % 64);
    before = letter;
  };
  for (const char c : word) {
    if (c != '_') {
      add(number_of(c));
    }
  }
  add(edge);
  for (const std::uint64_t each : pairs.bits) {
    pairs.count += static_cast<std::uint32_t>(std::popcount(each));
  }
  return pairs;
}

double likeness(const WordPairs& a, const WordPairs& b) {
  int both = 0;
  for (std::size_t i = 0; i < a.bits.size(); ++i) {
    both += std::popcount(a.bits[i] & b.bits[i]);
  }
  return 2.0 * both / static_cast<double>(a.count + b.count);
}

}  // namespace forerun::prediction
