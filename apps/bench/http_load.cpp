#include "apps/bench/http_load.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "apps/bench/load.hpp"
#include "base/json.hpp"

namespace forerun {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int answered_within_ms = 20'000;
constexpr std::size_t answer_bytes_max = 1U << 20U;

/// A client as small as can be, so that what is measured is the server.
class Connection {
public:
  explicit Connection(std::uint16_t port)
      : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    is_open_ =
        ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  Connection(const Connection&) = delete;
  Connection(Connection&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)),
        is_open_(other.is_open_),
        received_(std::move(other.received_)) {}
  ~Connection() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }
  int descriptor() const { return descriptor_; }

  Result<void> send(const std::string& path, const std::string& body) {
    const std::string request = "POST " + path +
                                " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                                "Content-Length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body;
    if (!is_open_ || ::send(descriptor_, request.data(), request.size(), MSG_NOSIGNAL) !=
                         static_cast<ssize_t>(request.size())) {
      return fail(Errc::io, std::string("bench: HTTP: send: ") + std::strerror(errno));
    }
    return {};
  }

  /// Reads what is there. Returns the answer's body once it is whole, else an empty text.
  Result<std::string> receive() {
    char bytes[16384];
    const ssize_t count = ::recv(descriptor_, bytes, sizeof bytes, 0);
    if (count <= 0 || received_.size() > answer_bytes_max) {
      return fail(Errc::io, "bench: HTTP: the connection was cut");
    }
    received_.append(bytes, static_cast<std::size_t>(count));
    const std::size_t head = received_.find("\r\n\r\n");
    if (head == std::string::npos) {
      return std::string();
    }
    constexpr std::string_view length_name = "Content-Length: ";
    const std::size_t at = received_.find(length_name);
    std::size_t length = 0;
    if (at == std::string::npos || at > head) {
      return fail(Errc::io, "bench: HTTP: an answer without Content-Length");
    }
    std::from_chars(received_.data() + at + length_name.size(), received_.data() + head, length);
    if (received_.size() < head + 4 + length) {
      return std::string();
    }
    if (!received_.starts_with("HTTP/1.1 20")) {
      return fail(Errc::io, "bench: HTTP: " + received_.substr(0, 300));
    }
    std::string body = received_.substr(head + 4, length);
    received_.clear();  // One request is on its way, so nothing comes behind its answer.
    return body;
  }

  Result<std::string> ask(const std::string& path, const std::string& body) {
    if (auto sent = send(path, body); !sent) {
      return tl::unexpected<Error>(sent.error());
    }
    for (;;) {
      auto answer = receive();
      if (!answer || !answer->empty()) {
        return answer;
      }
    }
  }

private:
  int descriptor_;
  bool is_open_ = false;
  std::string received_;
};

struct HttpSession {
  Connection connection;
  std::string path;
  std::uint64_t steps = 0;
  Clock::time_point sent{};
};

Result<HttpSession> open_session(std::uint16_t port) {
  HttpSession session{Connection(port), {}, 0, {}};
  const auto answer = session.connection.ask("/v1/sessions", R"({"speculation":"off"})");
  if (!answer) {
    return tl::unexpected<Error>(answer.error());
  }
  const auto opened = json::parse(*answer);
  const json::Value* run_id = opened ? opened->find("run_id") : nullptr;
  if (run_id == nullptr || run_id->string() == nullptr) {
    return fail(Errc::io, "bench: HTTP: no run_id in " + *answer);
  }
  session.path = "/v1/sessions/" + *run_id->string() + "/steps";
  return session;
}

}  // namespace

Result<HttpLoadResult> run_http_load(std::uint16_t port, std::size_t connections,
                                     std::size_t input_bytes, Duration time) {
  std::vector<HttpSession> sessions;
  std::vector<pollfd> polled;
  for (std::size_t i = 0; i < connections; ++i) {
    auto session = open_session(port);
    if (!session) {
      return tl::unexpected<Error>(session.error());
    }
    polled.push_back({session->connection.descriptor(), POLLIN, 0});
    sessions.push_back(std::move(*session));
  }
  const auto confirm = [&](std::size_t i) {
    HttpSession& session = sessions[i];
    const Call call = bench_call(i, session.steps++, input_bytes, BenchWork::distinct);
    session.sent = Clock::now();
    return session.connection.send(session.path, call.canonical());
  };
  HttpLoadResult result;
  const auto started = Clock::now();
  const auto ends = started + time;
  std::size_t waiting = connections;
  for (std::size_t i = 0; i < connections; ++i) {
    if (auto sent = confirm(i); !sent) {
      return tl::unexpected<Error>(sent.error());
    }
  }
  while (waiting > 0) {
    if (::poll(polled.data(), polled.size(), answered_within_ms) <= 0) {
      return fail(Errc::io, "bench: HTTP: an answer stays away");
    }
    for (std::size_t i = 0; i < connections; ++i) {
      if (polled[i].revents == 0) {
        continue;
      }
      const auto answer = sessions[i].connection.receive();
      if (!answer) {
        return tl::unexpected<Error>(answer.error());
      }
      if (answer->empty()) {
        continue;
      }
      const auto now = Clock::now();
      if (now >= ends) {
        --waiting;
        continue;
      }
      result.latencies_us.push_back(
          std::chrono::duration<float, std::micro>(now - sessions[i].sent).count());
      if (auto sent = confirm(i); !sent) {
        return tl::unexpected<Error>(sent.error());
      }
    }
  }
  result.per_s =
      static_cast<double>(result.latencies_us.size()) * 1e6 / static_cast<double>(time.count());
  return result;
}

}  // namespace forerun
