#include "speculation/effects.hpp"

#include <algorithm>
#include <utility>

#include "base/hex.hpp"
#include "speculation/http_words.hpp"
#include "speculation/protocol.hpp"

namespace forerun {
namespace {

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
  if (headers->object() == nullptr || headers->object()->size() > http_headers_max) {
    return invalid("headers: expected an object of at most " + std::to_string(http_headers_max) +
                   " texts");
  }
  std::size_t bytes = 0;
  for (const json::Member& header : *headers->object()) {
    const std::string* value = header.value.string();
    if (!is_http_header_name(header.name) || value == nullptr || !is_http_header_value(*value)) {
      return invalid("header " + shown(header.name) +
                     ": expected a header's name, and a text of printable ASCII characters");
    }
    if (is_senders_header(header.name)) {
      return invalid("header " + shown(header.name) + ": it is the sender's own, leave it out");
    }
    bytes += header.name.size() + value->size();
  }
  if (bytes > http_header_bytes_max) {
    return fail(Errc::too_large, "headers: " + std::to_string(bytes) + " bytes, expected at most " +
                                     std::to_string(http_header_bytes_max));
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
  if (method == nullptr || method->string() == nullptr || !is_http_method(*method->string())) {
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
  const auto url = http_url_of(prefix);
  return url && !url->has_query;
}

bool is_allowed_url(std::string_view text, std::span<const std::string> allow) {
  const auto url = http_url_of(text);
  return url && std::any_of(allow.begin(), allow.end(), [&](const std::string& each) {
           const auto prefix = http_url_of(each);
           if (!prefix || prefix->origin != url->origin || !url->path.starts_with(prefix->path)) {
             return false;
           }
           const std::string_view beyond = url->path.substr(prefix->path.size());
           return prefix->path.empty() || prefix->path.ends_with('/') || beyond.empty() ||
                  beyond.starts_with('/');
         });
}

}  // namespace forerun
