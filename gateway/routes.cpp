#include "gateway/routes.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "speculation/effects.hpp"
#include "speculation/history.hpp"
#include "speculation/protocol.hpp"

namespace forerun {
namespace {

constexpr std::string_view run_id_form =
    "a lowercase UUID, a slash and a decimal number, such as "
    "8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17";
constexpr std::string_view paths =
    "/v1/sessions, /v1/sessions/RUN_ID, /v1/sessions/RUN_ID/{steps,text,predictions,explanation}, "
    "/v1/status, /v1/history, /v1/audits, /v1/ledger, /v1/effects, /v1/effects/{redrive,drop} or "
    "/v1/healthz";

tl::unexpected<Problem> refuse(Problem problem) {
  return tl::unexpected<Problem>(std::move(problem));
}
tl::unexpected<Problem> invalid(std::string detail) {
  return refuse({.detail = std::move(detail)});
}
tl::unexpected<Problem> too_large(std::string detail) {
  return refuse({.status = 413, .name = "too-large", .detail = std::move(detail)});
}

// ASCII only: std::tolower asks the locale.
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

bool starts_ignoring_case(std::string_view text, std::string_view start) {
  return text.size() >= start.size() && same_ignoring_case(text.substr(0, start.size()), start);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t shown_max = 120;
  std::string out = "\"";
  out += text.substr(0, shown_max);
  out += text.size() > shown_max ? "…\"" : "\"";
  return out;
}

/// The one value of a header, or nothing. A header that means something here must not come twice.
tl::expected<std::optional<std::string_view>, Problem> single(const RequestHead& head,
                                                              std::string_view name) {
  std::optional<std::string_view> found;
  for (const Header& header : head.headers) {
    if (!same_ignoring_case(header.name, name)) {
      continue;
    }
    if (found) {
      return refuse({.detail = "header " + std::string(name) + ": given twice, expected once",
                     .closes = true});
    }
    found = trimmed(header.value);
  }
  return found;
}

// ---- Framing, Host and Origin

/// The library's parser reads a body with any other coding as none, which would make the body the
/// next request.
std::optional<Problem> check_framing(const RequestHead& head) {
  const auto coding = single(head, "Transfer-Encoding");
  if (!coding) {
    return coding.error();
  }
  if (*coding && !same_ignoring_case(**coding, "chunked")) {
    return Problem{.detail = "header Transfer-Encoding: " + quoted(**coding) + ", expected chunked",
                   .closes = true};
  }
  return std::nullopt;
}

/// The host of `host[:port]`, brackets of an IPv6 address kept.
std::optional<std::string_view> host_of(std::string_view authority) {
  std::size_t end = 0;
  if (authority.starts_with('[')) {
    end = authority.find(']');
    if (end == std::string_view::npos) {
      return std::nullopt;
    }
    ++end;
  } else {
    end = std::min(authority.find(':'), authority.size());
  }
  const std::string_view port = authority.substr(end);
  const bool is_port = port.empty() || (port.front() == ':' && port.size() <= 6 &&
                                        std::all_of(port.begin() + 1, port.end(),
                                                    [](char c) { return c >= '0' && c <= '9'; }));
  if (end == 0 || !is_port) {
    return std::nullopt;
  }
  return authority.substr(0, end);
}

bool is_own_name(std::string_view host, const HeadRules& rules) {
  return same_ignoring_case(host, "localhost") || host == "127.0.0.1" || host == "[::1]" ||
         host == rules.bound_host || host == "[" + rules.bound_host + "]" ||
         std::any_of(rules.names.begin(), rules.names.end(),
                     [&](const std::string& name) { return same_ignoring_case(host, name); });
}

/// No name that could be made to resolve elsewhere. Of dots and digits alone no name is made.
bool is_address(std::string_view host) {
  return host.starts_with('[') || std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= '0' && c <= '9') || c == '.';
         });
}

/// A page of another site that made its own name resolve to this address still sends that name.
std::optional<Problem> check_host(std::string_view authority, const HeadRules& rules) {
  const auto host = host_of(authority);
  if (!host) {
    // What stands before an @ may be a secret.
    return Problem{.detail = "header Host: " + quoted(authority.substr(authority.rfind('@') + 1)) +
                             ", expected HOST or HOST:PORT"};
  }
  if (!is_own_name(*host, rules) && (rules.is_loopback || !is_address(*host))) {
    return Problem{.status = 403,
                   .name = "forbidden-host",
                   .detail = "header Host: " + quoted(authority.substr(authority.rfind('@') + 1)) +
                             ", expected " +
                             (rules.is_loopback ? "localhost, 127.0.0.1 or [::1]" : "an address") +
                             " or a name given with --http-name, with any port"};
  }
  return std::nullopt;
}

