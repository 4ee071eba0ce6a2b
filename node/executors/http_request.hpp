#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "node/executors/executor.hpp"
#include "speculation/text_template.hpp"

/// The request of an `http` task. Pure.
namespace forerun {

/// What is sent.
struct HttpRequest {
  std::string method;
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<std::string> body;
  std::string ca_file;          ///< Trusted instead of the system's; empty: the system's.
  Duration timeout{};           ///< From its start to the answer's last byte; zero: none.
  bool may_be_repeated = true;  ///< Else it never goes out on a connection that may be dead.
};

/// What the head of an answer says.
struct HttpHead {
  int status = 0;
  std::string content_type{};
  std::optional<Duration> retry_after{};  ///< As it asks, from now on.
  std::string redirect{};                 ///< Where it points to; empty: nowhere.
};

/// Gives what `${env:…}` and `${file:…}` stand for on this node. Errors: refused.
using NodeValue = std::function<Result<std::string>(const TemplatePart&)>;

struct TaskRequest {
  HttpRequest request;
  std::vector<std::string> node_values;  ///< Must be in no log and no cause.
  std::vector<std::string> secrets;      ///< Those in headers, which must be in no output either.
};

/// Fills in the task's templates: a text that is one place gets the value, within a longer one the
/// text or canonical JSON stands; in a URL percent-encoded. A `write` gets its key for the outside
/// as `Idempotency-Key`.
/// Errors: refused (the node lacks a value); invalid (there is nothing at a pointer, what would be
/// sent is no URL or header); too_large. No message holds a node's value.
Result<TaskRequest> http_request_of(const Run& run, const NodeValue& value);

/// `text` with every one of `values` in it replaced by `***`, also where it stands escaped in JSON.
std::string without(std::string text, const std::vector<std::string>& values);
/// The same of a text that may have been cut: nor does it end with how one of them begins.
std::string without_in_cut(std::string text, const std::vector<std::string>& values);

}  // namespace forerun
