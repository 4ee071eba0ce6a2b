#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/ed25519.hpp"
#include "base/result.hpp"
#include "speculation/ids.hpp"

namespace forerun {

using CurveKey = std::array<std::uint8_t, 32>;

/// A CURVE key pair (Curve25519). `secret` never reaches a log or an error message.
struct CurveKeyPair {
  CurveKey public_key{};
  CurveKey secret{};
  static CurveKeyPair generate();
  /// Errors: invalid when the secret is no key.
  static Result<CurveKeyPair> from_secret(const CurveKey& secret);
};

/// First 16 hex digits of SHA-256 of the public key: how peers are named in logs and lists.
NodeId fingerprint(const CurveKey& public_key);

/// One line that lets a node join: the coordinator's public key, the node's own secret and the
/// ledger's first key. Text: "fr1." + 192 hex digits. It is a secret.
struct JoinToken {
  CurveKey server_public{};
  CurveKey node_secret{};
  PublicKey ledger_key{};
  std::string text() const;
  static Result<JoinToken> parse(std::string_view text);
};

struct AllowedPeer {
  std::string name;
  CurveKey public_key{};
};

/// Limits of the allow-list.
inline constexpr std::size_t allowed_peers_max = 4096;
inline constexpr std::size_t peer_name_bytes_max = 63;

/// `DIR/keys/` (0700): `server.key`, `ledger.key` (hex of the secret), `allowed` (one "NAME
/// PUBLIC_KEY_HEX" a line; empty lines and lines from `#` are kept); all 0600. All functions read
/// and write files, one process at a time (a lock on the folder); files change whole or not at all.
/// Errors: io; refused when others may read a key or write a file; invalid for a file's content;
/// all name the file and what was expected.
class KeyFolder {
public:
  /// Makes missing keys (from the operating system's randomness).
  static Result<KeyFolder> open_or_create(const std::filesystem::path& data_directory);
  const CurveKeyPair& server() const { return server_; }
  const SigningKey& ledger() const { return ledger_; }
  Result<std::vector<AllowedPeer>> allowed() const;
  /// Makes a key for a node and allows it. Errors: refused when the name is taken; invalid unless
  /// [a-z0-9-]{1,63}; too_large above allowed_peers_max.
  Result<JoinToken> add(const std::string& name);
  /// Another key for a node that has one: that one is revoked. Errors: not_found; as of add().
  Result<JoinToken> renew(const std::string& name);
  /// Errors: not_found.
  Result<void> revoke(const std::string& name);

private:
  KeyFolder(std::filesystem::path folder, CurveKeyPair server, SigningKey ledger);
  Result<JoinToken> make(const std::string& name, bool replaces);
  std::filesystem::path folder_;
  CurveKeyPair server_;
  SigningKey ledger_;
};

}  // namespace forerun
