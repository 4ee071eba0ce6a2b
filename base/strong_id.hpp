#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace forerun {

/// An integer that cannot be mistaken for another kind of integer. `Tag` is any unique type.
template <class Tag, class Number = std::uint64_t>
struct StrongId {
  Number value = 0;
  friend auto operator<=>(const StrongId&, const StrongId&) = default;
};

template <class Tag, class Number>
std::string to_string(StrongId<Tag, Number> id) {
  return std::to_string(id.value);
}

}  // namespace forerun