/// Browsers name the page that asks. Only pages of this machine, or of this very server, may.
std::optional<Problem> check_origin(std::string_view origin, std::string_view authority,
                                    const HeadRules& rules) {
  std::string_view asking;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (starts_ignoring_case(origin, scheme)) {
      asking = origin.substr(scheme.size());
    }
  }
  const auto host = host_of(asking);
  const bool is_allowed = host && (rules.is_loopback ? is_own_name(*host, rules)
                                                     : same_ignoring_case(asking, authority));
  if (is_allowed) {
    return std::nullopt;
  }
  return Problem{.status = 403,
                 .name = "forbidden-origin",
                 .detail = "header Origin: " + quoted(origin) + ", expected a page of this host"};
}

/// Splits an absolute-form target (RFC 9112 §3.2.2) into its authority, which replaces Host, and
/// its path.
void split_absolute(std::string_view& target, std::optional<std::string_view>& authority) {
  const std::size_t end = target.find("://");
  const std::string_view scheme = target.substr(0, end);
  if (end == std::string_view::npos ||
      (!same_ignoring_case(scheme, "http") && !same_ignoring_case(scheme, "https"))) {
    return;
  }
  const std::string_view rest = target.substr(end + 3);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  authority = rest.substr(0, slash);
  target = slash == rest.size() ? std::string_view("/") : rest.substr(slash);
}

std::optional<Problem> check_source(const RequestHead& head, const HeadRules& rules,
                                    std::string_view& target) {
  const auto host = single(head, "Host");
  const auto origin = single(head, "Origin");
  if (!host || !origin) {
    return host ? origin.error() : host.error();
  }
  if (!*host && head.is_http_1_1) {
    return Problem{.detail = "header Host: missing, expected HOST or HOST:PORT"};
  }
  std::optional<std::string_view> authority = *host;
  split_absolute(target, authority);
  if (authority) {
    if (auto problem = check_host(*authority, rules)) {
      return problem;
    }
  }
  if (*origin) {
    return check_origin(**origin, authority.value_or(""), rules);
  }
  return std::nullopt;
}

// ---- Paths

