#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"

namespace forerun {

/// A problem document before it is written (RFC 9457; docs/http.md lists the names).
struct Problem {
  unsigned status = 400;
  std::string_view name = "invalid-request";  ///< A literal: the end of the problem's type.
  std::string detail;                         ///< For people; may hold any bytes.
  std::string_view allow = {};                ///< With 405: a literal list of methods.
  std::optional<Duration> retry_after = {};   ///< With 503.
  bool closes = false;  ///< Where the next request begins is unknown: the connection must end.
};

}  // namespace forerun
