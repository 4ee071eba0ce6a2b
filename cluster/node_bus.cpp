#include <atomic>
#include <utility>
#include <zmq.hpp>

#include "base/assert.hpp"
#include "cluster/bus.hpp"
#include "cluster/sockets.hpp"

namespace forerun {
namespace {

using namespace wiring;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds refused_pause{1};

/// A client socket that comes back after a refusal: ZeroMQ itself gives up for ever when the server
/// refuses a key.
class Link {
public:
  Link(zmq::context_t& context, zmq::socket_type type, std::string name)
      : context_(context), type_(type), name_(std::move(name)) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { close(); }

  /// Throws zmq::error_t.
  void open(const NodeBusSettings& settings, const CurveKeyPair& own, const CurveKey& server,
            std::uint16_t port) {
    close();
    socket_ = zmq::socket_t(context_, type_);
    harden(socket_, settings.host, settings.limits);
    use_curve(socket_, own, server);
    if (type_ == zmq::socket_type::sub) {
      socket_.set(zmq::sockopt::subscribe, "");
    }
    reports_ = monitor(context_, socket_, name_ + std::to_string(++opened_));
    watch_ = {&socket_};
    reports_watch_ = {&reports_};
    socket_.connect(endpoint(settings.host, port));
  }

  /// As open(), from the bus's thread: a failure is tried again.
  void open_again(const NodeBusSettings& settings, const CurveKeyPair& own, const CurveKey& server,
                  std::uint16_t port) {
    try {
      open(settings, own, server, port);
    } catch (const zmq::error_t&) {
      close();
      retry_at_ = Clock::now() + refused_pause;
    }
  }

  void close() {
    retry_at_.reset();
    close_monitored(socket_, reports_);
  }

  bool is_open() const { return socket_.handle() != nullptr; }
  zmq::socket_t& socket() { return socket_; }
  /// Of its socket; and of what tells how its handshakes went.
  Watched& watch() { return watch_; }
  Watched& reports_watch() { return reports_watch_; }
  std::optional<Clock::time_point> retry_at() const { return retry_at_; }

  /// The next handshake's outcome; a refusal, or a server that does not speak our protocol, sets
  /// retry_at().
  std::optional<Handshake> next(Clock::time_point now) {
    if (!is_open() || !reports_watch_.is_ready) {
      return std::nullopt;
    }
    const auto handshake = next_handshake(reports_);
    if (handshake == Handshake::succeeded) {
      retry_at_.reset();
    } else if (handshake && *handshake != Handshake::unreachable) {
      retry_at_ = now + refused_pause;
    }
    return handshake;
  }

private:
  zmq::context_t& context_;
  const zmq::socket_type type_;
  const std::string name_;
  std::uint64_t opened_ = 0;
  zmq::socket_t socket_;
  zmq::socket_t reports_;
  Watched watch_;
  Watched reports_watch_;
  std::optional<Clock::time_point> retry_at_;
};

class ZmqNodeBus final : public NodeBus {
public:
  /// Throws zmq::error_t.
  ZmqNodeBus(const NodeBusSettings& settings, const CurveKeyPair& own, const CurveKey& server,
             NodeBusEvents events)
      : settings_(settings),
        own_(own),
        server_(server),
        events_(std::move(events)),
        link_(context_, zmq::socket_type::dealer, "link"),
        subscription_(context_, zmq::socket_type::sub, "subscription"),
        outbox_(settings.limits.outbox_frames) {
    link_.open(settings_, own_, server_, settings_.port);
  }

