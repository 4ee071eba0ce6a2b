#include "apps/commands/client_flags.hpp"

#include <cstdlib>

#include "base/private_file.hpp"
#include "files/file_bytes.hpp"

namespace forerun {
namespace {

constexpr std::size_t token_bytes_max = 4096;
constexpr const char* token_variable = "FORERUN_TOKEN";

}  // namespace

Result<HttpLimits> ClientFlags::limits() const {
  HttpLimits limits;
  limits.ca = ca.string();
  std::string place = token_variable;
  if (!token_file.empty()) {
    place = token_file.string();
    if (auto alone = check_private(token_file); !alone) {
      return tl::unexpected(alone.error());
    }
    auto text = read_file(token_file, token_bytes_max);
    if (!text) {
      return tl::unexpected(text.error());
    }
    text->erase(text->find_last_not_of(" \t\r\n") + 1);
    limits.token = std::move(*text);
    if (limits.token.empty()) {
      return fail(Errc::invalid, place + ": empty, expected a token");
    }
  } else if (const char* const given = std::getenv(token_variable)) {
    limits.token = given;
  }
  if (limits.token.starts_with("fr1.")) {
    return fail(Errc::invalid,
                place + ": a node's join token, expected one of forerun keys token add");
  }
  for (const char c : limits.token) {
    if (c <= 0x20 || c >= 0x7f) {
      return fail(Errc::invalid, place + ": expected one token of printable ASCII characters");
    }
  }
  return limits;
}

Result<HttpClient> ClientFlags::client() const {
  return limits().map([this](const HttpLimits& limits) { return HttpClient(url, limits); });
}

Error refusal(const std::string& url, const HttpAnswer& answer) {
  const json::Value* detail =
      answer.body.object() == nullptr ? nullptr : answer.body.find("detail");
  const bool is_refused = answer.status == 401 || answer.status == 403 || answer.status == 409;
  return {answer.status == 404 ? Errc::not_found
          : is_refused         ? Errc::refused
                               : Errc::io,
          url + ": status " + std::to_string(answer.status) + ": " +
              (detail != nullptr && detail->string() != nullptr ? *detail->string() : "no detail")};
}

void add_client_flags(CLI::App& command, ClientFlags& flags) {
  command.add_option("--url", flags.url, "The coordinator's HTTP address")->capture_default_str();
  command.add_option("--token-file", flags.token_file,
                     "The file that holds the token to send; none by default");
  command.add_option("--ca", flags.ca,
                     "Certificates to trust for https (PEM), instead of the system's");
}

}  // namespace forerun
