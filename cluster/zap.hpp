#pragma once

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/keys.hpp"

namespace zmq {
class context_t;
class socket_t;
}  // namespace zmq

namespace forerun::wiring {

/// Whose handshake succeeds. Not thread-safe; the bus's thread owns it.
class AllowList {
public:
  /// Returns true when a key that was allowed no longer is.
  bool replace(std::span<const AllowedPeer> peers);
  /// One more key that gets in, for the self-test; as a user it is unknown all the same.
  void set_probe(std::optional<CurveKey> probe) { probe_ = probe; }
  bool has(const CurveKey& key) const { return keys_.contains(key) || probe_ == key; }
  /// `user_id` is a fingerprint, as the ZAP handler gave it.
  bool has_user(std::string_view user_id) const { return users_.contains(user_id); }

private:
  std::set<CurveKey> keys_;
  std::optional<CurveKey> probe_;
  std::set<std::string, std::less<>> users_;
};

/// ZeroMQ asks it at every CURVE handshake of its context (RFC 27). Without one, ZeroMQ accepts any
/// key: bind it first.
class ZapHandler {
public:
  /// Throws zmq::error_t.
  explicit ZapHandler(zmq::context_t& context);
  ~ZapHandler();
  zmq::socket_t& socket() { return *socket_; }
  /// Answers the questions that wait, up to a limit a turn. A key on the list gets its fingerprint
  /// as User-Id.
  void answer(const AllowList& allowed);

private:
  std::unique_ptr<zmq::socket_t> socket_;
};

}  // namespace forerun::wiring
