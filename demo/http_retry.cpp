#include "demo/http_retry.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace forerun {
namespace {

constexpr int attempts_max = 8;
constexpr Duration pause_min = std::chrono::milliseconds(20);
constexpr Duration pause_max = std::chrono::seconds(2);

/// What a problem document says, for a message.
std::string problem_text(const HttpAnswer& answer) {
  const json::Value* detail = answer.body.find("detail");
  const json::Value* title = answer.body.find("title");
  std::string text = "status " + std::to_string(answer.status);
  if (detail != nullptr && detail->string() != nullptr) {
    text += ": " + *detail->string();
  } else if (title != nullptr && title->string() != nullptr) {
    text += ": " + *title->string();
  }
  return text;
}

Errc code_of(int status) {
  switch (status) {
    case 404:
      return Errc::not_found;
    case 413:
      return Errc::too_large;
    case 409:
    case 410:
    case 422:
    case 503:
      return Errc::refused;
    default:
      return status >= 500 ? Errc::io : Errc::invalid;
  }
}

}  // namespace

Result<HttpAnswer> ask_again(const std::string& place, bool is_repeatable,
                             const std::function<Result<HttpAnswer>()>& ask) {
  Duration pause = pause_min;
  for (int attempt = 1;; ++attempt) {
    auto answer = ask();
    const bool is_cut = !answer && answer.error().code == Errc::io && is_repeatable;
    const bool is_busy = answer && answer->status == 503;
    if ((!is_cut && !is_busy) || attempt == attempts_max) {
      if (answer && answer->status >= 400) {
        return fail(code_of(answer->status), place + ": " + problem_text(*answer));
      }
      return answer;
    }
    const Duration asked = is_busy ? answer->retry_after : Duration{};
    std::this_thread::sleep_for(std::min(std::max(pause, asked), pause_max));
    pause *= 2;
  }
}

}  // namespace forerun
