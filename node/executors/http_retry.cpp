#include "node/executors/http_retry.hpp"

#include <algorithm>

#include "base/formatted.hpp"

namespace forerun {
namespace {

using End = HttpAttempt::End;
using What = HttpVerdict::What;

constexpr int too_many_requests = 429;
constexpr int bad_gateway = 502;
constexpr int unavailable = 503;
constexpr int gateway_timeout = 504;

Duration backoff(std::uint32_t attempt) {
  return http_backoff_first * (1U << (attempt - 1));  // retries are at most http_retries_max.
}

std::string seconds(Duration duration) {
  return formatted("%.1f s", milliseconds_of(duration) / 1000);
}

/// Why it is not sent again after a pause of that length.
std::string no_time(const HttpAttempt& ended, Duration after, Duration left) {
  const std::string what = ended.end == End::answered
                               ? "status " + std::to_string(ended.head.status)
                               : ended.problem;
  return what + (ended.head.retry_after ? ": the endpoint asks to wait " : ": to be sent again in ") +
         seconds(after) + ", and its deadline is in " + seconds(std::max(left, Duration::zero()));
}

}  // namespace

HttpVerdict verdict_on(const Task& task, const HttpAttempt& ended, std::uint32_t attempt,
                       Duration left) {
  const int status = ended.end == End::answered ? ended.head.status : 0;
  const bool is_write = task.effect == Effect::write;
  if (ended.end == End::broken) {
    return {is_write ? What::unknown : What::failed, {}, ended.problem};
  }
  if (is_write && (status == bad_gateway || status == gateway_timeout)) {
    return {What::unknown, {}, "status " + std::to_string(status) + " of a gateway"};
  }
  const bool was_not_taken =
      ended.end == End::no_connection || status == too_many_requests || status == unavailable;
  const bool may_be_sent_again = (!is_write || task.idempotent) && attempt <= task.http.retries;
  if (was_not_taken && may_be_sent_again) {
    const Duration after = ended.head.retry_after.value_or(backoff(attempt));
    if (after >= left) {
      return {What::too_late, {}, no_time(ended, after, left)};
    }
    if (after <= http_retry_after_max) {
      return {What::again, after, {}};
    }
  }
  return ended.end == End::answered ? HttpVerdict{} : HttpVerdict{What::failed, {}, ended.problem};
}

}  // namespace forerun
