#pragma once

#include <cstdio>
#include <string>

namespace forerun {

/// One number in a printf format, at most 63 characters.
inline std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// A share as `12.3 %`.
inline std::string percent(double share) {
  return formatted("%.1f %%", share * 100);
}

}  // namespace forerun
