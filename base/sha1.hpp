#pragma once

#include <cstdint>
#include <string_view>

namespace forerun {

/// The first 32 bits of the SHA-1 of a text (RFC 3174), as a number. For splitting data by name as
/// other tools do; never for security.
std::uint32_t sha1_prefix(std::string_view text);

}  // namespace forerun
