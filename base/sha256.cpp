#include "base/sha256.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "base/assert.hpp"
#include "base/hex.hpp"

namespace forerun {
namespace {

/// One context a thread; the algorithm is fetched once, which halves the cost of a short digest.
class Hasher {
public:
  Hasher()
      : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr), EVP_MD_free),
        context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    FORERUN_ASSERT(algorithm_ != nullptr && context_ != nullptr);
  }
  void start() {
    FORERUN_ASSERT(EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr) == 1);
  }
  void add(const void* bytes, std::size_t size) {
    FORERUN_ASSERT(EVP_DigestUpdate(context_.get(), bytes, size) == 1);
  }
  Digest finish() {
    Digest digest;
    FORERUN_ASSERT(EVP_DigestFinal_ex(context_.get(), digest.bytes.data(), nullptr) == 1);
    return digest;
  }

private:
  std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> algorithm_;
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

Hasher& hasher() {
  thread_local Hasher instance;
  instance.start();
  return instance;
}

}  // namespace

std::string to_hex(const Digest& digest) {
  return to_hex(std::span<const std::uint8_t>(digest.bytes));
}

Result<Digest> digest_from_hex(std::string_view text) {
  Digest digest;
  if (!bytes_from_hex(text, digest.bytes)) {
    return fail(Errc::invalid,
                "digest: " + std::to_string(text.size()) + " characters, expected 64 hex digits");
  }
  return digest;
}

Digest sha256(std::string_view bytes) {
  return sha256(as_bytes_of(bytes));
}

Digest sha256(std::span<const std::uint8_t> bytes) {
  Hasher& h = hasher();
  h.add(bytes.data(), bytes.size());
  return h.finish();
}

Digest sha256_concat(std::span<const std::uint8_t> first, std::string_view second) {
  Hasher& h = hasher();
  h.add(first.data(), first.size());
  h.add(second.data(), second.size());
  return h.finish();
}

Digest sha256_concat(std::uint8_t prefix, std::span<const std::uint8_t> first,
                     std::span<const std::uint8_t> second) {
  Hasher& h = hasher();
  h.add(&prefix, 1);
  h.add(first.data(), first.size());
  h.add(second.data(), second.size());
  return h.finish();
}

}  // namespace forerun
