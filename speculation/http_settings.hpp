#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/result.hpp"

namespace forerun {

/// What a streamed answer's events mean.
enum class HttpStream {
  none,         ///< One JSON document.
  events,       ///< Server-sent events, each a JSON document: a list of them.
  chat,         ///< Pieces of an OpenAI chat completion: put together to one.
  completions,  ///< The same for a completion.
};
std::string_view to_string(HttpStream stream);

/// The request of an `http` task, and what of its answer is the output. Texts are templates
/// (text_template.hpp); secrets are in it by name only.
struct HttpSettings {
  std::string url{};
  std::string method = "POST";
  std::map<std::string, std::string> headers{};
  std::optional<json::Value> body{};  ///< Empty: the input, or nothing for GET and DELETE.
  std::string answer{};               ///< JSON pointer to the output in what comes back.
  bool answer_is_json = false;        ///< What it points to is a text that holds JSON.
  HttpStream stream = HttpStream::none;
  std::uint32_t answer_kb = 4096;  ///< Of what comes back.
  std::uint32_t retries = 2;
  std::string ca_file{};  ///< Trusted instead of the system's; empty: the system's.
  friend bool operator==(const HttpSettings&, const HttpSettings&) = default;
};

inline constexpr std::size_t http_body_template_bytes_max = 64U << 10U;
inline constexpr std::uint32_t http_answer_kb_max = 64U << 10U;
inline constexpr std::uint32_t http_retries_max = 10;

/// Known kinds of endpoints.
enum class HttpTemplate { openai_chat, openai_completions };
/// What a known kind of endpoint is told.
struct ModelSettings {
  std::string model{};
  std::string system{};                     ///< Empty: none.
  std::string prompt = "${input:/prompt}";  ///< Of the user.
};
/// Completes settings whose `url` is the API's base, as in "https://models.example/v1". Members of
/// `body` that are there already win. @pre body, if there is one, is an object.
void apply_http_template(HttpTemplate kind, const ModelSettings& model, bool is_streamed,
                         HttpSettings& settings);

/// Errors: invalid, "PLACE.KEY: what, expected …".
Result<void> check_http_settings(const std::string& place, const HttpSettings& settings);

/// Null for the default settings, which belong to no `http` task.
json::Value http_settings_json(const HttpSettings& settings);
Result<HttpSettings> http_settings_from(const json::Value& value);

}  // namespace forerun
