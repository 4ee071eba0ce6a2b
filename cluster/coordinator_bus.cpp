#include <atomic>
#include <cerrno>
#include <utility>
#include <zmq.hpp>

#include "base/assert.hpp"
#include "cluster/bus.hpp"
#include "cluster/peer_table.hpp"
#include "cluster/self_test.hpp"
#include "cluster/sockets.hpp"
#include "cluster/zap.hpp"

namespace forerun {
namespace {

using namespace wiring;

constexpr std::chrono::milliseconds rebind_pause{
    5};  ///< Between attempts to bind the PUB socket again.

struct Outgoing {
  std::optional<ConnectionId> peer;  ///< Empty: to all subscribers.
  std::string frame;
};

std::uint16_t port_of(const zmq::socket_t& socket) {
  const std::string text = socket.get(zmq::sockopt::last_endpoint);
  return static_cast<std::uint16_t>(std::stoul(text.substr(text.rfind(':') + 1)));
}

class ZmqCoordinatorBus final : public CoordinatorBus {
public:
  /// Throws zmq::error_t.
  ZmqCoordinatorBus(const CoordinatorBusSettings& settings, const CurveKeyPair& server,
                    const std::vector<AllowedPeer>& allowed, CoordinatorBusEvents events)
      : settings_(settings),
        server_(server),
        events_(std::move(events)),
        zap_(context_),
        router_(context_, zmq::socket_type::router),
        peers_(settings.limits.peers),
        outbox_(settings.limits.outbox_frames) {
    allowed_.replace(allowed);
    allowed_.set_probe(probe_.public_key);
    harden(router_, settings_.host, settings_.limits);
    serve_curve(router_, server_);
    router_.set(zmq::sockopt::router_mandatory, true);
    router_.bind(endpoint(settings_.host, settings_.port));
    port_ = port_of(router_);
    bind_publisher(settings_.publish_port);
    publish_port_ = port_of(publisher_);
  }

