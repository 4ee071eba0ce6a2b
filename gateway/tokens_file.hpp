#pragma once

#include <filesystem>
#include <string>

#include "gateway/tokens.hpp"

/// The file that says which tokens there are. One process at a time changes it (a lock on its
/// folder); it changes whole or not at all.
namespace forerun {

/// Errors: those of read_private_file() (a file that others may write is refused) and parse();
/// not_found.
Result<TokenTable> read_tokens(const std::filesystem::path& file);
/// Makes a token and adds its hash to the file, which is made when it is missing. The token is
/// "frt1." and 64 hex digits; nothing else keeps it. Errors: invalid (name, tenant: 1 to 63 of a-z,
/// 0-9 and -), refused (the name is taken), too_large, io.
Result<std::string> add_token(const std::filesystem::path& file, const std::string& name,
                              const std::string& tenant, Role role);
/// Errors: not_found.
Result<void> revoke_token(const std::filesystem::path& file, const std::string& name);

}  // namespace forerun
