#include "actors/peer_proxy.hpp"

#include <algorithm>
#include <caf/typed_event_based_actor.hpp>
#include <span>

#include "messages/codec.hpp"

namespace forerun {

PeerProxyActor::behavior_type peer_proxy(PeerProxyActor::stateful_pointer<PeerProxyState> self,
                                         std::function<void(std::string frame)> send) {
  self->state.send = std::move(send);
  return {
      [self](const PeerMessages& batch) {
        std::span<const CoordinatorMessage> rest(batch.messages);
        while (!rest.empty()) {
          const std::size_t count = std::min(rest.size(), messages_per_frame);
          self->state.send(encode(rest.first(count)));
          rest = rest.subspan(count);
        }
      },
  };
}

} // namespace forerun
