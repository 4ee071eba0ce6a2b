#include "cluster/zap.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <zmq.hpp>

#include "cluster/sockets.hpp"

namespace forerun::wiring {
namespace {

constexpr std::size_t questions_a_turn = 64;

/// The frames of a request, RFC 27 §"The ZAP protocol".
enum Part : std::size_t {
  version,
  request_id,
  domain,
  address,
  identity,
  mechanism,
  credentials,
  part_count
};

/// Reads one request whole. False when none waits. Frames beyond the known ones make it unusable:
/// `count` tells.
bool read_request(zmq::socket_t& socket, std::array<std::string, part_count>& parts,
                  std::size_t& count) {
  zmq::message_t message;
  count = 0;
  if (!receive(socket, message)) {
    return false;
  }
  for (;;) {
    if (count < part_count) {
      parts[count] = std::string(bytes_of(message));
    }
    ++count;
    if (!message.more() || !receive(socket, message)) {
      return true;
    }
  }
}

}  // namespace

bool AllowList::replace(std::span<const AllowedPeer> peers) {
  std::set<CurveKey> before = std::exchange(keys_, {});
  users_.clear();
  for (const AllowedPeer& peer : peers) {
    keys_.insert(peer.public_key);
    users_.insert(fingerprint(peer.public_key).name);
  }
  return !std::ranges::includes(keys_, before);
}

ZapHandler::ZapHandler(zmq::context_t& context)
    : socket_(std::make_unique<zmq::socket_t>(context, zmq::socket_type::rep)) {
  socket_->set(zmq::sockopt::linger, 0);
  socket_->bind("inproc://zeromq.zap.01");
}

ZapHandler::~ZapHandler() = default;

void ZapHandler::answer(const AllowList& allowed) {
  std::array<std::string, part_count> parts;
  std::size_t count = 0;
  for (std::size_t i = 0; i < questions_a_turn && read_request(*socket_, parts, count); ++i) {
    CurveKey key{};
    const bool is_question = count == part_count && parts[version] == "1.0" &&
                             parts[domain] == zap_domain && parts[mechanism] == "CURVE" &&
                             parts[credentials].size() == key.size();
    if (is_question) {
      std::ranges::copy(parts[credentials], key.begin());
    }
    const bool is_allowed = is_question && allowed.has(key);
    const std::string user = is_allowed ? fingerprint(key).name : "";
    const std::array<std::string_view, 6> answer{"1.0",
                                                 parts[request_id],
                                                 is_allowed ? "200" : "400",
                                                 is_allowed ? "OK" : "unknown key",
                                                 user,
                                                 ""};
    for (std::size_t part = 0; part < answer.size(); ++part) {
      send_frame(*socket_, answer[part], part + 1 < answer.size());
    }
  }
}

}  // namespace forerun::wiring