int digit_of(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char small = lower(c);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? digit_of(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? digit_of(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return std::nullopt;
    }
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

/// The decoded segments after the leading slash. More than any path has need not be told apart.
tl::expected<std::vector<std::string>, Problem> segments_of(std::string_view path) {
  constexpr std::size_t segments_max = 6;
  std::vector<std::string> segments;
  std::string_view rest = path.substr(1);
  while (segments.size() < segments_max) {
    const std::size_t slash = rest.find('/');
    auto segment = percent_decoded(rest.substr(0, slash));
    if (!segment) {
      return invalid("target: " + quoted(path) +
                     ": expected two hexadecimal digits after every percent sign");
    }
    segments.push_back(std::move(*segment));
    if (slash == std::string_view::npos) {
      break;
    }
    rest = rest.substr(slash + 1);
  }
  return segments;
}

struct Place {
  enum class Kind {
    sessions,
    session,
    text,
    steps,
    predictions,
    explanation,
    status,
    audits,
    ledger,
    history,
    effects,
    effects_redrive,
    effects_drop,
    healthz
  };
  Kind kind = Kind::status;
  RunId run_id;
};

std::optional<Place::Kind> below_session(std::string_view name) {
  if (name == "text") {
    return Place::Kind::text;
  }
  if (name == "steps") {
    return Place::Kind::steps;
  }
  if (name == "predictions") {
    return Place::Kind::predictions;
  }
  if (name == "explanation") {
    return Place::Kind::explanation;
  }
  return std::nullopt;
}

tl::unexpected<Problem> no_such_path(std::string_view path) {
  return refuse(
      {.status = 404,
       .name = "not-found",
       .detail = "target: " + quoted(path) + ": no such path, expected " + std::string(paths)});
}

/// @pre parts follow "/v1/sessions/" and are not empty.
tl::expected<Place, Problem> session_place(std::span<const std::string> parts,
                                           std::string_view path) {
  std::string text = parts.front();
  std::size_t used = 1;
  // A client that encodes the whole run ID as one component writes its slash as %2F.
  if (text.find('/') == std::string::npos && parts.size() > 1 && !below_session(parts[1])) {
    text += "/" + parts[1];
    used = 2;
  }
  const auto run_id = RunId::parse(text);
  if (!run_id) {
    return invalid("run ID: " + quoted(text) + ", expected " + std::string(run_id_form));
  }
  const auto rest = parts.subspan(used);
  if (rest.empty()) {
    return Place{Place::Kind::session, *run_id};
  }
  const auto kind = below_session(rest.front());
  if (rest.size() > 1 || !kind) {
    return no_such_path(path);
  }
  return Place{*kind, *run_id};
}

tl::expected<Place, Problem> place_of(std::string_view path) {
  if (!path.starts_with('/')) {
    return no_such_path(path);
  }
  const auto segments = segments_of(path);
  if (!segments) {
    return tl::unexpected<Problem>(segments.error());
  }
  const std::vector<std::string>& parts = *segments;
  if (parts.size() >= 2 && parts[0] == "v1") {
    if (parts[1] == "sessions") {
      return parts.size() == 2 ? Place{Place::Kind::sessions, {}}
                               : session_place(std::span(parts).subspan(2), path);
    }
    if (parts.size() == 2 && parts[1] == "status") {
      return Place{Place::Kind::status, {}};
    }
    if (parts.size() == 2 && parts[1] == "ledger") {
      return Place{Place::Kind::ledger, {}};
    }
    if (parts.size() == 2 && parts[1] == "audits") {
      return Place{Place::Kind::audits, {}};
    }
    if (parts.size() == 2 && parts[1] == "history") {
      return Place{Place::Kind::history, {}};
    }
    if (parts[1] == "effects" && parts.size() == 2) {
      return Place{Place::Kind::effects, {}};
    }
    if (parts[1] == "effects" && parts.size() == 3 && parts[2] == "redrive") {
      return Place{Place::Kind::effects_redrive, {}};
    }
    if (parts[1] == "effects" && parts.size() == 3 && parts[2] == "drop") {
      return Place{Place::Kind::effects_drop, {}};
    }
    if (parts.size() == 2 && parts[1] == "healthz") {
      return Place{Place::Kind::healthz, {}};
    }
  }
  return no_such_path(path);
}

struct Operation {
  Place::Kind place;
  std::string_view method;
  Endpoint endpoint;
};
constexpr std::array<Operation, 16> operations = {{
    {Place::Kind::sessions, "POST", Endpoint::open_session},
    {Place::Kind::session, "GET", Endpoint::show_session},
    {Place::Kind::session, "DELETE", Endpoint::end_session},
    {Place::Kind::text, "POST", Endpoint::add_text},
    {Place::Kind::steps, "POST", Endpoint::confirm_calls},
    {Place::Kind::predictions, "GET", Endpoint::show_predictions},
    {Place::Kind::explanation, "GET", Endpoint::show_explanation},
    {Place::Kind::status, "GET", Endpoint::show_status},
    {Place::Kind::audits, "POST", Endpoint::start_audit},
    {Place::Kind::ledger, "GET", Endpoint::show_ledger},
    {Place::Kind::history, "POST", Endpoint::learn_history},
    {Place::Kind::history, "DELETE", Endpoint::forget_history},
    {Place::Kind::effects, "GET", Endpoint::show_effects},
    {Place::Kind::effects_redrive, "POST", Endpoint::redrive_effects},
    {Place::Kind::effects_drop, "POST", Endpoint::drop_effects},
    {Place::Kind::healthz, "GET", Endpoint::healthz},
}};

std::string_view allowed_at(Place::Kind place) {
  switch (place) {
    case Place::Kind::sessions:
    case Place::Kind::text:
    case Place::Kind::steps:
    case Place::Kind::audits:
    case Place::Kind::effects_redrive:
    case Place::Kind::effects_drop:
      return "POST";
    case Place::Kind::session:
      return "GET, DELETE";
    case Place::Kind::history:
      return "POST, DELETE";
    case Place::Kind::predictions:
    case Place::Kind::explanation:
    case Place::Kind::status:
    case Place::Kind::ledger:
    case Place::Kind::effects:
    case Place::Kind::healthz:
      return "GET";
  }
  return "GET";
}

/// The longest page of an answer that comes in pages; nothing for one that comes whole.
std::optional<PageQuery> longest_page(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::show_session:
    case Endpoint::show_explanation:
      return PageQuery{std::numeric_limits<std::uint32_t>::max(), session_page_steps_max};
    case Endpoint::show_ledger:
      return PageQuery{(std::uint64_t{1} << 53U) - 1, ledger_page_entries_max};
    default:
      return std::nullopt;
  }
}

/// Of `?from=N&count=N`, each at most once, in any order; `query` is empty without a `?`. It is
/// never repeated: it may hold a token.
tl::expected<PageQuery, Problem> page_of(Endpoint endpoint, std::string_view query) {
  const auto most = longest_page(endpoint);
  if (!most) {
    return query.empty()
               ? tl::expected<PageQuery, Problem>(PageQuery{})
               : invalid("target: query: expected none, this interface takes JSON bodies");
  }
  query.remove_prefix(std::min<std::size_t>(1, query.size()));  // The `?`.
  PageQuery page{0, most->count};
  bool has_from = false;
  bool has_count = false;
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const bool is_from = part.starts_with("from=");
    const std::string_view digits = part.substr(std::min(part.size(), part.find('=') + 1));
    std::uint64_t number = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    bool& seen = is_from ? has_from : has_count;
    const bool is_number =
        !digits.empty() && read.ec == std::errc() && read.ptr == digits.data() + digits.size();
    const bool fits = is_from ? number <= most->from : number >= 1 && number <= most->count;
    if (seen || !is_number || !fits || (!is_from && !part.starts_with("count="))) {
      return invalid("target: query: expected from=N and count=N, each once, the count from 1 to " +
                     std::to_string(most->count));
    }
    seen = true;
    (is_from ? page.from : page.count) = number;
  }
  return page;
}

