#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sha256.hpp"

/// Bearer tokens (RFC 6750): who may ask what over HTTP (docs/security.md). Pure.
namespace forerun {

inline constexpr std::size_t tokens_max = 4096;
inline constexpr std::size_t token_name_bytes_max = 63;  ///< Of names and of tenants.
inline constexpr std::string_view default_tenant = "default";

enum class Role : std::uint8_t {
  client,           ///< Its tenant's sessions.
  tenant_operator,  ///< Also its tenant's history and effects, and the cluster's status.
  auditor,          ///< Ledger, audits and status of the whole cluster; no session.
};
/// `client`, `operator` or `auditor`.
std::string_view to_string(Role role);
/// Errors: invalid.
Result<Role> role_from(std::string_view text);

/// One line of a tokens file, "NAME TENANT ROLE SHA256": the token itself is in no file.
struct TokenEntry {
  std::string name;  ///< For people: to list and to revoke it.
  std::string tenant;
  Role role = Role::client;
  Digest hash;  ///< SHA-256 of the token's text. A token has 256 random bits, so no salt is needed.
};

/// 1 to token_name_bytes_max of a-z, 0-9 and -.
bool is_token_name(std::string_view name);

/// Who is let in. Immutable after parse().
class TokenTable {
public:
  /// Reads a tokens file; empty lines and lines from `#` mean nothing. Errors: invalid and
  /// too_large, naming place and line; no message repeats a hash.
  static Result<TokenTable> parse(std::string_view text, const std::string& place);
  const std::vector<TokenEntry>& entries() const { return entries_; }
  /// The entry of a token, or null. Takes the same time whichever entry it is and however close a
  /// wrong token comes.
  const TokenEntry* find(std::string_view token) const { return find(sha256(token)); }
  const TokenEntry* find(const Digest& hash) const;

private:
  std::vector<TokenEntry> entries_;
};

}  // namespace forerun
