#pragma once

namespace forerun {

/// Prints the failed fact to stderr and aborts. Never returns.
[[noreturn]] void assertion_failed(const char* fact, const char* file, int line);

}  // namespace forerun

/// States what cannot be otherwise; on in every build. Bytes from outside must never reach one.
#define FORERUN_ASSERT(fact)                                  \
  do {                                                        \
    if (!(fact)) [[unlikely]] {                               \
      ::forerun::assertion_failed(#fact, __FILE__, __LINE__); \
    }                                                         \
  } while (false)
