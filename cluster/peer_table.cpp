#include "cluster/peer_table.hpp"

#include <atomic>
#include <utility>

#include "base/assert.hpp"

namespace forerun::wiring {
namespace {

ConnectionId next_connection() {
  static std::atomic<std::uint64_t> last = 0;
  return ConnectionId{++last};
}

}  // namespace

PeerTable::Peer* PeerTable::heard(const std::string& route, std::string_view user,
                                  std::vector<ConnectionId>& forgotten) {
  const auto found = by_route_.find(route);
  if (found == by_route_.end()) {
    return nullptr;
  }
  const Position peer = found->second;
  if (peer->node.name != user) {
    forgotten.push_back(peer->connection);
    erase(peer);
    return nullptr;
  }
  peers_.splice(peers_.end(), peers_, peer);
  return &*peer;
}

PeerTable::Peer& PeerTable::add(std::string route, NodeId node,
                                std::vector<ConnectionId>& forgotten) {
  FORERUN_ASSERT(!by_route_.contains(route));
  if (peers_.size() >= peers_max_ && !peers_.empty()) {
    forgotten.push_back(peers_.front().connection);
    erase(peers_.begin());
  }
  peers_.push_back(Peer{next_connection(), std::move(node), std::move(route), {}});
  const Position peer = std::prev(peers_.end());
  by_route_[peer->route] = peer;
  by_connection_[peer->connection.value] = peer;
  return *peer;
}

PeerTable::Peer* PeerTable::find(ConnectionId connection) {
  const auto found = by_connection_.find(connection.value);
  return found == by_connection_.end() ? nullptr : &*found->second;
}

void PeerTable::forget(ConnectionId connection) {
  if (const auto found = by_connection_.find(connection.value); found != by_connection_.end()) {
    erase(found->second);
  }
}

std::vector<ConnectionId> PeerTable::forget_if(const std::function<bool(const NodeId&)>& is_gone) {
  std::vector<ConnectionId> forgotten;
  for (Position peer = peers_.begin(); peer != peers_.end();) {
    const Position here = peer++;
    if (is_gone(here->node)) {
      forgotten.push_back(here->connection);
      erase(here);
    }
  }
  return forgotten;
}

void PeerTable::erase(Position peer) {
  by_route_.erase(peer->route);
  by_connection_.erase(peer->connection.value);
  peers_.erase(peer);
}

}  // namespace forerun::wiring
