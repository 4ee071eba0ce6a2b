#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace forerun::prediction {

/// The pairs of letters of one word, without regard to case and underscores, with its beginning and
/// end: what words that are spelt alike share.
struct WordPairs {
  std::array<std::uint64_t, 4> bits{};
  std::uint32_t count = 0;
};

WordPairs pairs_of(std::string_view word);

/// 0 to 1: twice what both have over what each has (Dice 1945).
double likeness(const WordPairs& a, const WordPairs& b);

/// Calls `take(word, at)` for each run of letters, digits and underscores that begins with none of
/// the digits.
template <class Take>
void each_name(std::string_view text, Take take) {
  const auto is_part = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  std::size_t at = 0;
  while (at < text.size()) {
    if (!is_part(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at + 1;
    while (end < text.size() && is_part(text[end])) {
      ++end;
    }
    if (text[at] < '0' || text[at] > '9') {
      take(text.substr(at, end - at), at);
    }
    at = end;
  }
}

}  // namespace forerun::prediction