tl::expected<Route, Problem> route_at(const RequestHead& head, std::string_view target) {
  // `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7).
  if (target == "*") {
    return refuse({.status = 405,
                   .name = "method-not-allowed",
                   .detail = "method: " + quoted(head.method) + ", expected GET, POST or DELETE",
                   .allow = "GET, POST, DELETE"});
  }
  const std::size_t path_end = std::min(target.find('?'), target.size());
  const auto place = place_of(target.substr(0, path_end));
  if (!place) {
    return tl::unexpected<Problem>(place.error());
  }
  for (const Operation& operation : operations) {
    if (operation.place == place->kind && operation.method == head.method) {
      Route route;
      route.endpoint = operation.endpoint;
      route.run_id = place->run_id;
      const auto page = page_of(route.endpoint, target.substr(path_end));
      if (!page) {
        return tl::unexpected<Problem>(page.error());
      }
      route.page = *page;
      return route;
    }
  }
  const std::string_view allow = allowed_at(place->kind);
  return refuse({.status = 405,
                 .name = "method-not-allowed",
                 .detail = "method: " + quoted(head.method) + ", expected " + std::string(allow),
                 .allow = allow});
}

// ---- Tokens

constexpr std::size_t token_bytes_max = 4096;

Problem unauthenticated(std::string detail) {
  return {.status = 401, .name = "unauthenticated", .detail = std::move(detail)};
}

Problem not_permitted(Role role) {
  return {.status = 403,
          .name = "not-permitted",
          .detail = "token: role " + std::string(to_string(role)) +
                    " may not ask this, expected another role (docs/security.md)"};
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 §2.1). No message repeats any of it.
tl::expected<std::string_view, Problem> token_of(const RequestHead& head) {
  constexpr std::string_view scheme = "bearer ";
  const auto header = single(head, "Authorization");
  if (!header) {
    return refuse(header.error());
  }
  const std::string_view value = header->value_or("");
  const std::string_view token =
      starts_ignoring_case(value, scheme) ? trimmed(value.substr(scheme.size())) : "";
  if (token.empty() || token.size() > token_bytes_max) {
    return refuse(unauthenticated("header Authorization: expected Bearer and a token"));
  }
  return token;
}

/// Says who asks, and whether it may.
std::optional<Problem> check_token(const RequestHead& head, const HeadRules& rules, Route& route) {
  if (rules.tokens == nullptr || route.endpoint == Endpoint::healthz) {
    return std::nullopt;
  }
  const auto token = token_of(head);
  if (!token) {
    return token.error();
  }
  const TokenEntry* const caller = rules.tokens->find(*token);
  if (caller == nullptr) {
    return unauthenticated("header Authorization: no such token");
  }
  route.tenant = caller->tenant;
  route.token = caller->hash;
  return may(caller->role, route.endpoint) ? std::nullopt
                                           : std::optional(not_permitted(caller->role));
}

// ---- The other headers

bool takes_body(Endpoint endpoint) {
  return endpoint == Endpoint::open_session || endpoint == Endpoint::add_text ||
         endpoint == Endpoint::confirm_calls || endpoint == Endpoint::start_audit ||
         endpoint == Endpoint::learn_history || endpoint == Endpoint::redrive_effects ||
         endpoint == Endpoint::drop_effects;
}

std::optional<Problem> check_key(const RequestHead& head, Route& route) {
  const auto key = single(head, "Idempotency-Key");
  if (!key) {
    return key.error();
  }
  if (!*key) {
    return std::nullopt;
  }
  const std::string_view text = **key;
  const bool is_printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7E; });
  if (text.empty() || text.size() > key_bytes_max || !is_printable) {
    return Problem{.detail = "header Idempotency-Key: " + std::to_string(text.size()) +
                             " bytes, expected 1 to 255 printable ASCII characters"};
  }
  // Taking a key and not keeping it would promise what is not held. GET and DELETE may be repeated
  // anyway.
  if (route.endpoint == Endpoint::add_text || route.endpoint == Endpoint::start_audit ||
      route.endpoint == Endpoint::learn_history || route.endpoint == Endpoint::redrive_effects ||
      route.endpoint == Endpoint::drop_effects) {
    return Problem{.detail =
                       "header Idempotency-Key: expected on opening a session and on steps only"};
  }
  if (route.endpoint == Endpoint::open_session || route.endpoint == Endpoint::confirm_calls) {
    route.idempotency_key = text;
  }
  return std::nullopt;
}

/// application/json, whose only charset is UTF-8 (RFC 8259 §8.1). Other parameters mean nothing.
bool is_json_type(std::string_view value) {
  std::size_t semicolon = value.find(';');
  if (!same_ignoring_case(trimmed(value.substr(0, semicolon)), "application/json")) {
    return false;
  }
  while (semicolon != std::string_view::npos) {
    value = value.substr(semicolon + 1);
    semicolon = value.find(';');
    const std::string_view parameter = trimmed(value.substr(0, semicolon));
    if (starts_ignoring_case(parameter, "charset=")) {
      std::string_view charset = parameter.substr(8);
      if (charset.size() >= 2 && charset.front() == '"' && charset.back() == '"') {
        charset = charset.substr(1, charset.size() - 2);
      }
      if (!same_ignoring_case(charset, "utf-8")) {
        return false;
      }
    }
  }
  return true;
}

