#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "gateway/tokens.hpp"
#include "speculation/client_api.hpp"

namespace forerun {

struct GatewaySettings {
  std::string host = "127.0.0.1";    ///< An IP address, or `localhost`.
  std::uint16_t port = 0;            ///< 0: the system chooses.
  std::vector<std::string> names{};  ///< Besides its addresses: what clients may call this server.
  /// Who may ask what. Null: whoever reaches the address may ask anything, as tenant `default`.
  std::shared_ptr<const TokenTable> tokens{};
  std::string tls_certificate{};     ///< PEM file, the server's certificate first; empty: no TLS.
  std::string tls_key{};             ///< PEM file without a passphrase.
  bool is_behind_tls_proxy = false;  ///< What comes from other hosts has come through TLS already.
  std::size_t header_bytes_max = 16U << 10U;
  std::size_t body_bytes_max = 1U << 20U;
  /// Also kept below the descriptor limit. When all are taken, the one idle longest makes room.
  std::size_t connections_max = 20'000;
  std::size_t connections_per_peer_max = 0;  ///< Of an IPv4 address, of an IPv6 /64; 0: no bound.
  /// Of the connections that there may be, at least one, of bodies_bytes_max, and of
  /// unread_bytes_max, beyond which its pages are refused. 1: no bound, as
  /// behind a proxy, where all clients have one address.
  double per_peer_share = 1;
  std::size_t waiting_max = 50'000;  ///< Requests handed to the coordinator and not answered yet.
  std::size_t bodies_bytes_max = 256U << 20U;  ///< Of what arrived of bodies that are being read.
  /// Of answers that clients have not read yet. Beyond it the one that has waited longest, and for
  /// unread_grace, is cut; if none has, a page is refused and anything else is sent all the same.
  std::size_t unread_bytes_max = 256U << 20U;
  Duration unread_grace = std::chrono::seconds(1);
  Duration header_timeout = std::chrono::seconds(
      10);  ///< Of a new connection, TLS included; or from a request's first byte.
  Duration body_timeout = std::chrono::seconds(30);
  Duration write_timeout = std::chrono::seconds(30);
  Duration idle_timeout = std::chrono::seconds(75);
};

struct GatewayPorts {
  /// A well-formed request; its answer comes later through Gateway::answer. Runs on the gateway's
  /// thread, must not block.
  std::function<void(ClientRequest)> submit;
  /// The client left: its wait is over, its step goes on. Runs on the gateway's thread; not while
  /// the gateway ends.
  std::function<void(RequestId)> left;
};

/// HTTP/JSON in front of the coordinator (docs/http.md): one event loop on one thread, no decision.
class Gateway {
public:
  /// Closes the acceptor and all connections but those whose answer is being written (they get a
  /// second), then ends the thread.
  virtual ~Gateway() = default;
  /// Errors: io, naming the address or file; invalid (host, certificate, key); refused: a host that
  /// others reach without tokens, or with neither TLS nor is_behind_tls_proxy; a key that others
  /// may read.
  static Result<std::unique_ptr<Gateway>> start(const GatewaySettings& settings,
                                                GatewayPorts ports);
  virtual std::uint16_t port() const = 0;
  /// Thread-safe. An unknown or abandoned request is ignored.
  virtual void answer(ClientResponse response) = 0;
  /// Replaces the tokens: a request that waits under one that is gone is answered 401 at once.
  /// Thread-safe. @pre the settings had tokens, and `tokens` is not null.
  virtual void set_tokens(std::shared_ptr<const TokenTable> tokens) = 0;
  /// Reads certificate and key again, for connections to come. Thread-safe. Errors: as of start();
  /// the old ones stay in use then. @pre the settings had them.
  virtual Result<void> renew_certificate() = 0;
  /// Stops accepting; waiting requests are still answered, with `Connection: close`.
  virtual void drain() = 0;
};

}  // namespace forerun
