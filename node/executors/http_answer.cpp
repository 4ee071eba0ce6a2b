#include "node/executors/http_answer.hpp"

#include <algorithm>

#include "speculation/http_words.hpp"
#include "speculation/json_pointer.hpp"

namespace forerun {
namespace {

constexpr std::size_t error_body_bytes_max = 4096;  ///< Read of an answer that is no good.
constexpr std::size_t kb = 1024;

bool is_good(const HttpHead& head) {
  return head.status >= 200 && head.status <= 299;
}

/// What endpoints say about an error, in the places where they do.
std::string said_in(const std::string& body) {
  const auto value = json::parse(body);
  if (value) {
    for (const char* pointer : {"/error/message", "/error", "/message", "/detail", "/title"}) {
      const json::Value* found = resolve_pointer(*value, pointer);
      if (found != nullptr && found->string() != nullptr) {
        return *found->string();
      }
    }
  }
  const std::size_t begin = body.find_first_not_of(" \t\r\n");
  return begin == std::string::npos ? "" : body.substr(begin, body.find('\n', begin) - begin);
}

Error bad_status(const HttpHead& head, const std::string& body) {
  std::string cause = "status " + std::to_string(head.status);
  if (head.status >= 300 && head.status <= 399) {
    // Without its query, which may hold more than an address.
    const std::string place = head.redirect.substr(0, head.redirect.find('?'));
    cause += (place.empty() ? "" : " to " + place) +
             ": redirects are not followed, expected the final address as the task's url";
    return {Errc::invalid, cause};
  }
  const std::string said = said_in(body);
  return {Errc::invalid, cause + (said.empty() ? ", expected 2xx" : ": " + said)};
}

}  // namespace

bool HttpAnswerReader::is_streamed(const HttpHead& head) const {
  constexpr std::string_view event_stream = "text/event-stream";
  return settings_.stream != HttpStream::none &&
         is_same_header(std::string_view(head.content_type).substr(0, event_stream.size()),
                        event_stream);
}

bool HttpAnswerReader::take(const HttpHead& head, std::string_view bytes) {
  if (problem_) {
    return false;
  }
  if (!is_good(head)) {
    body_ += bytes.substr(0, error_body_bytes_max - body_.size());
    return body_.size() < error_body_bytes_max;
  }
  bytes_ += bytes.size();
  if (bytes_ > settings_.answer_kb * kb) {
    problem_ = Error{Errc::too_large, "answer: larger than " + std::to_string(settings_.answer_kb) +
                                          " KiB, the limit answer_kb"};
    body_.clear();
    return false;
  }
  if (!is_streamed(head)) {
    body_ += bytes;
    return true;
  }
  if (!streamed_) {
    streamed_.emplace(settings_.stream);
  }
  for (const std::string& data : events_.take(bytes)) {
    if (data.size() > output_bytes_max) {
      problem_ = Error{Errc::too_large, "stream: an event larger than " +
                                            std::to_string(output_bytes_max) + " bytes"};
      return false;
    }
    if (auto added = streamed_->add(data); !added) {
      problem_ = std::move(added.error());
      return false;
    }
  }
  return true;
}

Result<json::Value> HttpAnswerReader::document(const HttpHead& head) const {
  if (is_streamed(head)) {
    if (events_.is_within_event()) {
      return fail(Errc::invalid, "stream: it ended within an event");
    }
    return streamed_ ? streamed_->finish() : StreamedAnswer(settings_.stream).finish();
  }
  constexpr int no_content = 204;
  if (body_.empty() && head.status == no_content) {
    return json::Value();
  }
  auto value = json::parse(body_, {.bytes = settings_.answer_kb * kb});
  return value ? std::move(value) : fail(value.error().code, "answer: " + value.error().message);
}

Result<json::Value> HttpAnswerReader::finish(const HttpHead& head) const {
  if (problem_) {
    return tl::unexpected<Error>(*problem_);
  }
  if (!is_good(head)) {
    return tl::unexpected<Error>(bad_status(head, body_));
  }
  const auto whole = document(head);
  if (!whole) {
    return tl::unexpected<Error>(whole.error());
  }
  const json::Value* found = resolve_pointer(*whole, settings_.answer);
  if (found == nullptr) {
    return fail(Errc::invalid, "answer: there is nothing at " + settings_.answer);
  }
  if (!settings_.answer_is_json) {
    return *found;
  }
  if (found->string() == nullptr) {
    return fail(Errc::invalid, "answer: what is at \"" + settings_.answer +
                                   "\" is no text, expected one that holds JSON (answer_is_json)");
  }
  auto inner = json::parse(*found->string());
  return inner ? std::move(inner)
               : fail(inner.error().code,
                      "answer: the text at \"" + settings_.answer + "\": " + inner.error().message);
}

}  // namespace forerun
