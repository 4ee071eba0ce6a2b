#include "apps/bench/silent_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <set>

namespace forerun {
namespace {

constexpr int turn_ms = 100;  ///< Until it sees that it should end.
constexpr int backlog = 1024;

}  // namespace

Result<void> SilentServer::start() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener_;
  if (listener_ < 0 || epoll_ < 0 ||
      ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_, backlog) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0) {
    return fail(Errc::io, "bench: no server on loopback can be started");
  }
  url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
  thread_ = std::thread([this] { serve(); });
  return {};
}

SilentServer::~SilentServer() {
  is_ending_ = true;
  if (thread_.joinable()) {
    thread_.join();
  }
  for (const int descriptor : {listener_, epoll_}) {
    if (descriptor >= 0) {
      ::close(descriptor);
    }
  }
}

void SilentServer::serve() {
  std::set<int> connections;
  std::array<epoll_event, 64> events{};
  std::array<char, 4096> ignored{};
  while (!is_ending_) {
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), turn_ms);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events.at(static_cast<std::size_t>(i)).data.fd;
      if (descriptor == listener_) {
        const int made = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = made;
        if (made >= 0 && ::epoll_ctl(epoll_, EPOLL_CTL_ADD, made, &event) == 0) {
          connections.insert(made);
        }
      } else if (const ssize_t size = ::read(descriptor, ignored.data(), ignored.size());
                 size == 0 || (size < 0 && errno != EAGAIN)) {
        connections.erase(descriptor);
        ::close(descriptor);
      }
      open_ = connections.size();
    }
  }
  for (const int connection : connections) {
    ::close(connection);
  }
}

}  // namespace forerun
