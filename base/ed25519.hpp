#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace forerun {

/// Raw Ed25519 values (RFC 8032).
struct PublicKey {
  std::array<std::uint8_t, 32> bytes{};
  friend auto operator<=>(const PublicKey&, const PublicKey&) = default;
};
struct Signature {
  std::array<std::uint8_t, 64> bytes{};
  friend auto operator<=>(const Signature&, const Signature&) = default;
};

std::string to_hex(const PublicKey& key);
std::string to_hex(const Signature& signature);
Result<PublicKey> public_key_from_hex(std::string_view text);
Result<Signature> signature_from_hex(std::string_view text);

/// A private Ed25519 key. Signing is deterministic (RFC 8032 §5.1.6), so a machine may own one and
/// stay pure. Cheap to copy (shares the key). Thread-safe.
class SigningKey {
public:
  /// Makes the key of a 32-byte seed. The seed must come from the operating system's randomness
  /// (or, in a simulation, from its seed).
  static SigningKey from_seed(const std::array<std::uint8_t, 32>& seed);
  /// Makes a new key from the operating system's randomness.
  static SigningKey generate();

  std::array<std::uint8_t, 32> seed() const;
  const PublicKey& public_key() const;
  Signature sign(std::string_view message) const;

private:
  struct Impl;
  explicit SigningKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

/// True when `signature` over `message` was made with the private half of `key`.
bool verify(const PublicKey& key, std::string_view message, const Signature& signature);

}  // namespace forerun
