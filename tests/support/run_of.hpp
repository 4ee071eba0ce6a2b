#pragma once

#include <cstdint>

#include "speculation/ids.hpp"

namespace forerun::test {

/// A run of nobody in particular, told from others by its number.
inline RunId run(std::uint64_t counter) {
  RunId id;
  id.counter = counter;
  return id;
}

}  // namespace forerun::test
