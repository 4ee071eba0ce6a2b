#include "speculation/http_settings.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/assert.hpp"
#include "speculation/http_words.hpp"
#include "speculation/json_pointer.hpp"
#include "speculation/text_template.hpp"

namespace forerun {
namespace {

/// Headers that carry secrets: a catalog is stored and shown.
constexpr std::array<std::string_view, 5> secret_headers = {"authorization", "proxy-authorization",
                                                            "x-api-key", "api-key", "cookie"};

tl::unexpected<Error> bad_setting(const std::string& place, const std::string& why) {
  return fail(Errc::invalid, place + ": " + why);
}

/// Whether a call can change no more than path and query: the host is the catalog's or the node's.
Result<void> check_url(const std::string& place, const std::string& url) {
  const auto parts = template_parts(url);
  if (!parts) {
    return bad_setting(place, parts.error().message);
  }
  std::string text;
  std::size_t call_begins = std::string::npos;
  for (const TemplatePart& part : *parts) {
    if (part.is_of_call()) {
      call_begins = std::min(call_begins, text.size());
    }
    text += part.source == TemplatePart::Source::literal ? part.text
            : text.empty() && part.is_of_node()          ? "http://h"
                                                         : "x";
  }
  const auto whole = http_url_of(text);
  if (!whole) {
    return bad_setting(place, "\"" + url + "\", expected an http or https URL of at most " +
                                  std::to_string(http_url_bytes_max) +
                                  " bytes, without user, fragment or dot segments");
  }
  if (call_begins <= whole->origin.size()) {
    return bad_setting(
        place, "\"" + url +
                   "\": a call must not choose the host, expected ${input:…} and ${state:…} "
                   "in path or query only");
  }
  return {};
}

Result<void> check_request_headers(const std::string& place,
                                   const std::map<std::string, std::string>& headers) {
  if (headers.size() > http_headers_max) {
    return bad_setting(place, std::to_string(headers.size()) + " headers, expected at most " +
                                  std::to_string(http_headers_max));
  }
  std::size_t bytes = 0;
  for (const auto& [name, value] : headers) {
    const std::string at = place + "." + name;
    if (!is_http_header_name(name)) {
      return bad_setting(at, "expected a header's name");
    }
    if (is_senders_header(name) || is_same_header(name, "accept-encoding")) {
      return bad_setting(at, "it is the node's own, leave it out");
    }
    const auto parts = template_parts(value);
    if (!parts) {
      return bad_setting(at, parts.error().message);
    }
    const bool is_printable = std::all_of(parts->begin(), parts->end(), [](const TemplatePart& p) {
      return p.source != TemplatePart::Source::literal || is_http_header_value(p.text);
    });
    if (!is_printable) {
      return bad_setting(at, "expected printable ASCII characters");
    }
    const bool is_secret =
        std::any_of(secret_headers.begin(), secret_headers.end(),
                    [&](std::string_view secret) { return is_same_header(name, secret); });
    if (is_secret && std::none_of(parts->begin(), parts->end(),
                                  [](const TemplatePart& p) { return p.is_of_node(); })) {
      return bad_setting(at,
                         "a secret does not belong into a catalog, which is stored and shown, "
                         "expected one that each node knows: ${env:NAME} or ${file:PATH}");
    }
    bytes += name.size() + value.size();
  }
  if (bytes > http_header_bytes_max) {
    return bad_setting(place, std::to_string(bytes) + " bytes, expected at most " +
                                  std::to_string(http_header_bytes_max));
  }
  return {};
}

Result<void> check_body(const std::string& place, const json::Value& value) {
  if (const std::string* text = value.string()) {
    const auto parts = template_parts(*text);
    return parts ? Result<void>() : bad_setting(place, parts.error().message);
  }
  if (const json::Array* items = value.array()) {
    for (std::size_t i = 0; i < items->size(); ++i) {
      if (auto held = check_body(place + "[" + std::to_string(i) + "]", (*items)[i]); !held) {
        return held;
      }
    }
  }
  if (const json::Object* members = value.object()) {
    for (const json::Member& member : *members) {
      if (auto held = check_body(place + "." + member.name, member.value); !held) {
        return held;
      }
    }
  }
  return {};
}

constexpr std::array<HttpStream, 4> streams = {HttpStream::none, HttpStream::events,
                                               HttpStream::chat, HttpStream::completions};

json::Object message(const char* role, const std::string& content) {
  json::Object out;
  out.set("role", role);
  out.set("content", content);
  return out;
}

}  // namespace

std::string_view to_string(HttpStream stream) {
  switch (stream) {
    case HttpStream::none:
      return "none";
    case HttpStream::events:
      return "events";
    case HttpStream::chat:
      return "chat";
    case HttpStream::completions:
      return "completions";
  }
  FORERUN_ASSERT(false);
}

void apply_http_template(HttpTemplate kind, const ModelSettings& model, bool is_streamed,
                         HttpSettings& settings) {
  const bool is_chat = kind == HttpTemplate::openai_chat;
  json::Object body;
  if (!model.model.empty()) {
    body.set("model", model.model);
  }
  if (is_chat) {
    json::Array messages;
    if (!model.system.empty()) {
      messages.emplace_back(message("system", model.system));
    }
    messages.emplace_back(message("user", model.prompt));
    body.set("messages", std::move(messages));
  } else {
    body.set("prompt", model.prompt);
  }
  if (settings.body) {
    FORERUN_ASSERT(settings.body->object() != nullptr);
    for (const json::Member& member : *settings.body->object()) {
      body.set(member.name, member.value);
    }
  }
  if (is_streamed) {
    body.set("stream", true);
    settings.stream = is_chat ? HttpStream::chat : HttpStream::completions;
  }
  settings.body = std::move(body);
  const std::size_t path_end = std::min(settings.url.find('?'), settings.url.size());
  const bool has_slash = path_end > 0 && settings.url[path_end - 1] == '/';
  settings.url.insert(
      path_end, std::string(has_slash ? "" : "/") + (is_chat ? "chat/completions" : "completions"));
  if (settings.answer.empty()) {
    settings.answer = is_chat ? "/choices/0/message/content" : "/choices/0/text";
  }
}

Result<void> check_http_settings(const std::string& place, const HttpSettings& settings) {
  if (auto held = check_url(place + ".url", settings.url); !held) {
    return held;
  }
  if (!is_http_method(settings.method)) {
    return bad_setting(place + ".method",
                       "\"" + settings.method + "\", expected GET, POST, PUT, PATCH or DELETE");
  }
  if (auto held = check_request_headers(place + ".headers", settings.headers); !held) {
    return held;
  }
  if (settings.body) {
    if (settings.method == "GET") {
      return bad_setting(place + ".body", "a GET has none, expected method = \"POST\"");
    }
    if (auto held = check_body(place + ".body", *settings.body); !held) {
      return held;
    }
    if (const std::size_t bytes = json::canonical(*settings.body).size();
        bytes > http_body_template_bytes_max) {
      return bad_setting(place + ".body", std::to_string(bytes) + " bytes, expected at most " +
                                              std::to_string(http_body_template_bytes_max));
    }
  }
  if (!is_json_pointer(settings.answer)) {
    return bad_setting(place + ".answer",
                       "\"" + settings.answer + "\", expected a JSON pointer such as \"/result\"");
  }
  if (settings.answer_kb < 1 || settings.answer_kb > http_answer_kb_max) {
    return bad_setting(place + ".answer_kb", std::to_string(settings.answer_kb) +
                                                 ", expected 1 to " +
                                                 std::to_string(http_answer_kb_max));
  }
  if (settings.retries > http_retries_max) {
    return bad_setting(place + ".retries", std::to_string(settings.retries) + ", expected 0 to " +
                                               std::to_string(http_retries_max));
  }
  return {};
}

json::Value http_settings_json(const HttpSettings& settings) {
  if (settings == HttpSettings()) {
    return {};
  }
  json::Object headers;
  for (const auto& [name, value] : settings.headers) {
    headers.set(name, value);
  }
  json::Array body;  // Of one item at most: null is a body too.
  if (settings.body) {
    body.push_back(*settings.body);
  }
  json::Object out;
  out.set("answer", settings.answer);
  out.set("answer_is_json", settings.answer_is_json);
  out.set("answer_kb", static_cast<std::int64_t>(settings.answer_kb));
  out.set("body", std::move(body));
  out.set("ca_file", settings.ca_file);
  out.set("headers", std::move(headers));
  out.set("method", settings.method);
  out.set("retries", static_cast<std::int64_t>(settings.retries));
  out.set("stream", to_string(settings.stream));
  out.set("url", settings.url);
  return out;
}

Result<HttpSettings> http_settings_from(const json::Value& value) {
  HttpSettings settings;
  if (value.is_null()) {
    return settings;
  }
  const auto refuse = [](const std::string& name) {
    return bad_setting("http." + name, "absent or of the wrong type");
  };
  constexpr std::size_t members = 10;
  if (value.object() == nullptr || value.object()->size() != members) {
    return refuse("settings");
  }
  std::string stream;
  for (const auto& [name, text] :
       {std::pair{"answer", &settings.answer}, std::pair{"ca_file", &settings.ca_file},
        std::pair{"method", &settings.method}, std::pair{"stream", &stream},
        std::pair{"url", &settings.url}}) {
    const json::Value* found = value.find(name);
    if (found == nullptr || found->string() == nullptr) {
      return refuse(name);
    }
    *text = *found->string();
  }
  for (const auto& [name, number] :
       {std::pair{"answer_kb", &settings.answer_kb}, std::pair{"retries", &settings.retries}}) {
    const json::Value* found = value.find(name);
    const double* read = found == nullptr ? nullptr : found->number();
    if (read == nullptr || *read != std::trunc(*read) || *read < 0 || *read > UINT32_MAX) {
      return refuse(name);
    }
    *number = static_cast<std::uint32_t>(*read);
  }
  const auto kind = std::find_if(streams.begin(), streams.end(),
                                 [&](HttpStream each) { return to_string(each) == stream; });
  const json::Value* is_json = value.find("answer_is_json");
  const json::Value* body = value.find("body");
  const json::Value* headers = value.find("headers");
  if (kind == streams.end() || is_json == nullptr || is_json->boolean() == nullptr ||
      body == nullptr || body->array() == nullptr || body->array()->size() > 1 ||
      headers == nullptr || headers->object() == nullptr) {
    return refuse("stream, answer_is_json, body or headers");
  }
  settings.stream = *kind;
  settings.answer_is_json = *is_json->boolean();
  if (!body->array()->empty()) {
    settings.body = body->array()->front();
  }
  for (const json::Member& header : *headers->object()) {
    if (header.value.string() == nullptr) {
      return refuse("headers");
    }
    settings.headers.emplace(header.name, *header.value.string());
  }
  return settings;
}

}  // namespace forerun
