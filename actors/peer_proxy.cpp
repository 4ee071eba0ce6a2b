#include "actors/peer_proxy.hpp"

#include <caf/typed_event_based_actor.hpp>
#include <span>
#include <utility>

#include "messages/codec.hpp"

namespace forerun {

PeerProxyActor::behavior_type peer_proxy(PeerProxyActor::stateful_pointer<PeerProxyState> self,
                                         std::function<void(std::string frame)> send) {
  self->state.send = std::move(send);
  return {
      [self](const PeerMessages& batch) {
        for (std::string& frame : encode_frames(std::span(batch.messages))) {
          self->state.send(std::move(frame));
        }
      },
  };
}

}  // namespace forerun
