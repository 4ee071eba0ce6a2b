#pragma once

#include <filesystem>
#include <string>

#include "apps/commands/cli.hpp"
#include "demo/http_client.hpp"

namespace forerun {

/// How a command reaches a coordinator.
struct ClientFlags {
  std::string url = "http://127.0.0.1:7480";
  std::string token;
  std::filesystem::path token_file;

  /// Errors: those of reading the token's file; invalid for one without a token.
  Result<HttpLimits> limits() const;
};

/// Adds --url, --token and --token-file.
void add_client_flags(CLI::App& command, ClientFlags& flags);

}  // namespace forerun
