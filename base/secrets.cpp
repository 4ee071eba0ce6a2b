#include "base/secrets.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/assert.hpp"

namespace forerun {

std::array<std::uint8_t, 32> random_secret() {
  std::array<std::uint8_t, 32> secret{};
  FORERUN_ASSERT(RAND_priv_bytes(secret.data(), static_cast<int>(secret.size())) == 1);
  return secret;
}

bool same_secret(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace forerun
