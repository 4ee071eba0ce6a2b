#include "cluster/self_test.hpp"

#include <array>
#include <chrono>
#include <utility>
#include <zmq.hpp>

#include "cluster/sockets.hpp"

namespace forerun::wiring {
namespace {

/// Where to reach a socket that is bound to every address.
std::string reachable(const std::string& host) {
  if (host == "0.0.0.0" || host == "*") {
    return "127.0.0.1";
  }
  return host == "::" ? "::1" : host;
}

Result<bool> answer_of(zmq::socket_t& reports, const std::string& where) {
  const auto deadline = std::chrono::steady_clock::now() + 2 * handshake_max;
  const WakeUp never;
  std::array<Watched, 1> watched{Watched{&reports}};
  for (;;) {
    if (const auto handshake = next_handshake(reports)) {
      if (*handshake == Handshake::succeeded || *handshake == Handshake::refused) {
        return *handshake == Handshake::succeeded;
      }
      continue;  // ZeroMQ connects again by itself.
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left <= std::chrono::milliseconds::zero()) {
      return fail(Errc::io, "bus: self-test: " + where + ": no answer to a handshake");
    }
    wait_readable(watched, never.descriptor(), left);
  }
}

}  // namespace

Result<bool> lets_in(const std::string& host, std::uint16_t port, const CurveKeyPair& own,
                     const CurveKey& server, bool is_publisher) {
  const std::string where = endpoint(reachable(host), port);
  try {
    zmq::context_t context;
    zmq::socket_t socket(context, is_publisher ? zmq::socket_type::sub : zmq::socket_type::dealer);
    harden(socket, reachable(host), {});
    use_curve(socket, own, server);
    zmq::socket_t reports = monitor(context, socket, "self-test");
    socket.connect(where);
    auto answer = answer_of(reports, where);
    close_monitored(socket, reports);
    return answer;
  } catch (const zmq::error_t& error) {
    return fail(Errc::io, "bus: self-test: " + where + ": " + error.what());
  }
}

Result<void> prove_strangers_stay_out(const std::string& host, std::uint16_t port,
                                      std::uint16_t publish_port, const CurveKeyPair& allowed,
                                      const CurveKey& server) {
  const CurveKeyPair stranger = CurveKeyPair::generate();
  const std::array<std::pair<std::uint16_t, bool>, 2> ports{{{port, false}, {publish_port, true}}};
  for (const auto& [number, is_publisher] : ports) {
    for (const bool is_allowed : {false, true}) {
      const auto is_in =
          lets_in(host, number, is_allowed ? allowed : stranger, server, is_publisher);
      if (!is_in) {
        return tl::unexpected(is_in.error());
      }
      if (*is_in != is_allowed) {
        return fail(Errc::refused,
                    "bus: self-test: port " + std::to_string(number) +
                        (is_allowed ? ": an allowed key was refused" : ": an unknown key got in"));
      }
    }
  }
  return {};
}

}  // namespace forerun::wiring
