#pragma once

#include <cstdint>
#include <string>

#include "base/time.hpp"
#include "node/executors/http_request.hpp"
#include "speculation/catalog.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

inline constexpr Duration http_backoff_first = std::chrono::milliseconds(100);
inline constexpr Duration http_retry_after_max = std::chrono::seconds(60);

/// How one attempt ended.
struct HttpAttempt {
  enum class End {
    answered,       ///< Whole, or as much as was wanted.
    no_connection,  ///< Nothing was sent.
    impossible,     ///< Nor will it be: a certificate that does not hold, for example.
    broken,         ///< Sent at least in part, and not answered whole.
  };
  End end = End::answered;
  HttpHead head{};
  std::string problem{};  ///< Of one that was not answered.
};

/// What follows from it.
struct HttpVerdict {
  enum class What {
    read,   ///< Read the answer.
    again,  ///< Ask again, `after` a pause.
    failed,
    unknown,   ///< It may have taken effect.
    too_late,  ///< It would have to be sent again, but not before the deadline.
  };
  What what = What::read;
  Duration after{};
  std::string cause{};  ///< Of the last three.
};

/// Decides by what the task may do: only what did not reach the endpoint, or what it said that it
/// did not take (429, 503), is sent again, at most `retries` times, and never a `write` that is not
/// `idempotent`. `attempt` counts from 1; `left` is the time until the deadline: a pause that is
/// not over by then would hold slot and pool for nothing.
HttpVerdict verdict_on(const Task& task, const HttpAttempt& ended, std::uint32_t attempt,
                       Duration left);

}  // namespace forerun
