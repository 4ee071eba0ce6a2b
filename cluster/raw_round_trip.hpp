#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "cluster/keys.hpp"

/// What the wire alone costs: requests and replies of fixed sizes between two processes over ZeroMQ
/// with CURVE, with the sockets' options of the bus. For measuring only; the server lets every key
/// in, answers with bytes that mean nothing, and listens on loopback.
namespace forerun {

/// Answers each request with `reply_bytes` bytes, for ever. Calls `ready` with its port first.
/// Errors: io.
Result<void> serve_raw_replies(std::size_t reply_bytes, const CurveKeyPair& server,
                               const std::function<void(std::uint16_t port)>& ready);

struct RawRoundTrips {
  std::vector<float> latencies_us;
  Duration time{};
};
/// Keeps `in_flight` requests of `request_bytes` on their way for `time`. Errors: io, also when no
/// reply comes within a second.
Result<RawRoundTrips> measure_raw_round_trips(std::uint16_t port, const CurveKey& server,
                                              std::size_t request_bytes, std::size_t in_flight,
                                              Duration time);

}  // namespace forerun
