#pragma once

#include <optional>
#include <string>
#include <variant>

#include "speculation/call.hpp"
#include "speculation/ids.hpp"

namespace forerun {

/// What the predictor is yet to be taught. In order; confirmed work never waits for it.
struct Lesson {
  struct Step {
    Call call;
    std::optional<Output> output;
  };
  struct End {};
  RunId run_id;
  std::string tenant;
  std::variant<std::string, Step, End> what;  ///< A text, a committed step, or the session's end.
};

}  // namespace forerun