std::optional<Problem> check_body_headers(const RequestHead& head, const HeadRules& rules,
                                          Route& route) {
  if (!head.has_body()) {
    return std::nullopt;
  }
  if (!takes_body(route.endpoint)) {
    return Problem{.detail = "body: expected none with " + std::string(head.method)};
  }
  if (head.content_length > rules.body_bytes_max) {
    return Problem{.status = 413,
                   .name = "too-large",
                   .detail = "body: " + std::to_string(head.content_length) +
                             " bytes, expected at most " + std::to_string(rules.body_bytes_max)};
  }
  const auto type = single(head, "Content-Type");
  const auto coding = single(head, "Content-Encoding");
  const auto expect = single(head, "Expect");
  for (const auto* value : {&type, &coding, &expect}) {
    if (!*value) {
      return value->error();
    }
  }
  const bool is_coded = *coding && !same_ignoring_case(**coding, "identity");
  if (!*type || !is_json_type(**type) || is_coded) {
    return Problem{
        .status = 415,
        .name = "unsupported-media-type",
        .detail =
            is_coded ? "header Content-Encoding: " + quoted(**coding) + ", expected none"
                     : "header Content-Type: " + (*type ? quoted(**type) : std::string("missing")) +
                           ", expected application/json"};
  }
  if (*expect) {
    if (!same_ignoring_case(**expect, "100-continue")) {
      return Problem{.status = 417,
                     .name = "invalid-request",
                     .detail = "header Expect: " + quoted(**expect) + ", expected 100-continue"};
    }
    route.wants_continue = head.is_http_1_1;  // RFC 9110 §10.1.1: from 1.0 it is ignored.
  }
  return std::nullopt;
}

// ---- Bodies

using Names = std::initializer_list<std::string_view>;

std::string listed(Names names) {
  std::string out;
  for (const std::string_view name : names) {
    out += out.empty() ? "" : ", ";
    out += name;
  }
  return out;
}

/// The object's first member that is not among `names`, as a problem.
std::optional<Problem> check_members(const json::Object& object, std::string_view place,
                                     Names names) {
  for (const json::Member& member : object) {
    if (std::find(names.begin(), names.end(), member.name) == names.end()) {
      return Problem{.detail = std::string(place) + ": member " + quoted(member.name) +
                               ": unknown, expected " + listed(names)};
    }
  }
  return std::nullopt;
}

tl::expected<std::string, Problem> text_member(const json::Object& object, std::string_view place,
                                               std::string_view name, std::size_t bytes_max) {
  const json::Value* value = object.find(name);
  const std::string* text = value == nullptr ? nullptr : value->string();
  const std::string subject = std::string(place) + ": member " + quoted(name) + ": ";
  if (text == nullptr) {
    return invalid(subject + (value == nullptr ? "missing" : "not a text") + ", expected a text");
  }
  if (text->size() > bytes_max) {
    return too_large(subject + std::to_string(text->size()) + " bytes, expected at most " +
                     std::to_string(bytes_max));
  }
  return *text;
}

tl::expected<ClientRequestBody, Problem> opening_of(const Route& route, const json::Object& body) {
  if (auto problem =
          check_members(body, "session", {"context", "run_id", "speculation", "state", "world"})) {
    return refuse(std::move(*problem));
  }
  OpenSession opening;
  opening.idempotency_key = route.idempotency_key;
  if (body.find("context") != nullptr) {
    auto context = text_member(body, "session", "context", text_bytes_max);
    if (!context) {
      return refuse(std::move(context.error()));
    }
    opening.context = std::move(*context);
  }
  if (body.find("world") != nullptr) {
    auto world = text_member(body, "session", "world", world_name_bytes_max);
    if (!world) {
      return refuse(std::move(world.error()));
    }
    opening.world = std::move(*world);
  }
  if (body.find("run_id") != nullptr) {
    const auto text = text_member(body, "session", "run_id", run_id_bytes_max);
    if (!text) {
      return refuse(text.error());
    }
    const auto run_id = RunId::parse(*text);
    if (!run_id) {
      return invalid("session: member \"run_id\": " + quoted(*text) + ", expected " +
                     std::string(run_id_form));
    }
    opening.run_id = *run_id;
  }
  if (const json::Value* value = body.find("state")) {
    if (depth_of(*value) > json::depth_max) {
      return too_large("session: member \"state\": nested deeper than " +
                       std::to_string(json::depth_max));
    }
    auto state = SessionState::parse(json::canonical(*value));
    if (!state) {
      const std::string detail = "session: member \"state\": " + state.error().message;
      return state.error().code == Errc::too_large ? too_large(detail) : invalid(detail);
    }
    opening.state = std::move(*state);
  }
  if (const json::Value* value = body.find("speculation")) {
    const std::string* mode = value->string();
    if (mode != nullptr && *mode == "off") {
      opening.mode = SpeculationMode::off;
    } else if (mode != nullptr && *mode == "shadow") {
      opening.mode = SpeculationMode::shadow;
    } else if (mode == nullptr || *mode != "on") {
      return invalid("session: member \"speculation\": " +
                     quoted(mode == nullptr ? json::canonical(*value) : *mode) +
                     ", expected \"on\", \"off\" or \"shadow\"");
    }
  }
  return opening;
}

