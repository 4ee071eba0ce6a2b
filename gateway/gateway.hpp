#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "speculation/client_api.hpp"

namespace forerun {

struct GatewaySettings {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;                      ///< 0: the system chooses.
  std::size_t header_bytes_max = 16U << 10U;
  std::size_t body_bytes_max = 1U << 20U;
  std::size_t connections_max = 20'000;        ///< Also kept below the descriptor limit.
  std::size_t waiting_max = 50'000;            ///< Requests handed to the coordinator and not answered yet.
  Duration header_timeout = std::chrono::seconds(10);
  Duration body_timeout = std::chrono::seconds(30);
  Duration write_timeout = std::chrono::seconds(30);
  Duration idle_timeout = std::chrono::seconds(75);
};

struct GatewayPorts {
  /// A well-formed request; its answer comes later through Gateway::answer. Runs on the gateway's thread, must not block.
  std::function<void(ClientRequest)> submit;
  /// The client left: its wait is over, its step goes on.
  std::function<void(RequestId)> left;
};

/// HTTP/JSON in front of the coordinator (docs/http.md): one event loop on one thread, no decision.
class Gateway {
public:
  virtual ~Gateway() = default; ///< Closes the acceptor and idle connections, then ends the thread.
  /// Errors: io, naming the address.
  static Result<std::unique_ptr<Gateway>> start(const GatewaySettings& settings, GatewayPorts ports);
  virtual std::uint16_t port() const = 0;
  /// Thread-safe. An unknown or abandoned request is ignored.
  virtual void answer(ClientResponse response) = 0;
  /// Stops accepting; waiting requests are still answered, with `Connection: close`.
  virtual void drain() = 0;
};

} // namespace forerun
