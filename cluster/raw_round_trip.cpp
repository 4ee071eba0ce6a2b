#include "cluster/raw_round_trip.hpp"

#include <array>
#include <chrono>
#include <deque>
#include <zmq.hpp>

#include "cluster/sockets.hpp"

namespace forerun {
namespace {

using namespace wiring;
using Clock = std::chrono::steady_clock;

constexpr const char* loopback = "127.0.0.1";
constexpr std::chrono::seconds reply_within{1};

bool wait_for(zmq::socket_t& socket, std::chrono::milliseconds timeout) {
  zmq_pollitem_t item{socket.handle(), 0, ZMQ_POLLIN, 0};
  return zmq_poll(&item, 1, timeout.count()) > 0;
}

}  // namespace

Result<void> serve_raw_replies(std::size_t reply_bytes, const CurveKeyPair& server,
                               const std::function<void(std::uint16_t port)>& ready) {
  try {
    zmq::context_t context;
    zmq::socket_t socket(context, zmq::socket_type::router);
    harden(socket, loopback, BusLimits{});
    serve_curve(socket, server);
    socket.bind(endpoint(loopback, 0));
    const std::string address = socket.get(zmq::sockopt::last_endpoint);
    ready(static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1))));
    const std::string reply(reply_bytes, 'r');
    zmq::message_t route;
    zmq::message_t request;
    for (;;) {
      wait_for(socket, std::chrono::milliseconds(-1));
      while (receive(socket, route)) {
        receive(socket, request);
        send_frame(socket, bytes_of(route), true);
        send_frame(socket, reply);
      }
    }
  } catch (const zmq::error_t& error) {
    return fail(Errc::io, std::string("raw replies: ") + error.what());
  }
}

Result<RawRoundTrips> measure_raw_round_trips(std::uint16_t port, const CurveKey& server,
                                              std::size_t request_bytes, std::size_t in_flight,
                                              Duration time) {
  try {
    zmq::context_t context;
    zmq::socket_t socket(context, zmq::socket_type::dealer);
    harden(socket, loopback, BusLimits{});
    use_curve(socket, CurveKeyPair::generate(), server);
    socket.connect(endpoint(loopback, port));
    const std::string request(request_bytes, 'q');
    zmq::message_t reply;
    const auto no_reply = [] { return fail(Errc::io, "raw round trip: no reply within a second"); };
    // The first one waits for the handshake.
    send_frame(socket, request);
    if (!wait_for(socket, reply_within) || !receive(socket, reply)) {
      return no_reply();
    }
    RawRoundTrips result;
    std::deque<Clock::time_point> sent;
    const auto started = Clock::now();
    const auto ends = started + time;
    for (std::size_t i = 0; i < in_flight; ++i) {
      sent.push_back(Clock::now());
      send_frame(socket, request);
    }
    while (!sent.empty()) {
      if (!wait_for(socket, reply_within)) {
        return no_reply();
      }
      while (!sent.empty() && receive(socket, reply)) {
        const auto now = Clock::now();
        const std::chrono::duration<float, std::micro> took = now - sent.front();
        sent.pop_front();  // One peer answers in order.
        if (now < ends) {
          result.latencies_us.push_back(took.count());
          sent.push_back(now);
          send_frame(socket, request);
        }
      }
    }
    result.time = time;
    return result;
  } catch (const zmq::error_t& error) {
    return fail(Errc::io, std::string("raw round trip: ") + error.what());
  }
}

}  // namespace forerun