tl::expected<ClientRequestBody, Problem> text_of(const Route& route, const json::Object& body) {
  if (auto problem = check_members(body, "text", {"text"})) {
    return refuse(std::move(*problem));
  }
  auto text = text_member(body, "text", "text", text_bytes_max);
  if (!text) {
    return refuse(std::move(text.error()));
  }
  return AddText{route.run_id, std::move(*text)};
}

tl::expected<Call, Problem> call_of(const json::Object& body, const std::string& place) {
  auto task = text_member(body, place, "task", task_name_bytes_max);
  if (!task) {
    return refuse(std::move(task.error()));
  }
  if (task->empty()) {
    return invalid(place + ": member \"task\": empty, expected a task's name");
  }
  const json::Value* input = body.find("input");
  if (input == nullptr || input->object() == nullptr) {
    return invalid(place + ": member \"input\": " +
                   (input == nullptr ? "missing" : "not an object") + ", expected an object");
  }
  if (json::depth_of(*input) > json::depth_max) {
    return too_large(place + ": member \"input\": nested deeper than " +
                     std::to_string(json::depth_max));
  }
  Call call = Call::make(std::move(*task), *input->object());
  // Numbers may grow when they are written canonically, and a call must be readable again.
  if (call.canonical().size() > json::document_bytes_max) {
    return too_large(place + ": " + std::to_string(call.canonical().size()) +
                     " bytes of canonical text, expected at most " +
                     std::to_string(json::document_bytes_max));
  }
  return call;
}

tl::expected<std::vector<Call>, Problem> calls_of(const json::Value& list) {
  const json::Array* items = list.array();
  if (items == nullptr || items->empty()) {
    return invalid("steps: member \"calls\": expected a list of 1 to " +
                   std::to_string(calls_per_request_max) + " calls");
  }
  if (items->size() > calls_per_request_max) {
    return too_large("steps: member \"calls\": " + std::to_string(items->size()) +
                     " calls, expected at most " + std::to_string(calls_per_request_max));
  }
  std::vector<Call> calls;
  calls.reserve(items->size());
  for (const json::Value& item : *items) {
    const std::string place = "steps: call " + std::to_string(calls.size());
    if (item.object() == nullptr) {
      return invalid(place + ": not an object, expected task and input");
    }
    if (auto problem = check_members(*item.object(), place, {"task", "input"})) {
      return refuse(std::move(*problem));
    }
    auto call = call_of(*item.object(), place);
    if (!call) {
      return refuse(std::move(call.error()));
    }
    calls.push_back(std::move(*call));
  }
  return calls;
}

tl::expected<std::optional<std::uint32_t>, Problem> expect_step_of(const json::Object& body) {
  const json::Value* value = body.find("expect_step");
  if (value == nullptr) {
    return std::nullopt;
  }
  const double* number = value->number();
  if (number == nullptr || !(*number >= 0) || *number > std::numeric_limits<std::uint32_t>::max() ||
      *number != std::floor(*number)) {
    return invalid("steps: member \"expect_step\": expected a step's number, from 0");
  }
  return static_cast<std::uint32_t>(*number);
}

tl::expected<ClientRequestBody, Problem> confirmation_of(const Route& route,
                                                         const json::Object& body) {
  if (auto problem = check_members(body, "steps", {"task", "input", "calls", "expect_step"})) {
    return refuse(std::move(*problem));
  }
  auto expect_step = expect_step_of(body);
  if (!expect_step) {
    return refuse(std::move(expect_step.error()));
  }
  ConfirmCalls confirmation;
  confirmation.run_id = route.run_id;
  confirmation.expect_step = *expect_step;
  confirmation.idempotency_key = route.idempotency_key;
  const json::Value* list = body.find("calls");
  confirmation.is_list = list != nullptr;
  if (list == nullptr) {
    auto call = call_of(body, "steps");
    if (!call) {
      return refuse(std::move(call.error()));
    }
    confirmation.calls.push_back(std::move(*call));
    return confirmation;
  }
  if (body.find("task") != nullptr || body.find("input") != nullptr) {
    return invalid("steps: member \"calls\" beside \"task\" or \"input\", expected one form only");
  }
  auto calls = calls_of(*list);
  if (!calls) {
    return refuse(std::move(calls.error()));
  }
  confirmation.calls = std::move(*calls);
  return confirmation;
}

/// A whole number of a member from 0 to `most`, or nothing when it is not there.
tl::expected<std::optional<std::uint64_t>, Problem> number_member(const json::Object& body,
                                                                  std::string_view place,
                                                                  std::string_view name,
                                                                  double most) {
  const json::Value* value = body.find(name);
  if (value == nullptr) {
    return std::nullopt;
  }
  const double* number = value->number();
  if (number == nullptr || !(*number >= 0) || *number > most || *number != std::floor(*number)) {
    return invalid(std::string(place) + ": member " + quoted(name) +
                   ": expected a whole number from 0 to " +
                   std::to_string(static_cast<std::uint64_t>(most)));
  }
  return static_cast<std::uint64_t>(*number);
}

