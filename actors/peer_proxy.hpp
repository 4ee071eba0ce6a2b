#pragma once

#include <functional>
#include <string>

#include "actors/mailboxes.hpp"

namespace forerun {

struct PeerProxyState {
  PeerProxyState() =
      default;  ///< No aggregate: CAF 0.17 would build one from the actor's own pointer.

  std::function<void(std::string)> send;
};

/// Stands for the workers of one node: what is told to it goes over the wire, in order. Actors that
/// talk to workers know this one and never where the node runs.
PeerProxyActor::behavior_type peer_proxy(PeerProxyActor::stateful_pointer<PeerProxyState> self,
                                         std::function<void(std::string frame)> send);

}  // namespace forerun
