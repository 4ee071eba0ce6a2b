#pragma once

#include <filesystem>
#include <string>

#include "apps/commands/cli.hpp"
#include "demo/http_client.hpp"

namespace forerun {

/// How a command reaches a coordinator.
struct ClientFlags {
  std::string url = "http://127.0.0.1:7480";
  std::filesystem::path token_file;  ///< Empty: FORERUN_TOKEN of the environment, or none.
  std::filesystem::path ca;          ///< Empty: the system's certificate authorities.

  /// Errors: those of reading the token's file; invalid for one without a token.
  Result<HttpLimits> limits() const;
  /// A client of `url` with these limits.
  Result<HttpClient> client() const;
};

/// What an answer that is not 200 means for the command: its problem's detail; not_found for 404,
/// refused for 401, 403 and 409, else io.
Error refusal(const std::string& url, const HttpAnswer& answer);

/// Adds --url, --token-file and --ca. No flag takes a token itself: whoever lists processes would
/// read it.
void add_client_flags(CLI::App& command, ClientFlags& flags);

}  // namespace forerun
