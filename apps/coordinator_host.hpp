#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/mailboxes.hpp"
#include "apps/process.hpp"
#include "base/result.hpp"
#include "cluster/bus.hpp"
#include "cluster/keys.hpp"
#include "coordinator/prediction_graph.hpp"
#include "coordinator/settings.hpp"
#include "gateway/gateway.hpp"
#include "storage/store.hpp"

namespace forerun {

struct CoordinatorHostSettings {
  CoordinatorBusSettings bus;
  GatewaySettings gateway;
  CoordinatorSettings machine;  ///< `publish_port` is filled in.
  std::string data = "data";    ///< The data directory's name, for messages.
  std::string catalog_text;     ///< Kept beside the ledger, unless it is empty.
  std::function<void(const std::string&)> log = log_line;
  std::size_t prediction_megabytes = forerun::prediction_megabytes;
  bool learns = true;           ///< False: no step is learned from, nothing is predicted.
  bool is_store_quick = false;  ///< The store never blocks, so it needs no thread of its own.
};

/// One data directory's store, twice.
struct CoordinatorStores {
  std::shared_ptr<CoordinatorStore> owner;   ///< Recovers and writes.
  std::shared_ptr<CoordinatorStore> reader;  ///< Read-only, for another thread. The owner itself
                                             ///< when threads may share it.
};

/// Requests of this process itself have ids from here on; the gateway's are below.
inline constexpr std::uint64_t local_requests_from = std::uint64_t{1} << 62U;

/// All that a coordinator process runs beside its main thread: sockets, actors, store and gateway,
/// wired. A process has at most one.
class CoordinatorHost {
public:
  /// Answers to local requests. Called on an actor's thread; must not block.
  using LocalReplies = std::function<void(ClientResponse)>;

  /// Recovers from the stores and serves. Errors: those of the bus, the gateway and the store;
  /// verification when the store's ledger is not as it was written: no term is opened then.
  static Result<std::unique_ptr<CoordinatorHost>> start(CoordinatorHostSettings settings,
                                                        const KeyFolder& keys,
                                                        CoordinatorStores stores,
                                                        LocalReplies local_replies = {});
  virtual ~CoordinatorHost() = default;  ///< Answers what waits, then ends all of it.
  virtual std::uint16_t http_port() const = 0;
  virtual std::uint16_t join_port() const = 0;
  virtual void allow(std::vector<AllowedPeer> allowed) = 0;
  /// @pre the gateway was started with tokens.
  virtual void set_tokens(std::shared_ptr<const TokenTable> tokens) = 0;
  /// As Gateway::renew_certificate().
  virtual Result<void> renew_certificate() = 0;
  /// Thread-safe.
  virtual void put(CoordinatorInputs inputs) = 0;
};

}  // namespace forerun
