#include "node/executors/http_request.hpp"

#include <algorithm>

#include "speculation/http_words.hpp"
#include "speculation/json_pointer.hpp"

namespace forerun {
namespace {

constexpr std::size_t request_body_bytes_max = 4U << 20U;
constexpr std::size_t hidden_bytes_min = 3;  ///< Shorter ones are words, and no secrets.
constexpr std::string_view hidden = "***";

/// Every byte but the unreserved ones of RFC 3986 §2.3.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += digits[byte >> 4U];
      out += digits[byte & 15U];
    }
  }
  return out;
}

std::string text_of(const json::Value& value) {
  return value.string() != nullptr ? *value.string() : json::canonical(value);
}

/// Fills in the templates of one request.
class Filler {
public:
  Filler(const Run& run, const NodeValue& value)
      : input_(run.call.input()), state_(run.state), value_(value) {}

  Result<std::string> url(const std::string& text) {
    std::string out;
    const auto parts = *template_parts(text);
    for (const TemplatePart& part : parts) {
      auto filled = text_at("url", part);
      if (!filled) {
        return filled;
      }
      out += part.is_of_call() ? percent_encoded(*filled) : *filled;
    }
    return out;
  }

  Result<std::string> header(const std::string& name, const std::string& text) {
    std::string out;
    const auto parts = *template_parts(text);
    for (const TemplatePart& part : parts) {
      auto filled = text_at("headers." + name, part);
      if (!filled) {
        return filled;
      }
      if (part.is_of_node()) {
        secrets_.push_back(*filled);
      }
      out += *filled;
    }
    return out;
  }

  Result<json::Value> body(const std::string& place, const json::Value& value) {
    if (const std::string* text = value.string()) {
      return body_text(place, *text);
    }
    if (const json::Array* items = value.array()) {
      json::Array out;
      for (std::size_t i = 0; i < items->size(); ++i) {
        auto item = body(place + "[" + std::to_string(i) + "]", (*items)[i]);
        if (!item) {
          return item;
        }
        out.push_back(std::move(*item));
      }
      return json::Value(std::move(out));
    }
    if (const json::Object* members = value.object()) {
      json::Object out;
      for (const json::Member& member : *members) {
        auto filled = body(place + "." + member.name, member.value);
        if (!filled) {
          return filled;
        }
        out.set(member.name, std::move(*filled));
      }
      return json::Value(std::move(out));
    }
    return value;
  }

  const std::vector<std::string>& node_values() const { return node_values_; }
  const std::vector<std::string>& secrets() const { return secrets_; }

private:
  Result<json::Value> body_text(const std::string& place, const std::string& text) {
    const auto parts = *template_parts(text);
    if (parts.size() == 1) {
      return value_at(place, parts.front());
    }
    std::string out;
    for (const TemplatePart& part : parts) {
      auto filled = text_at(place, part);
      if (!filled) {
        return tl::unexpected<Error>(std::move(filled.error()));
      }
      out += *filled;
    }
    return json::Value(std::move(out));
  }

  Result<std::string> text_at(const std::string& place, const TemplatePart& part) {
    if (part.source == TemplatePart::Source::literal) {
      return part.text;
    }
    return value_at(place, part).map([](const json::Value& value) { return text_of(value); });
  }

  Result<json::Value> value_at(const std::string& place, const TemplatePart& part) {
    if (part.source == TemplatePart::Source::literal) {
      return json::Value(part.text);
    }
    if (part.is_of_node()) {
      auto value = value_(part);
      if (!value) {
        return fail(value.error().code, place + ": " + value.error().message);
      }
      node_values_.push_back(*value);
      return json::Value(std::move(*value));
    }
    const bool is_input = part.source == TemplatePart::Source::input;
    const json::Value* found = resolve_pointer(is_input ? input_ : state_, part.text);
    if (found == nullptr) {
      return fail(Errc::invalid, place + ": " + shown(part) +
                                     ": there is nothing at this place of " +
                                     (is_input ? "the input" : "the session's state"));
    }
    return *found;
  }

