#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace forerun::test {

/// Sits between a peer and a ZeroMQ socket on loopback, and gives each frame that the peer sends
/// after its greeting (ZMTP 3.1, RFC 37: 64 bytes, then flags, length, body) to `meddle`, whose
/// result goes on instead. What comes back is passed on as it is.
class FrameProxy {
public:
  using Meddle = std::function<std::string(std::string frame)>;

  /// `meddle` is called on the proxy's thread.
  FrameProxy(std::uint16_t target, Meddle meddle) : target_(target), meddle_(std::move(meddle)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("proxy: cannot listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  FrameProxy(const FrameProxy&) = delete;
  FrameProxy& operator=(const FrameProxy&) = delete;
  ~FrameProxy() {
    is_ending_ = true;
    thread_.join();
    for (Pair& pair : pairs_) {
      ::close(pair.peer);
      ::close(pair.server);
    }
    ::close(listener_);
  }
  std::uint16_t port() const { return port_; }

private:
  struct Pair {
    int peer = -1;
    int server = -1;
    std::size_t greeting_left = 64;
    std::string unread{};
  };

  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  static bool send_all(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return false;
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// The first whole frame of `bytes`, taken out of it.
  static std::optional<std::string> take_frame(std::string& bytes) {
    constexpr unsigned is_long = 2;
    if (bytes.size() < 2) {
      return std::nullopt;
    }
    std::size_t head = 2;
    std::uint64_t length = static_cast<std::uint8_t>(bytes[1]);
    if ((static_cast<std::uint8_t>(bytes[0]) & is_long) != 0) {
      head = 9;
      length = 0;
      for (std::size_t i = 1; i < head && i < bytes.size(); ++i) {
        length = length << 8U | static_cast<std::uint8_t>(bytes[i]);
      }
    }
    if (bytes.size() < head || bytes.size() - head < length) {
      return std::nullopt;
    }
    std::string frame = bytes.substr(0, head + length);
    bytes.erase(0, frame.size());
    return frame;
  }

  bool from_peer(Pair& pair) {
    std::array<char, 16384> buffer{};
    const ssize_t size = ::recv(pair.peer, buffer.data(), buffer.size(), 0);
    if (size <= 0) {
      return false;
    }
    std::string_view bytes(buffer.data(), static_cast<std::size_t>(size));
    const std::string_view greeting = bytes.substr(0, pair.greeting_left);
    pair.greeting_left -= greeting.size();
    bytes.remove_prefix(greeting.size());
    pair.unread += bytes;
    std::string onward(greeting);
    while (auto frame = pair.greeting_left == 0 ? take_frame(pair.unread) : std::nullopt) {
      onward += meddle_(std::move(*frame));
    }
    return send_all(pair.server, onward);
  }

  static bool from_server(const Pair& pair) {
    std::array<char, 16384> buffer{};
    const ssize_t size = ::recv(pair.server, buffer.data(), buffer.size(), 0);
    return size > 0 &&
           send_all(pair.peer, std::string_view(buffer.data(), static_cast<std::size_t>(size)));
  }

  void accept() {
    Pair pair;
    pair.peer = ::accept(listener_, nullptr, nullptr);
    pair.server = ::socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = loopback(target_);
    if (::connect(pair.server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ::close(pair.peer);
      ::close(pair.server);
      return;
    }
    pairs_.push_back(std::move(pair));
  }

  static bool is_ready(int socket, int wait_ms) {
    pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, wait_ms) > 0;
  }

  void run() {
    while (!is_ending_) {
      if (is_ready(listener_, 1)) {
        accept();
      }
      for (auto pair = pairs_.begin(); pair != pairs_.end();) {
        const bool lives = (!is_ready(pair->peer, 0) || from_peer(*pair)) &&
                           (!is_ready(pair->server, 0) || from_server(*pair));
        if (lives) {
          ++pair;
        } else {
          ::close(pair->peer);
          ::close(pair->server);
          pair = pairs_.erase(pair);
        }
      }
    }
  }

  const std::uint16_t target_;
  const Meddle meddle_;
  const int listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
  std::uint16_t port_ = 0;
  std::list<Pair> pairs_;
  std::atomic<bool> is_ending_ = false;
  std::thread thread_;
};

}  // namespace forerun::test
