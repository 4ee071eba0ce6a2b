#pragma once

#include <string>

#include "base/result.hpp"
#include "cluster/keys.hpp"

namespace forerun::wiring {

/// Tries, from a context of its own, whether a server lets `own` in. Errors: io when it answers
/// neither way in time.
Result<bool> lets_in(const std::string& host, std::uint16_t port, const CurveKeyPair& own,
                     const CurveKey& server, bool is_publisher);

/// Proves on both ports of a coordinator that strangers stay out, and that this test can tell: a
/// new random key must be refused, `allowed` must get in. Errors: refused, naming the port; io.
Result<void> prove_strangers_stay_out(const std::string& host, std::uint16_t port,
                                      std::uint16_t publish_port, const CurveKeyPair& allowed,
                                      const CurveKey& server);

}  // namespace forerun::wiring
