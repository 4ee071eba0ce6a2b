#include "apps/commands/client_flags.hpp"

#include "files/file_bytes.hpp"

namespace forerun {
namespace {

constexpr std::size_t token_bytes_max = 4096;

}  // namespace

Result<HttpLimits> ClientFlags::limits() const {
  HttpLimits limits;
  limits.token = token;
  if (!token_file.empty()) {
    auto text = read_file(token_file, token_bytes_max);
    if (!text) {
      return tl::unexpected(text.error());
    }
    text->erase(text->find_last_not_of(" \t\r\n") + 1);
    limits.token = std::move(*text);
  }
  for (const char c : limits.token) {
    if (c <= 0x20 || c >= 0x7f) {
      return fail(Errc::invalid, (token_file.empty() ? "--token" : token_file.string()) +
                                     ": expected one token of printable ASCII characters");
    }
  }
  if (limits.token.empty() && !token_file.empty()) {
    return fail(Errc::invalid, token_file.string() + ": empty, expected a token");
  }
  return limits;
}

void add_client_flags(CLI::App& command, ClientFlags& flags) {
  command.add_option("--url", flags.url, "The coordinator's HTTP address")->capture_default_str();
  CLI::Option* const token =
      command.add_option("--token", flags.token, "Sent as a bearer token; none by default");
  command.add_option("--token-file", flags.token_file, "The file that holds it")->excludes(token);
}

}  // namespace forerun
