#include <array>

#include "base/sha256.hpp"
#include "gateway/render.hpp"
#include "gateway/routes.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace forerun;

namespace {

std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

}  // namespace

/// A request as "METHOD TARGET", headers a line each, an empty line, the body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = fuzz::text_of(data, size);
  const std::string_view first = take_line(text);
  RequestHead head;
  head.method = first.substr(0, first.find(' '));
  head.target = first.size() > head.method.size() ? first.substr(head.method.size() + 1) : "";
  std::vector<Header> headers;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      break;
    }
    headers.push_back({line.substr(0, colon), line.substr(colon + 1)});
  }
  head.headers = headers;
  head.content_length = text.size();
  HeadRules rules;
  // Of its tokens only one is known, so that both ways are gone.
  static const TokenTable tokens =
      *TokenTable::parse("a acme operator " + to_hex(sha256("known")), "tokens");
  if (const auto judged = (rules.tokens = &tokens, route_of(head, rules)); judged) {
    fuzz::require(judged->endpoint == Endpoint::healthz || judged->tenant == "acme",
                  "whoever is let in has a tenant");
  }
  rules.tokens = nullptr;
  const auto route = route_of(head, rules);
  if (!route) {
    fuzz::require(!render(route.error()).body.empty(), "a refusal says why");
    return 0;
  }
  if (route->endpoint != Endpoint::healthz) {
    const auto request = request_of(*route, text, rules.body_bytes_max);
    fuzz::require(request.has_value() || !render(request.error()).body.empty(),
                  "a refusal says why");
  }
  return 0;
}
