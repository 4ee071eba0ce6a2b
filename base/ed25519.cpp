#include "base/ed25519.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <vector>

#include "base/assert.hpp"
#include "base/hex.hpp"
#include "base/sha256.hpp"

namespace forerun {
namespace {

using KeyHandle = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using ContextHandle = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

template <class Value>
Result<Value> value_from_hex(std::string_view what, std::string_view text) {
  Value value;
  if (!bytes_from_hex(text, value.bytes)) {
    return fail(Errc::invalid, std::string(what) + ": " + std::to_string(text.size()) +
                                   " characters, expected " +
                                   std::to_string(2 * value.bytes.size()) + " hex digits");
  }
  return value;
}

}  // namespace

std::string to_hex(const PublicKey& key) {
  return to_hex(std::span<const std::uint8_t>(key.bytes));
}
std::string to_hex(const Signature& signature) {
  return to_hex(std::span<const std::uint8_t>(signature.bytes));
}
Result<PublicKey> public_key_from_hex(std::string_view text) {
  return value_from_hex<PublicKey>("public key", text);
}
Result<Signature> signature_from_hex(std::string_view text) {
  return value_from_hex<Signature>("signature", text);
}

struct SigningKey::Impl {
  KeyHandle key{nullptr, EVP_PKEY_free};
  std::array<std::uint8_t, 32> seed{};
  PublicKey public_key;
};

SigningKey SigningKey::from_seed(const std::array<std::uint8_t, 32>& seed) {
  auto impl = std::make_shared<Impl>();
  impl->seed = seed;
  impl->key.reset(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  FORERUN_ASSERT(impl->key != nullptr);
  std::size_t size = impl->public_key.bytes.size();
  FORERUN_ASSERT(
      EVP_PKEY_get_raw_public_key(impl->key.get(), impl->public_key.bytes.data(), &size) == 1);
  FORERUN_ASSERT(size == impl->public_key.bytes.size());
  return SigningKey(std::move(impl));
}

SigningKey SigningKey::generate() {
  std::array<std::uint8_t, 32> seed{};
  FORERUN_ASSERT(RAND_priv_bytes(seed.data(), static_cast<int>(seed.size())) == 1);
  return from_seed(seed);
}

std::array<std::uint8_t, 32> SigningKey::seed() const {
  return impl_->seed;
}
const PublicKey& SigningKey::public_key() const {
  return impl_->public_key;
}

Signature SigningKey::sign(std::string_view message) const {
  const ContextHandle context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  FORERUN_ASSERT(context != nullptr);
  FORERUN_ASSERT(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, impl_->key.get()) ==
                 1);
  Signature signature;
  std::size_t size = signature.bytes.size();
  const auto bytes = as_bytes_of(message);
  FORERUN_ASSERT(EVP_DigestSign(context.get(), signature.bytes.data(), &size, bytes.data(),
                                bytes.size()) == 1);
  FORERUN_ASSERT(size == signature.bytes.size());
  return signature;
}

bool verify(const PublicKey& key, std::string_view message, const Signature& signature) {
  const KeyHandle handle(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.bytes.data(), key.bytes.size()),
      EVP_PKEY_free);
  const ContextHandle context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (handle == nullptr || context == nullptr ||
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, handle.get()) != 1) {
    return false;
  }
  const auto bytes = as_bytes_of(message);
  return EVP_DigestVerify(context.get(), signature.bytes.data(), signature.bytes.size(),
                          bytes.data(), bytes.size()) == 1;
}

}  // namespace forerun
