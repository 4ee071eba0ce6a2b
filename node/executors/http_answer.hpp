#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/result.hpp"
#include "node/executors/event_stream.hpp"
#include "node/executors/http_request.hpp"

/// What an `http` task's answer says. Pure.
namespace forerun {

/// Reads the answer to one request.
class HttpAnswerReader {
public:
  explicit HttpAnswerReader(const HttpSettings& settings) : settings_(settings) {}

  /// The next bytes of its body. False: it is decided, the rest is not wanted.
  bool take(const HttpHead& head, std::string_view bytes);
  /// The task's output, once the whole answer is there or take() said that it is decided.
  /// Errors: a cause: a status that is not 2xx, an answer that is too large or is not what the task
  /// says that it is.
  Result<json::Value> finish(const HttpHead& head) const;

  /// Taken so far of a good answer's body.
  std::size_t bytes() const { return bytes_; }

private:
  bool is_streamed(const HttpHead& head) const;
  Result<json::Value> document(const HttpHead& head) const;

  const HttpSettings& settings_;  ///< Of the run, which outlives it.
  std::size_t bytes_ = 0;
  std::string body_;
  EventReader events_;
  std::optional<StreamedAnswer> streamed_;
  std::optional<Error> problem_;
};

}  // namespace forerun
