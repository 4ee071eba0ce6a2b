#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "speculation/http_settings.hpp"

/// Streamed answers, put together. Pure.
namespace forerun {

/// Takes server-sent events apart (HTML Living Standard §9.2): the data of each event. Whoever
/// feeds it bounds what it holds.
class EventReader {
public:
  /// The data of the events that end within these bytes.
  std::vector<std::string> take(std::string_view bytes);
  /// Whether an event has begun that has not ended.
  bool is_within_event() const;

private:
  void end_line(std::vector<std::string>& events);

  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool was_carriage_return_ = false;
  bool is_first_line_ = true;
};

/// Puts the events of a streamed answer together to one document: a list of them, or the completion
/// that the endpoint would have sent in one piece.
class StreamedAnswer {
public:
  /// @pre not HttpStream::none.
  explicit StreamedAnswer(HttpStream kind) : kind_(kind) {}
  /// One event's data. Errors: invalid; refused when the endpoint tells of an error of its own.
  Result<void> add(const std::string& data);
  /// Errors: invalid for a stream that was cut: of a completion the end was not told.
  Result<json::Value> finish() const;

private:
  struct ToolCall {
    std::string id;
    std::string name;
    std::string arguments;
  };
  struct Choice {
    std::string text;
    std::string role = "assistant";
    bool has_text = false;
    std::map<std::size_t, ToolCall> tool_calls;  ///< By index.
    json::Value finish_reason;
  };

  Result<void> add_choice(const json::Value& value);
  static Result<void> add_tool_calls(Choice& choice, const json::Value& calls);
  json::Value document(const Choice& choice, std::size_t index) const;

  HttpStream kind_;
  json::Array events_;
  std::map<std::size_t, Choice> choices_;  ///< By index.
  json::Object other_;                     ///< id, model, usage, …
  bool is_done_ = false;
};

}  // namespace forerun