  ~ZmqCoordinatorBus() override {
    FORERUN_ASSERT(std::this_thread::get_id() != thread_.get_id());
    if (events_.work.wake_with) {
      events_.work.wake_with({});
    }
    is_stopping_ = true;
    wake_.signal();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  Result<void> run_and_prove() {
    if (!wake_.is_usable()) {
      return fail(Errc::io, "bus: eventfd: no descriptor left");
    }
    if (events_.work.wake_with) {
      events_.work.wake_with([this] { wake_.signal(); });
    }
    thread_ = std::thread([this] { run(); });
    auto proof =
        prove_strangers_stay_out(settings_.host, port_, publish_port_, probe_, server_.public_key);
    if (proof) {
      is_open_ = true;
      wake_.signal();
    }
    return proof;
  }

  std::uint16_t port() const override { return port_; }
  std::uint16_t publish_port() const override { return publish_port_; }

  bool send(ConnectionId peer, std::string frame) override {
    return frame.size() <= settings_.limits.frame_bytes &&
           outbox_.push({peer, std::move(frame)}, wake_);
  }

  bool publish(std::string frame) override {
    return is_publishing_ && frame.size() <= settings_.limits.frame_bytes &&
           outbox_.push({std::nullopt, std::move(frame)}, wake_);
  }

  void allow(std::vector<AllowedPeer> allowed) override {
    {
      const std::lock_guard lock(allow_mutex_);
      next_allowed_ = std::move(allowed);
    }
    wake_.signal();
  }

private:
  void run() {
    name_this_thread("loop");
    outbox_.read_by(std::this_thread::get_id());
    while (!is_stopping_) {
      wait();
      if (zap_watch_.is_ready) {
        zap_.answer(allowed_);
      }
      if (is_open_) {
        allowed_.set_probe(std::nullopt);
        take_allowed();
        rebind_publisher();
        if (router_watch_.is_ready) {
          read();
        }
        if (events_.work.run) {
          events_.work.run();
        }
        write();
      }
    }
  }

  void wait() {
    using std::chrono::microseconds;
    // Before the self-test has passed, nothing that a peer sends is read.
    const bool is_open = is_open_;
    std::array<Watched, 2> watched{zap_watch_, router_watch_};
    const auto rest = is_open && events_.work.rest ? events_.work.rest() : std::nullopt;
    microseconds timeout = rest.value_or(microseconds(-1));
    if (!is_publishing_) {
      timeout = rest ? std::min<microseconds>(*rest, rebind_pause) : rebind_pause;
    }
    if (has_more_) {
      timeout = microseconds(0);
    }
    if (wait_readable(std::span(watched).first(is_open ? 2 : 1), wake_.descriptor(), timeout)) {
      wake_.clear();
    }
    zap_watch_ = watched[0];
    router_watch_ = watched[1];
    // What is ready is read, and what was read may have taken more news in passing.
    zap_watch_.is_unsure = zap_watch_.is_ready;
    router_watch_.is_unsure = router_watch_.is_ready || !is_open;
  }

  // ---- the allow-list

  void take_allowed() {
    std::optional<std::vector<AllowedPeer>> next;
    {
      const std::lock_guard lock(allow_mutex_);
      next.swap(next_allowed_);
    }
    if (!next) {
      return;
    }
    if (allowed_.replace(*next)) {
      // A ZeroMQ server cannot end one connection. ROUTER only answers, and to peers that it knows;
      // PUB sends to all who connected, so all have to connect again.
      report(peers_.forget_if([&](const NodeId& node) { return !allowed_.has_user(node.name); }));
      is_publishing_ = false;
      publisher_.close();
    }
  }

  void bind_publisher(std::uint16_t port) {
    publisher_ = zmq::socket_t(context_, zmq::socket_type::pub);
    harden(publisher_, settings_.host, settings_.limits);
    serve_curve(publisher_, server_);
    publisher_.bind(endpoint(settings_.host, port));
    is_publishing_ = true;
  }

  void rebind_publisher() {
    if (is_publishing_) {
      return;
    }
    try {
      bind_publisher(publish_port_);
    } catch (const zmq::error_t&) {
      publisher_.close();  // The old listener is not gone yet; wait() comes back soon.
    }
  }

  // ---- in

  void read() {
    std::vector<ConnectionId> heard;
    for (std::size_t i = 0; i < receive_turn_max; ++i) {
      if (!receive(router_, route_)) {
        router_watch_.is_unsure = false;
        break;
      }
      if (PeerTable::Peer* peer = read_frame()) {
        if (peer->frames.size() == 1) {
          heard.push_back(peer->connection);
        }
        if (peer->frames.size() >= batch_frames_max) {
          hand_on(peer->connection);
        }
      }
    }
    for (const ConnectionId connection : heard) {
      hand_on(connection);
    }
  }

  /// Reads what follows a routing id. Null when it came from nobody who is allowed, or has the
  /// wrong shape.
  PeerTable::Peer* read_frame() {
    if (!route_.more() || !receive(router_, payload_)) {
      return nullptr;
    }
    if (payload_.more()) {
      skip_parts(router_, payload_);
      return nullptr;
    }
    // Set by the ZAP handler at the handshake, carried by ZeroMQ beside the message: no byte of the
    // peer's is in it.
    const char* user = zmq_msg_gets(payload_.handle(), "User-Id");
    if (user == nullptr) {
      return nullptr;
    }
    std::vector<ConnectionId> forgotten;
    routing_id_.assign(bytes_of(route_));
    PeerTable::Peer* peer = peers_.heard(routing_id_, user, forgotten);
    if (peer == nullptr && allowed_.has_user(user)) {
      peer = &peers_.add(routing_id_, NodeId{user}, forgotten);
    }
    if (peer != nullptr) {
      peer->frames.emplace_back(bytes_of(payload_));
    }
    report(forgotten);
    return peer;
  }

  void hand_on(ConnectionId connection) {
    PeerTable::Peer* peer = peers_.find(connection);
    if (peer != nullptr && !peer->frames.empty()) {
      events_.received(connection, peer->node, std::exchange(peer->frames, {}));
    }
  }

  void report(const std::vector<ConnectionId>& forgotten) {
    for (const ConnectionId connection : forgotten) {
      events_.unreachable(connection);
    }
  }

  // ---- out

  void write() {
    has_more_ = outbox_.take(outgoing_);
    // Somebody waits for what goes to one peer, nobody for what goes to all.
    for (const Outgoing& out : outgoing_) {
      if (out.peer) {
        write_to(*out.peer, out.frame);
      }
    }
    for (const Outgoing& out : outgoing_) {
      if (!out.peer && is_publishing_) {
        send_frame(publisher_, out.frame);
      }
    }
    outgoing_.clear();
  }

  void write_to(ConnectionId connection, std::string_view frame) {
    const PeerTable::Peer* peer = peers_.find(connection);
    if (peer == nullptr) {
      return;  // Reported when it was forgotten.
    }
    router_watch_.is_unsure = true;
    // ROUTER_MANDATORY tells at the routing id: EHOSTUNREACH when the peer is gone, EAGAIN when its
    // queue is full.
    if (send_frame(router_, peer->route, true) != 0 || send_frame(router_, frame) != 0) {
      peers_.forget(connection);
      events_.unreachable(connection);
    }
  }

  const CoordinatorBusSettings settings_;
  const CurveKeyPair server_;
  const CurveKeyPair probe_ = CurveKeyPair::generate();
  const CoordinatorBusEvents events_;
  std::uint16_t port_ = 0;
  std::uint16_t publish_port_ = 0;

  zmq::context_t context_;
  ZapHandler zap_;  ///< Bound before any other socket: without it ZeroMQ lets everybody in.
  zmq::socket_t router_;
  zmq::socket_t publisher_;
  Watched zap_watch_{&zap_.socket()};
  Watched router_watch_{&router_};
  AllowList allowed_;
  PeerTable peers_;
  zmq::message_t route_;
  zmq::message_t payload_;
  std::string routing_id_;
  std::vector<Outgoing> outgoing_;
  bool has_more_ = false;

  WakeUp wake_;
  Outbox<Outgoing> outbox_;
  std::mutex allow_mutex_;
  std::optional<std::vector<AllowedPeer>> next_allowed_;
  std::atomic<bool> is_open_ = false;
  std::atomic<bool> is_publishing_ = false;
  std::atomic<bool> is_stopping_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<CoordinatorBus>> CoordinatorBus::start(
    const CoordinatorBusSettings& settings, const CurveKeyPair& server,
    std::vector<AllowedPeer> allowed, CoordinatorBusEvents events) {
  FORERUN_ASSERT(events.received && events.unreachable);
  try {
    auto bus = std::make_unique<ZmqCoordinatorBus>(settings, server, allowed, std::move(events));
    if (auto proven = bus->run_and_prove(); !proven) {
      return tl::unexpected(std::move(proven.error()));
    }
    return bus;
  } catch (const zmq::error_t& error) {
    return fail(Errc::io, "bus: listen on " + endpoint(settings.host, settings.port) + " and " +
                              endpoint(settings.host, settings.publish_port) + ": " + error.what());
  }
}

}  // namespace forerun
