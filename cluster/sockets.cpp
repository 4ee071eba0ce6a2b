#include "cluster/sockets.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <zmq.hpp>

#include "base/assert.hpp"

namespace forerun::wiring {

std::string endpoint(std::string_view host, std::uint16_t port) {
  const bool is_ipv6 = host.find(':') != std::string_view::npos;
  std::string text = "tcp://";
  text.append(is_ipv6 ? "[" : "").append(host).append(is_ipv6 ? "]:" : ":");
  return text + (port == 0 ? "*" : std::to_string(port));
}

void name_this_thread(const char* name) {
  pthread_setname_np(pthread_self(), name);
}

void harden(zmq::socket_t& socket, std::string_view host, const BusLimits& limits) {
  constexpr int encryption_bytes =
      64;  // The wire adds nonce, tag and flags to what the limit is about.
  constexpr int reconnect_ms = 100;
  constexpr int reconnect_ms_max = 1000;
  const auto ms = [](std::chrono::milliseconds time) { return static_cast<int>(time.count()); };
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::maxmsgsize,
             static_cast<std::int64_t>(limits.frame_bytes) + encryption_bytes);
  socket.set(zmq::sockopt::sndhwm, limits.queue_frames);
  socket.set(zmq::sockopt::rcvhwm, limits.queue_frames);
  socket.set(zmq::sockopt::handshake_ivl, ms(handshake_max));
  socket.set(zmq::sockopt::heartbeat_ivl, ms(heartbeat_interval));
  socket.set(zmq::sockopt::heartbeat_timeout, ms(heartbeat_timeout));
  socket.set(zmq::sockopt::heartbeat_ttl, ms(heartbeat_timeout));
  socket.set(zmq::sockopt::reconnect_ivl, reconnect_ms);
  socket.set(zmq::sockopt::reconnect_ivl_max, reconnect_ms_max);
  socket.set(zmq::sockopt::ipv6, host.find(':') != std::string_view::npos);
}

void serve_curve(zmq::socket_t& socket, const CurveKeyPair& server) {
  socket.set(zmq::sockopt::curve_server, true);
  socket.set(zmq::sockopt::curve_secretkey, zmq::buffer(server.secret));
  socket.set(zmq::sockopt::zap_domain, zmq::buffer(zap_domain));
}

void use_curve(zmq::socket_t& socket, const CurveKeyPair& own, const CurveKey& server) {
  socket.set(zmq::sockopt::curve_serverkey, zmq::buffer(server));
  socket.set(zmq::sockopt::curve_publickey, zmq::buffer(own.public_key));
  socket.set(zmq::sockopt::curve_secretkey, zmq::buffer(own.secret));
}

int send_frame(zmq::socket_t& socket, std::string_view frame, bool more) {
  const int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
  int sent = 0;
  do {
    sent = zmq_send(socket.handle(), frame.data(), frame.size(), flags);
  } while (sent < 0 && zmq_errno() == EINTR);
  return sent < 0 ? zmq_errno() : 0;
}

bool receive(zmq::socket_t& socket, zmq::message_t& message) {
  int got = 0;
  do {
    got = zmq_msg_recv(message.handle(), socket.handle(), ZMQ_DONTWAIT);
  } while (got < 0 && zmq_errno() == EINTR);
  return got >= 0;
}

void skip_parts(zmq::socket_t& socket, zmq::message_t& message) {
  while (message.more() && receive(socket, message)) {
  }
}

std::string_view bytes_of(const zmq::message_t& message) {
  return {static_cast<const char*>(message.data()), message.size()};
}

zmq::socket_t monitor(zmq::context_t& context, zmq::socket_t& socket, const std::string& name) {
  const std::string address = "inproc://" + name;
  constexpr int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                         ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                         ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_CLOSED;
  if (zmq_socket_monitor(socket.handle(), address.c_str(), events) != 0) {
    throw zmq::error_t();
  }
  zmq::socket_t reports(context, zmq::socket_type::pair);
  reports.set(zmq::sockopt::linger, 0);
  reports.connect(address);
  return reports;
}

void close_monitored(zmq::socket_t& socket, zmq::socket_t& reports) {
  if (socket.handle() != nullptr) {
    zmq_socket_monitor(socket.handle(), nullptr, 0);
  }
  reports.close();
  socket.close();
}

std::optional<Handshake> next_handshake(zmq::socket_t& monitor_socket) {
  zmq::message_t message;
  if (!receive(monitor_socket, message)) {
    return std::nullopt;
  }
  std::uint16_t event = 0;
  if (message.size() >= sizeof event) {
    std::memcpy(&event, message.data(), sizeof event);
  }
  skip_parts(monitor_socket, message);
  switch (event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
      return Handshake::succeeded;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
      return Handshake::refused;
    case ZMQ_EVENT_CLOSED:  // Before a connection stood; one that ends is `disconnected`.
      return Handshake::unreachable;
    default:
      return Handshake::broken;
  }
}

bool wait_readable(std::span<Watched> sockets, int descriptor, std::chrono::microseconds timeout) {
  // zmq_poll would ask every socket twice, with a system call each.
  constexpr std::size_t items_max = 8;
  std::array<pollfd, items_max> items{};
  std::size_t count = 0;
  FORERUN_ASSERT(sockets.size() < items_max);
  for (Watched& watched : sockets) {
    watched.is_ready =
        watched.is_unsure && (watched.socket->get(zmq::sockopt::events) & ZMQ_POLLIN) != 0;
    timeout = watched.is_ready ? std::chrono::microseconds(0) : timeout;
    items[count++] = {watched.socket->get(zmq::sockopt::fd), POLLIN, 0};
  }
  items[count++] = {descriptor, POLLIN, 0};
  timespec time{};
  time.tv_sec = static_cast<std::time_t>(timeout.count() / 1'000'000);
  time.tv_nsec = static_cast<long>(timeout.count() % 1'000'000 * 1000);
  if (::ppoll(items.data(), count, timeout.count() < 0 ? nullptr : &time, nullptr) <= 0) {
    return false;
  }
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    sockets[i].is_ready = sockets[i].is_ready || items[i].revents != 0;
  }
  return items[count - 1].revents != 0;
}

WakeUp::WakeUp() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

WakeUp::~WakeUp() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

void WakeUp::signal() const {
  const std::uint64_t one = 1;
  (void)!::write(fd_, &one,
                 sizeof one);  // Fails only when 2^64-2 signals wait, and then it is signalled.
}

void WakeUp::clear() const {
  std::uint64_t count = 0;
  (void)!::read(fd_, &count, sizeof count);
}

}  // namespace forerun::wiring