constexpr double whole_number_max = 9007199254740991.0;  ///< 2^53 - 1

tl::expected<std::vector<std::uint64_t>, Problem> sizes_of(const json::Object& body) {
  std::vector<std::uint64_t> sizes;
  const json::Value* list = body.find("sizes");
  if (list == nullptr) {
    return sizes;
  }
  const json::Array* items = list->array();
  bool fits = items != nullptr && items->size() <= audit_sizes_max;
  for (std::size_t i = 0; fits && i < items->size(); ++i) {
    const double* number = (*items)[i].number();
    fits = number != nullptr && *number >= 0 && *number <= whole_number_max &&
           *number == std::floor(*number);
    sizes.push_back(fits ? static_cast<std::uint64_t>(*number) : 0);
  }
  if (!fits) {
    return invalid("audit: member \"sizes\": expected a list of at most " +
                   std::to_string(audit_sizes_max) + " ledger sizes, rising");
  }
  return sizes;
}

tl::expected<ClientRequestBody, Problem> audit_of(const json::Object& body) {
  constexpr double deadline_ms_max = 240'000;
  if (auto problem = check_members(body, "audit", {"sample", "seed", "sizes", "deadline_ms"})) {
    return refuse(std::move(*problem));
  }
  const auto sample = number_member(body, "audit", "sample", audit_sample_max);
  const auto seed = number_member(body, "audit", "seed", whole_number_max);
  const auto deadline = number_member(body, "audit", "deadline_ms", deadline_ms_max);
  for (const auto* member : {&sample, &seed, &deadline}) {
    if (!*member) {
      return refuse(member->error());
    }
  }
  auto sizes = sizes_of(body);
  if (!sizes) {
    return refuse(std::move(sizes.error()));
  }
  StartAudit audit;
  audit.sample = static_cast<std::uint32_t>(sample->value_or(0));
  audit.seed = *seed;
  audit.sizes = std::move(*sizes);
  if (*deadline) {
    audit.deadline = std::chrono::milliseconds(**deadline);
  }
  return audit;
}

/// Sessions are read by speculation/history.hpp, whose messages name session and step.
tl::expected<ClientRequestBody, Problem> history_of(const json::Object& body) {
  if (auto problem = check_members(body, "history", {"sessions"})) {
    return refuse(std::move(*problem));
  }
  const json::Value* list = body.find("sessions");
  const json::Array* items = list == nullptr ? nullptr : list->array();
  const std::string expected =
      "expected a list of 1 to " + std::to_string(history_sessions_per_request_max) + " sessions";
  if (items == nullptr || items->empty()) {
    return invalid("history: member \"sessions\": " + expected);
  }
  if (items->size() > history_sessions_per_request_max) {
    return too_large("history: member \"sessions\": " + std::to_string(items->size()) +
                     " sessions, " + expected);
  }
  LearnHistory history;
  for (const json::Value& item : *items) {
    const auto session = read_history_session(item);
    if (!session) {
      const bool has_name = item.find("session") != nullptr;
      std::string detail = "history: ";
      detail += has_name ? "" : "session " + std::to_string(history.sessions.size()) + ": ";
      detail += session.error().message;
      return session.error().code == Errc::too_large ? too_large(std::move(detail))
                                                     : invalid(std::move(detail));
    }
    history.sessions.push_back(
        {session->name, static_cast<std::uint32_t>(session->steps.size()), history_text(*session)});
  }
  return history;
}

/// `{"run_id", "step", "index"}`, or `{"all": true}`.
tl::expected<ClientRequestBody, Problem> effects_of(const Route& route, const json::Object& body) {
  if (auto problem = check_members(body, "effects", {"run_id", "step", "index", "all"})) {
    return refuse(std::move(*problem));
  }
  ChangeEffects change;
  change.change = route.endpoint == Endpoint::drop_effects ? ChangeEffects::Change::drop
                                                           : ChangeEffects::Change::redrive;
  if (const json::Value* all = body.find("all")) {
    if (*all != json::Value(true) || body.size() != 1) {
      return invalid("effects: expected {\"run_id\", \"step\", \"index\"} or {\"all\": true}");
    }
    return change;
  }
  constexpr double index_max = effects_per_step_max - 1;
  const auto text = text_member(body, "effects", "run_id", run_id_bytes_max);
  const auto step =
      number_member(body, "effects", "step", std::numeric_limits<std::uint32_t>::max());
  const auto index = number_member(body, "effects", "index", index_max);
  if (!text || !step || !index) {
    return refuse(!text ? text.error() : !step ? step.error() : index.error());
  }
  const auto run_id = RunId::parse(*text);
  if (!run_id || !*step || !*index) {
    return invalid("effects: expected a run ID, a step and an index, or {\"all\": true}");
  }
  change.id = EffectId{*run_id, StepNumber{static_cast<std::uint32_t>(**step)},
                       static_cast<std::uint32_t>(**index)};
  return change;
}

