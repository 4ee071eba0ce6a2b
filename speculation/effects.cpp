#include "speculation/effects.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/hex.hpp"
#include "speculation/protocol.hpp"

namespace forerun {
namespace {

constexpr std::array<std::string_view, 5> methods = {"GET", "POST", "PUT", "PATCH", "DELETE"};
/// Headers that the sender itself writes.
constexpr std::array<std::string_view, 7> own_headers = {
    "connection", "content-length", "expect", "host", "idempotency-key", "te", "transfer-encoding"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool is_alphanumeric(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9');
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'f');
}

bool is_one_of(char c, std::string_view characters) {
  return characters.find(c) != std::string_view::npos;
}

struct Url {
  std::string origin;  ///< Scheme and authority, lowercase.
  std::string_view path;
  bool has_query = false;
};

bool is_port(std::string_view text) {
  return text.empty() ||
         (text.size() > 1 && text.front() == ':' &&
          std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= '0' && c <= '9'; }));
}

/// A host and perhaps a port: no user.
bool is_authority(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    const std::string_view address =
        end == std::string_view::npos ? std::string_view() : text.substr(1, end - 1);
    return !address.empty() && is_port(text.substr(end + 1)) &&
           std::all_of(address.begin(), address.end(),
                       [](char c) { return is_hex(c) || c == ':' || c == '.'; });
  }
  const std::string_view host = text.substr(0, text.find(':'));
  return !host.empty() && is_port(text.substr(host.size())) &&
         std::all_of(host.begin(), host.end(),
                     [](char c) { return is_alphanumeric(c) || c == '.' || c == '-'; });
}

/// RFC 3986 §3.3 and §3.4, without what a receiver might read as another path.
bool is_path_and_query(std::string_view text) {
  const std::string_view path = text.substr(0, text.find('?'));
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) {
        return false;
      }
      const std::string code = lowered(text.substr(i + 1, 2));
      if (i < path.size() && (code == "2f" || code == "5c")) {
        return false;
      }
    } else if (!is_alphanumeric(c) && !is_one_of(c, "-._~!$&'()*+,;=:@/?")) {
      return false;
    }
  }
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    std::string segment = lowered(path.substr(begin, end - begin));
    for (std::size_t at = segment.find("%2e"); at != std::string::npos; at = segment.find("%2e")) {
      segment.replace(at, 3, ".");
    }
    if (segment == "." || segment == "..") {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

std::optional<Url> url_of(std::string_view text) {
  const std::string scheme = lowered(text.substr(0, text.find("://")));
  if ((scheme != "http" && scheme != "https") || text.size() > effect_url_bytes_max) {
    return std::nullopt;
  }
  const std::string_view rest = text.substr(scheme.size() + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  const std::string_view target = rest.substr(authority.size());
  if (!is_authority(authority) || !is_path_and_query(target)) {
    return std::nullopt;
  }
  return Url{scheme + "://" + lowered(authority), target.substr(0, target.find('?')),
             target.find('?') != std::string_view::npos};
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || is_one_of(c, "!#$%&'*+-.^_`|~");
  });
}

/// Visible characters, spaces and tabs: nothing that ends a line.
bool is_header_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c == '\t' || (c >= 0x20 && c < 0x7F); });
}

tl::unexpected<Error> invalid(const std::string& why) {
  return fail(Errc::invalid, why);
}

std::string shown(std::string_view text) {
  constexpr std::size_t shown_max = 160;
  return "\"" + json::clean_text(text, shown_max) + "\"";
}

Result<void> check_members(const json::Object& object,
                           std::initializer_list<std::string_view> names) {
  for (const json::Member& member : object) {
    if (std::find(names.begin(), names.end(), member.name) == names.end()) {
      std::string known;
      for (const std::string_view name : names) {
        known += (known.empty() ? "" : ", ") + std::string(name);
      }
      return invalid("member " + shown(member.name) + ": unknown, expected " + known);
    }
  }
  return {};
}

Result<void> check_headers(const json::Value* headers) {
  if (headers == nullptr) {
    return {};
  }
  if (headers->object() == nullptr || headers->object()->size() > effect_headers_max) {
    return invalid("headers: expected an object of at most " + std::to_string(effect_headers_max) +
                   " texts");
  }
  std::size_t bytes = 0;
  for (const json::Member& header : *headers->object()) {
    const std::string* value = header.value.string();
    if (!is_token(header.name) || value == nullptr || !is_header_value(*value)) {
      return invalid("header " + shown(header.name) +
                     ": expected a header's name, and a text of printable ASCII characters");
    }
    const std::string name = lowered(header.name);
    if (std::find(own_headers.begin(), own_headers.end(), name) != own_headers.end()) {
      return invalid("header " + shown(header.name) + ": it is the sender's own, leave it out");
    }
    bytes += header.name.size() + value->size();
  }
  if (bytes > effect_header_bytes_max) {
    return fail(Errc::too_large, "headers: " + std::to_string(bytes) + " bytes, expected at most " +
                                     std::to_string(effect_header_bytes_max));
  }
  return {};
}

