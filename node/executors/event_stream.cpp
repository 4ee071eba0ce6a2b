#include "node/executors/event_stream.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/assert.hpp"

namespace forerun {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::string_view done_mark = "[DONE]";
constexpr std::size_t choices_max = 128;
constexpr std::size_t tool_calls_max = 128;
constexpr std::size_t members_max = 256;  ///< Beside choices; each new one moves those behind it.

/// A small whole number; 0 where there is none.
std::optional<std::size_t> index_of(const json::Value& value, std::size_t limit) {
  const json::Value* found = value.find("index");
  if (found == nullptr) {
    return 0;
  }
  const double* number = found->number();
  if (number == nullptr || *number != std::trunc(*number) || *number < 0 ||
      *number >= static_cast<double>(limit)) {
    return std::nullopt;
  }
  return static_cast<std::size_t>(*number);
}

/// Appends the text that a piece has under `name`; null and nothing add nothing.
bool append_piece(const json::Value& piece, const char* name, std::string& out) {
  const json::Value* found = piece.find(name);
  if (found == nullptr || found->is_null()) {
    return true;
  }
  if (found->string() == nullptr) {
    return false;
  }
  out += *found->string();
  return true;
}

tl::unexpected<Error> bad_piece(const std::string& what) {
  return fail(Errc::invalid, "stream: " + what);
}

}  // namespace

std::vector<std::string> EventReader::take(std::string_view bytes) {
  std::vector<std::string> events;
  for (const char c : bytes) {
    const bool is_second_half = std::exchange(was_carriage_return_, c == '\r') && c == '\n';
    if (is_second_half) {
      continue;
    }
    if (c == '\r' || c == '\n') {
      end_line(events);
    } else {
      line_ += c;
    }
  }
  return events;
}

void EventReader::end_line(std::vector<std::string>& events) {
  std::string line = std::exchange(line_, {});
  if (std::exchange(is_first_line_, false) && line.starts_with(byte_order_mark)) {
    line.erase(0, byte_order_mark.size());
  }
  if (line.empty()) {
    if (has_data_) {
      events.push_back(std::exchange(data_, {}));
      has_data_ = false;
    }
    return;
  }
  const std::size_t colon = std::min(line.find(':'), line.size());
  if (line.compare(0, colon, "data") != 0) {
    return;  // A comment, or a field that says nothing about the answer.
  }
  std::string_view value = std::string_view(line).substr(std::min(colon + 1, line.size()));
  if (value.starts_with(' ')) {
    value.remove_prefix(1);
  }
  if (has_data_) {
    data_ += '\n';
  }
  data_ += value;
  has_data_ = true;
}

bool EventReader::is_within_event() const {
  return has_data_ || !line_.empty();
}

Result<void> StreamedAnswer::add(const std::string& data) {
  if (kind_ != HttpStream::events && data == done_mark) {
    is_done_ = true;
    return {};
  }
  auto value = json::parse(data);
  if (!value) {
    return fail(value.error().code, "stream: an event: " + value.error().message);
  }
  if (kind_ == HttpStream::events) {
    events_.push_back(std::move(*value));
    return {};
  }
  const json::Object* members = value->object();
  if (members == nullptr) {
    return bad_piece("an event that is no object");
  }
  if (const json::Value* error = members->find("error"); error != nullptr && !error->is_null()) {
    const json::Value* said = error->find("message");
    return fail(Errc::refused,
                "stream: the endpoint failed: " + (said != nullptr && said->string() != nullptr
                                                       ? *said->string()
                                                       : json::canonical(*error)));
  }
  for (const json::Member& member : *members) {
    if (member.name == "choices") {
      for (const json::Value& choice :
           member.value.array() == nullptr ? json::Array() : *member.value.array()) {
        if (auto added = add_choice(choice); !added) {
          return added;
        }
      }
    } else if (!member.value.is_null()) {
      other_.set(member.name, member.value);
      if (other_.size() > members_max) {
        return bad_piece("more than " + std::to_string(members_max) + " members");
      }
    }
  }
  return {};
}

Result<void> StreamedAnswer::add_choice(const json::Value& value) {
  const auto index = index_of(value, choices_max);
  if (value.object() == nullptr || !index) {
    return bad_piece("a choice without a usable index");
  }
  Choice& choice = choices_[*index];
  if (const json::Value* reason = value.find("finish_reason");
      reason != nullptr && !reason->is_null()) {
    choice.finish_reason = *reason;
  }
  if (kind_ == HttpStream::completions) {
    return append_piece(value, "text", choice.text) ? Result<void>()
                                                    : bad_piece("a piece that is no text");
  }
  const json::Value* delta = value.find("delta");
  if (delta == nullptr) {
    return {};
  }
  const json::Value* role = delta->find("role");
  if (role != nullptr && role->string() != nullptr) {
    choice.role = *role->string();
  }
  const json::Value* content = delta->find("content");
  choice.has_text = choice.has_text || (content != nullptr && !content->is_null());
  if (!append_piece(*delta, "content", choice.text)) {
    return bad_piece("a piece of content that is no text");
  }
  const json::Value* calls = delta->find("tool_calls");
  return calls == nullptr || calls->is_null() ? Result<void>() : add_tool_calls(choice, *calls);
}

Result<void> StreamedAnswer::add_tool_calls(Choice& choice, const json::Value& calls) {
  if (calls.array() == nullptr) {
    return bad_piece("tool_calls that are no list");
  }
  for (const json::Value& piece : *calls.array()) {
    const auto index = index_of(piece, tool_calls_max);
    if (piece.object() == nullptr || !index) {
      return bad_piece("a tool call without a usable index");
    }
    ToolCall& call = choice.tool_calls[*index];
    const json::Value* function = piece.find("function");
    const bool are_texts =
        append_piece(piece, "id", call.id) &&
        (function == nullptr || (append_piece(*function, "name", call.name) &&
                                 append_piece(*function, "arguments", call.arguments)));
    if (!are_texts) {
      return bad_piece("a piece of a tool call that is no text");
    }
  }
  return {};
}

json::Value StreamedAnswer::document(const Choice& choice, std::size_t index) const {
  json::Object out;
  out.set("index", static_cast<std::uint64_t>(index));
  out.set("finish_reason", choice.finish_reason);
  if (kind_ == HttpStream::completions) {
    out.set("text", choice.text);
    return out;
  }
  json::Object message;
  message.set("role", choice.role);
  message.set("content", choice.has_text ? json::Value(choice.text) : json::Value());
  if (!choice.tool_calls.empty()) {
    json::Array calls;
    for (const auto& [number, call] : choice.tool_calls) {
      json::Object function;
      function.set("name", call.name);
      function.set("arguments", call.arguments);
      json::Object each;
      each.set("id", call.id);
      each.set("type", "function");
      each.set("function", std::move(function));
      calls.emplace_back(std::move(each));
    }
    message.set("tool_calls", std::move(calls));
  }
  out.set("message", std::move(message));
  return out;
}

Result<json::Value> StreamedAnswer::finish() const {
  if (kind_ == HttpStream::events) {
    return json::Value(events_);
  }
  const bool has_end =
      !choices_.empty() && std::all_of(choices_.begin(), choices_.end(), [](const auto& each) {
        return !each.second.finish_reason.is_null();
      });
  if (!is_done_ && !has_end) {
    return bad_piece("it ended before the completion did");
  }
  json::Array choices;
  for (const auto& [index, choice] : choices_) {
    choices.push_back(document(choice, index));
  }
  json::Object out = other_;
  out.set("choices", std::move(choices));
  return json::Value(std::move(out));
}

}  // namespace forerun
