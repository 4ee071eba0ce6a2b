#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "simulation/environment.hpp"
#include "speculation/protocol.hpp"

namespace forerun::simulation {

/// Connections between one coordinator and its nodes. Within a connection messages keep their
/// order, unless a fault strikes one; a connection that breaks loses what is on its way and is
/// followed by another one. Publications take a way of their own and may be lost.
class Network {
public:
  struct Ports {
    std::function<void(ConnectionId, std::size_t node, const NodeMessage&)> to_coordinator;
    std::function<void(ConnectionId)> unreachable;
    std::function<void(std::size_t node, const CoordinatorMessage&)> to_node;
    /// A page of a replica is about to be asked for, or to be sent.
    std::function<void(std::size_t node, bool is_answer)> adopts;
  };
  /// Which ways through a cut are closed.
  enum class Cut : std::uint8_t { both, to_node, to_coordinator };

  Network(Environment& environment, std::size_t nodes) : env_(environment), links_(nodes) {}
  void connect(Ports ports) { ports_ = std::move(ports); }

  void send(std::size_t node, NodeMessage message);
  void send(ConnectionId connection, CoordinatorMessage message);
  void publish(const Entries& entries);

  void subscribe(std::size_t node) { links_[node].is_subscribed = true; }
  void node_is_up(std::size_t node);
  void node_is_down(std::size_t node);
  void coordinator_is_up();
  void coordinator_is_down();
  void break_link(std::size_t node);
  /// No way through until heal(). A cut of both ways breaks the connection; of one way, it holds
  /// back what is sent that way.
  void cut(std::size_t node, Cut cut);
  void heal(std::size_t node);
  /// Everything on this link takes so many times as long.
  void slow_down(std::size_t node, int times) { links_[node].slowness = times; }

private:
  struct Link {
    ConnectionId connection;
    std::uint64_t generation = 0;  ///< Grows at every break: what was sent before is lost.
    bool is_node_up = false;
    bool is_cut = false;
    bool is_held_to_node = false;
    bool is_held_to_coordinator = false;
    bool is_subscribed = false;
    int slowness = 1;
    Instant to_node{};
    Instant to_coordinator{};
    Instant published{};
    std::vector<NodeMessage> waiting;  ///< Sent while there is no connection.
    std::vector<NodeMessage> held_to_coordinator;
    std::vector<CoordinatorMessage> held_to_node;
  };
  bool is_through(const Link& link) const {
    return is_coordinator_up_ && link.is_node_up && !link.is_cut;
  }
  void lose_connection(Link& link);
  void reconnect(std::size_t node);
  Instant arrival(const Link& link, Instant& last);
  /// Has it arrive, or what a fault makes of that.
  template <class Message>
  void carry(std::size_t node, Instant& last, const Message& message);
  void schedule(std::size_t node, Instant at, NodeMessage message);
  void schedule(std::size_t node, Instant at, CoordinatorMessage message);
  void deliver_publication(std::size_t node, const Entries& entries);

  static constexpr std::size_t held_max = 256;
  Environment& env_;
  std::vector<Link> links_;
  Ports ports_;
  bool is_coordinator_up_ = false;
  std::uint64_t next_connection_ = 1;
};

/// A message in a few words, for the trace; everything that matters of it is in there, but entries:
/// they are in the trace when they become durable.
std::string describe(const NodeMessage& message);
std::string describe(const CoordinatorMessage& message);

}  // namespace forerun::simulation