  const json::Value input_;
  const json::Value& state_;
  const NodeValue& value_;
  std::vector<std::string> node_values_;
  std::vector<std::string> secrets_;
};

bool has_header(const HttpRequest& request, std::string_view name) {
  return std::any_of(request.headers.begin(), request.headers.end(),
                     [&](const auto& header) { return is_same_header(header.first, name); });
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

/// What is hidden: the values as they are and as JSON has them. The longest first, since one may be
/// a part of another.
std::vector<std::string> forms_of(const std::vector<std::string>& values) {
  std::vector<std::string> forms;
  for (const std::string& value : values) {
    if (value.size() >= hidden_bytes_min) {
      std::string escaped;
      json::append_string(escaped, value);
      forms.push_back(value);
      forms.push_back(escaped.substr(1, escaped.size() - 2));
    }
  }
  std::sort(forms.begin(), forms.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
  return forms;
}

Result<void> fill_body(Filler& filler, const Run& run, HttpRequest& request) {
  const HttpSettings& settings = run.task.http;
  if (settings.body) {
    auto body = filler.body("body", *settings.body);
    if (!body) {
      return tl::unexpected<Error>(std::move(body.error()));
    }
    request.body = json::canonical(*body);
  } else if (settings.method != "GET" && settings.method != "DELETE") {
    request.body = std::string(run.call.canonical_input());
  }
  if (request.body && request.body->size() > request_body_bytes_max) {
    return fail(Errc::too_large, "body: " + std::to_string(request.body->size()) +
                                     " bytes, expected at most " +
                                     std::to_string(request_body_bytes_max));
  }
  return {};
}

}  // namespace

Result<TaskRequest> http_request_of(const Run& run, const NodeValue& value) {
  const HttpSettings& settings = run.task.http;
  Filler filler(run, value);
  TaskRequest out;
  HttpRequest& request = out.request;
  request.method = settings.method;
  request.ca_file = settings.ca_file;
  request.may_be_repeated = run.task.effect != Effect::write || run.task.idempotent;
  auto url = filler.url(settings.url);
  if (!url) {
    return tl::unexpected<Error>(std::move(url.error()));
  }
  if (!http_url_of(*url)) {
    return fail(Errc::invalid, "url: " + settings.url +
                                   ": filled in it is no URL that may be used: it is too long, or "
                                   "has dot segments, an encoded slash, a user or a fragment");
  }
  request.url = std::move(*url);
  for (const auto& [name, text] : settings.headers) {
    auto filled = filler.header(name, text);
    if (!filled) {
      return tl::unexpected<Error>(std::move(filled.error()));
    }
    if (!is_http_header_value(*filled) || filled->size() > http_header_bytes_max) {
      return fail(Errc::invalid, "headers." + name +
                                     ": filled in it is not one line of printable ASCII of at "
                                     "most " +
                                     std::to_string(http_header_bytes_max) + " bytes");
    }
    request.headers.emplace_back(name, std::move(*filled));
  }
  if (auto filled = fill_body(filler, run, request); !filled) {
    return tl::unexpected<Error>(std::move(filled.error()));
  }
  if (!has_header(request, "accept")) {
    request.headers.emplace_back("Accept", settings.stream == HttpStream::none
                                               ? "application/json"
                                               : "text/event-stream, application/json");
  }
  if (run.task.effect == Effect::write && !run.outside_key.empty()) {
    request.headers.emplace_back("Idempotency-Key", run.outside_key);
  }
  out.node_values = filler.node_values();
  out.secrets = filler.secrets();
  return out;
}

std::string without(std::string text, const std::vector<std::string>& values) {
  for (const std::string& form : forms_of(values)) {
    replace_all(text, form, hidden);
  }
  return text;
}

std::string without_in_cut(std::string text, const std::vector<std::string>& values) {
  text = without(std::move(text), values);
  for (const std::string& form : forms_of(values)) {
    for (std::size_t n = std::min(form.size() - 1, text.size()); n >= hidden_bytes_min; --n) {
      if (text.ends_with(std::string_view(form).substr(0, n))) {
        text.replace(text.size() - n, n, hidden);
        return text;
      }
    }
  }
  return text;
}

}  // namespace forerun