Result<void> check_http(const json::Value& request, const Catalog& catalog) {
  if (request.object() == nullptr) {
    return invalid("http: expected {\"method\", \"url\", \"headers\", \"body\"}");
  }
  if (auto held = check_members(*request.object(), {"method", "url", "headers", "body"}); !held) {
    return held;
  }
  const json::Value* method = request.find("method");
  if (method == nullptr || method->string() == nullptr ||
      std::find(methods.begin(), methods.end(), *method->string()) == methods.end()) {
    return invalid("http.method: expected GET, POST, PUT, PATCH or DELETE");
  }
  const json::Value* url = request.find("url");
  if (url == nullptr || url->string() == nullptr) {
    return invalid("http.url: expected a text");
  }
  if (!is_allowed_url(*url->string(), catalog.effects().allow)) {
    return fail(Errc::refused, "http.url: " + shown(*url->string()) +
                                   ": not allowed, expected one that begins like an entry of "
                                   "`allow` in the catalog's [effects]");
  }
  return check_headers(request.find("headers"));
}

Result<void> check_task(const json::Value& effect, const Catalog& catalog) {
  if (auto held = check_members(*effect.object(), {"task", "input"}); !held) {
    return held;
  }
  const std::string* name = effect.find("task")->string();
  const json::Value* input = effect.find("input");
  if (name == nullptr || input == nullptr || input->object() == nullptr) {
    return invalid("expected {\"task\": a name, \"input\": an object}");
  }
  const std::vector<std::string>& allowed = catalog.effects().tasks;
  if (std::find(allowed.begin(), allowed.end(), *name) == allowed.end()) {
    return fail(Errc::refused, "task: " + shown(*name) +
                                   ": not allowed, expected one of `tasks` in the catalog's "
                                   "[effects]");
  }
  return {};
}

Result<void> check_effect(const json::Value& effect, const Catalog& catalog) {
  if (effect.object() == nullptr) {
    return invalid("expected {\"http\": …} or {\"task\": …, \"input\": …}");
  }
  if (const json::Value* request = effect.find("http")) {
    if (auto held = check_members(*effect.object(), {"http"}); !held) {
      return held;
    }
    return check_http(*request, catalog);
  }
  if (effect.find("task") != nullptr) {
    return check_task(effect, catalog);
  }
  return invalid("expected {\"http\": …} or {\"task\": …, \"input\": …}");
}

}  // namespace

Result<std::optional<EffectList>> effect_list_of(std::string_view text, const Catalog& catalog) {
  if (text.empty()) {
    return std::nullopt;
  }
  auto list = Output::parse(text, {.bytes = effects_bytes_max});
  if (!list) {
    return fail(list.error().code, "effects: " + list.error().message);
  }
  const json::Array* items = list->value().array();
  if (items == nullptr || items->size() > effects_per_step_max ||
      list->canonical().size() > effects_bytes_max) {
    return fail(items == nullptr ? Errc::invalid : Errc::too_large,
                "effects: expected a list of at most " + std::to_string(effects_per_step_max) +
                    " effects in at most " + std::to_string(effects_bytes_max) + " bytes");
  }
  EffectList effects{*list, {}};
  for (const json::Value& item : *items) {
    if (auto held = check_effect(item, catalog); !held) {
      return fail(held.error().code, "effects: item " + std::to_string(effects.items.size()) +
                                         ": " + held.error().message);
    }
    effects.items.push_back(Output::make(item));
  }
  return effects.items.empty() ? std::optional<EffectList>() : std::move(effects);
}

std::optional<HttpEffect> http_effect_of(const json::Value& effect) {
  const json::Value* request = effect.find("http");
  if (request == nullptr) {
    return std::nullopt;
  }
  HttpEffect http;
  http.method = *request->find("method")->string();
  http.url = *request->find("url")->string();
  if (const json::Value* headers = request->find("headers")) {
    for (const json::Member& header : *headers->object()) {
      http.headers.emplace_back(header.name, *header.value.string());
    }
  }
  if (const json::Value* body = request->find("body")) {
    http.body = json::canonical(*body);
  }
  return http;
}

std::optional<Call> task_effect_of(const json::Value& effect) {
  const json::Value* name = effect.find("task");
  return name == nullptr ? std::optional<Call>()
                         : Call::make(*name->string(), *effect.find("input")->object());
}

std::string effect_key(const ChainValue& chain, std::uint32_t index) {
  return to_hex(chain) + "-" + std::to_string(index);
}

bool is_url_prefix(std::string_view prefix) {
  const auto url = url_of(prefix);
  return url && !url->has_query;
}

bool is_allowed_url(std::string_view text, std::span<const std::string> allow) {
  const auto url = url_of(text);
  return url && std::any_of(allow.begin(), allow.end(), [&](const std::string& each) {
           const auto prefix = url_of(each);
           if (!prefix || prefix->origin != url->origin || !url->path.starts_with(prefix->path)) {
             return false;
           }
           const std::string_view beyond = url->path.substr(prefix->path.size());
           return prefix->path.empty() || prefix->path.ends_with('/') || beyond.empty() ||
                  beyond.starts_with('/');
         });
}

}  // namespace forerun
