#pragma once

#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "speculation/ids.hpp"

namespace forerun::wiring {

/// Which connection is which node. A connection is known by ROUTER's routing id; its node is what
/// its key authenticated. Bounded: beyond its size the connection heard least recently makes room.
/// Not thread-safe.
class PeerTable {
public:
  struct Peer {
    ConnectionId connection;  ///< Never used twice in this process, over all tables.
    NodeId node;
    std::string route;
    std::vector<std::string> frames;  ///< Read in this turn, not yet handed on.
  };

  explicit PeerTable(std::size_t peers_max) : peers_max_(peers_max) {}

  /// The peer of a route that `user` was heard on, as the most recent; null when there is none. A
  /// route that another user was heard on before is another connection: the old one is in
  /// `forgotten`.
  Peer* heard(const std::string& route, std::string_view user,
              std::vector<ConnectionId>& forgotten);
  /// A new connection. @pre heard() gave null.
  Peer& add(std::string route, NodeId node, std::vector<ConnectionId>& forgotten);
  Peer* find(ConnectionId connection);
  void forget(ConnectionId connection);
  std::vector<ConnectionId> forget_if(const std::function<bool(const NodeId&)>& is_gone);
  std::size_t size() const { return peers_.size(); }

private:
  using Position = std::list<Peer>::iterator;
  void erase(Position peer);

  const std::size_t peers_max_;
  std::list<Peer> peers_;  ///< The least recently heard first.
  std::unordered_map<std::string, Position> by_route_;
  std::unordered_map<std::uint64_t, Position> by_connection_;
};

}  // namespace forerun::wiring