tl::expected<json::Object, Problem> object_of(const Route& route, std::string_view body,
                                              std::size_t body_bytes_max) {
  // All members of an opening are optional, so its body is too.
  if (body.empty() &&
      (route.endpoint == Endpoint::open_session || route.endpoint == Endpoint::start_audit)) {
    return json::Object();
  }
  if (body.empty()) {
    return invalid("body: empty, expected a JSON object");
  }
  // An input may be as deep as a document, and lies in up to three wrappers: {"calls": [{"input":
  // …}]}; in {"sessions": [{"steps": [{"input": …}]}]} in five.
  const std::size_t wrappers_max = route.endpoint == Endpoint::learn_history ? 5 : 3;
  auto value =
      json::parse(body, {.bytes = body_bytes_max, .depth = json::depth_max + wrappers_max});
  if (!value) {
    Error& error = value.error();
    return error.code == Errc::too_large ? too_large("body: " + error.message)
                                         : invalid("body: " + error.message);
  }
  if (value->object() == nullptr) {
    return invalid("body: not an object, expected a JSON object");
  }
  return std::move(*value->object());
}

}  // namespace

bool may(Role role, Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::open_session:
    case Endpoint::add_text:
    case Endpoint::confirm_calls:
    case Endpoint::show_session:
    case Endpoint::show_predictions:
    case Endpoint::show_explanation:
    case Endpoint::end_session:
    case Endpoint::show_effects:
      return role != Role::auditor;
    case Endpoint::learn_history:
    case Endpoint::forget_history:
    case Endpoint::redrive_effects:
    case Endpoint::drop_effects:
      return role == Role::tenant_operator;
    // The ledger holds the calls and outputs of all tenants.
    case Endpoint::start_audit:
    case Endpoint::show_ledger:
      return role == Role::auditor;
    case Endpoint::show_status:
      return role != Role::client;
    case Endpoint::healthz:
      return true;
  }
  return false;
}

bool comes_in_pages(Endpoint endpoint) {
  return longest_page(endpoint).has_value();
}

std::optional<Problem> check_again(const Route& route, const TokenTable* tokens) {
  if (tokens == nullptr || !route.token) {
    return std::nullopt;
  }
  const TokenEntry* const caller = tokens->find(*route.token);
  if (caller == nullptr || caller->tenant != route.tenant) {
    return unauthenticated("header Authorization: the token was revoked");
  }
  return may(caller->role, route.endpoint) ? std::nullopt
                                           : std::optional(not_permitted(caller->role));
}

tl::expected<Route, Problem> route_of(const RequestHead& head, const HeadRules& rules) {
  if (auto problem = check_framing(head)) {
    return refuse(std::move(*problem));
  }
  std::string_view target = head.target;
  if (auto problem = check_source(head, rules, target)) {
    return refuse(std::move(*problem));
  }
  auto route = route_at(head, target);
  if (!route) {
    return route;
  }
  if (auto problem = check_token(head, rules, *route)) {
    return refuse(std::move(*problem));
  }
  if (auto problem = check_key(head, *route)) {
    return refuse(std::move(*problem));
  }
  if (auto problem = check_body_headers(head, rules, *route)) {
    return refuse(std::move(*problem));
  }
  return route;
}

tl::expected<ClientRequestBody, Problem> request_of(const Route& route, std::string_view body,
                                                    std::size_t body_bytes_max) {
  FORERUN_ASSERT(route.endpoint != Endpoint::healthz);
  const SessionPage session_page{static_cast<std::uint32_t>(route.page.from),
                                 static_cast<std::uint32_t>(route.page.count)};
  switch (route.endpoint) {
    case Endpoint::show_session:
      return ShowSession{route.run_id, session_page};
    case Endpoint::show_predictions:
      return ShowPredictions{route.run_id};
    case Endpoint::show_explanation:
      return ShowExplanation{route.run_id, session_page};
    case Endpoint::end_session:
      return EndSession{route.run_id};
    case Endpoint::show_ledger:
      return ShowLedger{Seq{route.page.from}, route.page.count};
    case Endpoint::forget_history:
      return ForgetHistory{};
    case Endpoint::show_effects:
      return ShowEffects{};
    case Endpoint::show_status:
    case Endpoint::healthz:
      return ShowStatus{};
    case Endpoint::open_session:
    case Endpoint::add_text:
    case Endpoint::confirm_calls:
    case Endpoint::start_audit:
    case Endpoint::learn_history:
    case Endpoint::redrive_effects:
    case Endpoint::drop_effects:
      break;
  }
  const auto object = object_of(route, body, body_bytes_max);
  if (!object) {
    return tl::unexpected<Problem>(object.error());
  }
  if (route.endpoint == Endpoint::open_session) {
    return opening_of(route, *object);
  }
  if (route.endpoint == Endpoint::start_audit) {
    return audit_of(*object);
  }
  if (route.endpoint == Endpoint::learn_history) {
    return history_of(*object);
  }
  if (route.endpoint == Endpoint::redrive_effects || route.endpoint == Endpoint::drop_effects) {
    return effects_of(route, *object);
  }
  return route.endpoint == Endpoint::add_text ? text_of(route, *object)
                                              : confirmation_of(route, *object);
}

}  // namespace forerun