  ~ZmqNodeBus() override {
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

  Result<void> run_thread() {
    if (!wake_.is_usable()) {
      return fail(Errc::io, "bus: eventfd: no descriptor left");
    }
    if (events_.work.wake_with) {
      events_.work.wake_with([this] { wake_.signal(); });
    }
    thread_ = std::thread([this] { run(); });
    return {};
  }

  bool send(std::string frame) override {
    return frame.size() <= settings_.limits.frame_bytes && outbox_.push(std::move(frame), wake_);
  }

  void subscribe(std::uint16_t publish_port) override {
    wanted_port_ = publish_port;
    wake_.signal();
  }

private:
  void run() {
    name_this_thread("loop");
    outbox_.read_by(std::this_thread::get_id());
    while (!is_stopping_) {
      wait();
      const auto now = Clock::now();
      follow_link(now);
      follow_subscription(now);
      read(link_, events_.received);
      work();
      // What was run is waited for; what was published is only checked.
      read(subscription_, events_.published);
      work();
    }
  }

  void work() {
    if (events_.work.run) {
      events_.work.run();
    }
    write();
  }

  void wait() {
    using std::chrono::microseconds;
    std::array<Watched, 4> watched{};
    std::size_t count = 0;
    const auto rest = events_.work.rest ? events_.work.rest() : std::nullopt;
    microseconds timeout = has_more_ ? microseconds(0) : rest.value_or(microseconds(-1));
    for (Link* link : {&link_, &subscription_}) {
      if (link->is_open()) {
        watched[count++] = link->watch();
        watched[count++] = link->reports_watch();
      }
      if (const auto at = link->retry_at()) {
        const auto left =
            std::max(std::chrono::ceil<microseconds>(*at - Clock::now()), microseconds(0));
        timeout = timeout < microseconds(0) ? left : std::min(timeout, left);
      }
    }
    if (wait_readable(std::span(watched).first(count), wake_.descriptor(), timeout)) {
      wake_.clear();
    }
    count = 0;
    for (Link* link : {&link_, &subscription_}) {
      if (link->is_open()) {
        for (Watched* watch : {&link->watch(), &link->reports_watch()}) {
          *watch = watched[count++];
          // What is ready is read, and what was read may have taken more news in passing.
          watch->is_unsure = watch->is_ready;
        }
      }
    }
  }

  const std::function<void()>& event_of(Handshake handshake) const {
    switch (handshake) {
      case Handshake::succeeded:
        return events_.connected;
      case Handshake::refused:
        return events_.refused;
      case Handshake::broken:
        return events_.broken;
      case Handshake::unreachable:
        break;
    }
    return events_.unreachable;
  }

  void follow_link(Clock::time_point now) {
    while (const auto handshake = link_.next(now)) {
      const auto& tell = event_of(*handshake);
      if (tell) {
        tell();
      }
    }
    reopen_if_due(link_, settings_.port, now);
  }

  void follow_subscription(Clock::time_point now) {
    if (const std::uint16_t wanted = wanted_port_; wanted != 0 && wanted != subscribed_port_) {
      subscribed_port_ = wanted;
      subscription_.open_again(settings_, own_, server_, subscribed_port_);
    }
    // A key that is revoked is refused here first: the link that stands is not cut.
    while (const auto handshake = subscription_.next(now)) {
      if (*handshake == Handshake::refused && events_.refused) {
        events_.refused();
      }
    }
    reopen_if_due(subscription_, subscribed_port_, now);
  }

  void reopen_if_due(Link& link, std::uint16_t port, Clock::time_point now) {
    if (link.retry_at() && now >= *link.retry_at()) {
      link.open_again(settings_, own_, server_, port);
    }
  }

  void read(Link& link, const std::function<void(std::vector<std::string>)>& tell) {
    if (!link.is_open() || !link.watch().is_ready) {
      return;
    }
    std::vector<std::string> frames;
    while (frames.size() < batch_frames_max) {
      if (!receive(link.socket(), message_)) {
        link.watch().is_unsure = false;
        break;
      }
      if (message_.more()) {
        skip_parts(link.socket(), message_);
      } else {
        frames.emplace_back(bytes_of(message_));
      }
    }
    if (!frames.empty()) {
      tell(std::move(frames));
    }
  }

  /// A full queue drops frames: the coordinator has been away for long.
  void write() {
    has_more_ = outbox_.take(outgoing_);
    for (const std::string& frame : outgoing_) {
      if (link_.is_open()) {
        send_frame(link_.socket(), frame);
        link_.watch().is_unsure = true;
      }
    }
    outgoing_.clear();
  }

  const NodeBusSettings settings_;
  const CurveKeyPair own_;
  const CurveKey server_;
  const NodeBusEvents events_;

  zmq::context_t context_;
  Link link_;
  Link subscription_;
  std::uint16_t subscribed_port_ = 0;
  zmq::message_t message_;
  std::vector<std::string> outgoing_;
  bool has_more_ = false;

  WakeUp wake_;
  Outbox<std::string> outbox_;
  std::atomic<std::uint16_t> wanted_port_ = 0;
  std::atomic<bool> is_stopping_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<NodeBus>> NodeBus::start(const NodeBusSettings& settings,
                                                const CurveKeyPair& own,
                                                const CurveKey& server_public,
                                                NodeBusEvents events) {
  FORERUN_ASSERT(events.received && events.published);
  try {
    auto bus = std::make_unique<ZmqNodeBus>(settings, own, server_public, std::move(events));
    if (auto running = bus->run_thread(); !running) {
      return tl::unexpected(std::move(running.error()));
    }
    return bus;
  } catch (const zmq::error_t& error) {
    return fail(Errc::io,
                "bus: connect to " + endpoint(settings.host, settings.port) + ": " + error.what());
  }
}

}  // namespace forerun
