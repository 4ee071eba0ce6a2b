#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cluster/keys.hpp"
#include "speculation/ids.hpp"

/// The only wire between processes: ZeroMQ with CURVE and a ZAP allow-list. It carries frames of
/// bytes and does not know what they mean. Each bus owns one thread; callbacks run on it and must
/// not block.
namespace forerun {

/// What a bus does on its own thread between reading and writing, beside its sockets.
struct BusWork {
  std::function<void()> run;  ///< Does what is ready, for a bounded while.
  /// How long the bus may wait before the next run(), if nothing arrives; empty: for ever.
  std::function<std::optional<std::chrono::microseconds>()> rest;
  /// Gets what wakes the bus, callable from any thread; an empty function when the bus ends.
  std::function<void(std::function<void()> wake)> wake_with;
};

struct BusLimits {
  std::size_t frame_bytes = 8U << 20U;  ///< ZMQ_MAXMSGSIZE: larger frames close the connection.
  int queue_frames = 100'000;           ///< High-water mark, per peer and direction.
  std::size_t outbox_frames =
      200'000;  ///< Frames waiting for the bus's thread; beyond it send() refuses.
  std::size_t peers =
      4096;  ///< Connections remembered; beyond it the one heard least recently is dropped.
};

/// Where a coordinator listens. Port 0 lets the system choose.
struct CoordinatorBusSettings {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::uint16_t publish_port = 0;
  BusLimits limits;
};

struct CoordinatorBusEvents {
  /// Frames that one peer sent, in its order. `node` comes from the peer's authenticated key, never
  /// from its bytes.
  std::function<void(ConnectionId, const NodeId& node, std::vector<std::string> frames)> received;
  /// The connection is over for us: a frame could not be sent (the peer is gone, or takes nothing
  /// and its queue is full), its key was revoked, or it was dropped for want of room. Its id means
  /// nothing any more.
  std::function<void(ConnectionId)> unreachable;
  BusWork work{};  ///< May be empty.
};

class CoordinatorBus {
public:
  virtual ~CoordinatorBus() =
      default;  ///< Stops the thread and closes all sockets without lingering.
  /// Binds the ZAP handler first, then the sockets, then proves with a random key that strangers
  /// are refused. Errors: io (address in use, …); refused when the self-test shows that an unknown
  /// key gets in.
  static Result<std::unique_ptr<CoordinatorBus>> start(const CoordinatorBusSettings& settings,
                                                       const CurveKeyPair& server,
                                                       std::vector<AllowedPeer> allowed,
                                                       CoordinatorBusEvents events);
  virtual std::uint16_t port() const = 0;
  virtual std::uint16_t publish_port() const = 0;
  /// Thread-safe. False when the outbox is full or the frame above frame_bytes (the frame is
  /// dropped; peers find out by sequence and heartbeat). Frames of one peer stay in order.
  virtual bool send(ConnectionId peer, std::string frame) = 0;
  /// As send(), to all subscribers; false also while the PUB socket is being bound again.
  virtual bool publish(std::string frame) = 0;
  /// Replaces the allow-list; connections of keys no longer on it get nothing more within a second.
  /// Thread-safe. When a key was taken off, the PUB socket is bound again on its port, so that
  /// every subscriber has to authenticate anew: the others miss what is published meanwhile, and
  /// fetch it.
  virtual void allow(std::vector<AllowedPeer> allowed) = 0;
};

struct NodeBusSettings {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  BusLimits limits;
};

struct NodeBusEvents {
  std::function<void(std::vector<std::string> frames)> received;  ///< From the coordinator alone.
  std::function<void(std::vector<std::string> frames)> published;
  std::function<void()>
      connected;  ///< The authenticated connection stands, or stands again. May be empty.
  /// The coordinator does not allow our key, for messages or to follow what is published; tried
  /// again every second. May be empty, as the two below.
  std::function<void()> refused;
  std::function<void()> broken{};       ///< Something answers, and the handshake breaks off.
  std::function<void()> unreachable{};  ///< Nothing answers; tried again, at most every second.
  BusWork work{};                       ///< May be empty.
};

class NodeBus {
public:
  virtual ~NodeBus() = default;
  /// Connects in the background, for as long as it lives. Errors: io (a host that cannot be used).
  static Result<std::unique_ptr<NodeBus>> start(const NodeBusSettings& settings,
                                                const CurveKeyPair& own,
                                                const CurveKey& server_public,
                                                NodeBusEvents events);
  /// Thread-safe. False as CoordinatorBus::send. Frames wait while the coordinator is away, and are
  /// lost when it refuses our key: send Join when `connected`, and until it is answered.
  virtual bool send(std::string frame) = 0;
  /// Connects (or moves) the subscription to the coordinator's host and this port. Thread-safe.
  virtual void subscribe(std::uint16_t publish_port) = 0;
};

}  // namespace forerun
