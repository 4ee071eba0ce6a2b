#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"

namespace forerun {

struct HttpLoadResult {
  double per_s = 0;
  std::vector<float> latencies_us;
};

/// Confirms steps over HTTP for `time`, on `connections` connections that are kept alive, each with
/// a session of its own and one request on its way; all on the calling thread. Errors: io, also for
/// an answer that is not 200 or 201.
Result<HttpLoadResult> run_http_load(std::uint16_t port, std::size_t connections,
                                     std::size_t input_bytes, Duration time);

}  // namespace forerun
