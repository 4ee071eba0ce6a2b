#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace forerun {

void assertion_failed(const char* fact, const char* file, int line) {
  std::fprintf(stderr, "forerun: %s:%d: assertion failed: %s\n", file, line, fact);
  std::abort();
}

}  // namespace forerun
