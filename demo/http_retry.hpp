#pragma once

#include <functional>
#include <string>

#include "base/result.hpp"
#include "demo/http_client.hpp"

namespace forerun {

/// Asks, and asks again after 503 and, when asking twice has the effect of asking once, after a cut
/// connection: at most 8 times, with growing pauses and as Retry-After says. A status of 400 and
/// above is an error then, in the server's own words: not_found (404), too_large (413), refused
/// (409, 410, 422, 503), io (other 5xx), invalid. `place` names the request in errors.
Result<HttpAnswer> ask_again(const std::string& place, bool is_repeatable,
                             const std::function<Result<HttpAnswer>()>& ask);

}  // namespace forerun
