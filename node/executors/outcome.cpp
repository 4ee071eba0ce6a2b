#include "node/executors/outcome.hpp"

#include <cmath>
#include <cstdint>

namespace forerun {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

bool is_tail(std::string_view text, std::size_t at) {
  return at < text.size() && (static_cast<std::uint8_t>(text[at]) & 0xC0U) == 0x80U;
}

/// Bytes of the UTF-8 character that `text` begins with, or 0 when it begins with none (Unicode
/// table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF). @pre text is not empty.
std::size_t utf8_width(std::string_view text) {
  const auto lead = static_cast<std::uint8_t>(text[0]);
  if (lead < 0x80) {
    return 1;
  }
  const auto second = text.size() > 1 ? static_cast<std::uint8_t>(text[1]) : std::uint8_t{0};
  if (!is_tail(text, 1) || lead < 0xC2 || lead > 0xF4) {
    return 0;
  }
  if (lead < 0xE0) {
    return 2;
  }
  const bool is_bad_second = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                             (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
  if (is_bad_second || !is_tail(text, 2)) {
    return 0;
  }
  if (lead < 0xF0) {
    return 3;
  }
  return is_tail(text, 3) ? 4 : 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t width = utf8_width(text);
    if (width == 0) {
      return false;
    }
    text.remove_prefix(width);
  }
  return true;
}

Result<void> check(const json::Value& value, std::size_t depth) {
  if (const double* number = value.number(); number != nullptr && !std::isfinite(*number)) {
    return fail(Errc::invalid, "output: a number that is not finite");
  }
  if (const std::string* text = value.string(); text != nullptr && !is_utf8(*text)) {
    return fail(Errc::invalid, "output: a text that is not UTF-8");
  }
  const json::Array* items = value.array();
  const json::Object* members = value.object();
  if ((items != nullptr || members != nullptr) && depth == 0) {
    return fail(Errc::too_large, "output: nested deeper than " + std::to_string(json::depth_max));
  }
  if (items != nullptr) {
    for (const json::Value& item : *items) {
      if (auto checked = check(item, depth - 1); !checked) {
        return checked;
      }
    }
  }
  if (members != nullptr) {
    for (const json::Member& member : *members) {
      if (!is_utf8(member.name)) {
        return fail(Errc::invalid, "output: a name that is not UTF-8");
      }
      if (auto checked = check(member.value, depth - 1); !checked) {
        return checked;
      }
    }
  }
  return {};
}

}  // namespace

std::string clean_cause(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t width = utf8_width(text);
    const auto lead = static_cast<std::uint8_t>(text[0]);
    std::string_view piece = width == 0 ? replacement : text.substr(0, width);
    if (lead < 0x20 || lead == 0x7F) {
      piece = " ";
    }
    if (clean.size() + piece.size() > cause_bytes_max) {
      break;
    }
    clean += piece;
    text.remove_prefix(width == 0 ? 1 : width);
  }
  return clean;
}

std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  const std::size_t before = text.rfind('\n');
  return std::string(before == std::string_view::npos ? text : text.substr(before + 1));
}

RunEnded ended_without_output(Ending ending, std::string_view cause) {
  RunEnded ended;
  ended.ending = ending;
  ended.cause = clean_cause(cause);
  return ended;
}

Result<std::string> output_of(const json::Value& value, std::size_t bytes_max) {
  if (auto checked = check(value, json::depth_max); !checked) {
    return tl::unexpected<Error>(checked.error());
  }
  std::string text = json::canonical(value);
  if (text.size() > bytes_max) {
    return fail(Errc::too_large, "output larger than " + std::to_string(bytes_max) + " bytes");
  }
  return text;
}

Duration run_time_since(RunClock::time_point started) {
  return std::chrono::duration_cast<Duration>(RunClock::now() - started);
}

}  // namespace forerun
