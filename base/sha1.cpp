#include "base/sha1.hpp"

#include <openssl/evp.h>

#include <array>

#include "base/assert.hpp"

namespace forerun {

std::uint32_t sha1_prefix(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  FORERUN_ASSERT(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) ==
                 1);
  std::uint32_t prefix = 0;
  for (std::size_t i = 0; i < sizeof prefix; ++i) {
    prefix = prefix << 8U | digest[i];
  }
  return prefix;
}

}  // namespace forerun
