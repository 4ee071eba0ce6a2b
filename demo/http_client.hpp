#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

namespace forerun {

struct HttpLimits {
  Duration connect = std::chrono::seconds(5);
  Duration request = std::chrono::minutes(5);  ///< From sending to the answer's last byte.
  /// Asked about once a second while a request waits; true ends it with refused. May be empty.
  std::function<bool()> is_stopped{};
  std::string token{};                    ///< Sent as a bearer token (RFC 6750); empty: none.
  std::string ca{};                       ///< A PEM file to trust for https; empty: the system's.
  std::size_t answer_bytes = 64U << 20U;  ///< A longer answer ends the request with too_large.
};

struct HttpAnswer {
  int status = 0;
  json::Value body;        ///< Null when the answer had none.
  Duration retry_after{};  ///< Of a 503; zero when not given.
};

/// JSON over HTTP/1.1 to one server, on one connection that is kept alive. Uses no proxy, follows
/// no redirect. Owned by one thread at a time.
class HttpClient {
public:
  /// `base_url` has no path: "http://127.0.0.1:7070", or the same with a slash behind it.
  explicit HttpClient(std::string base_url, const HttpLimits& limits = {});
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;

  /// Errors: io (no connection, cut, deadline), too_large, invalid (the answer is not JSON). A
  /// status of 400 and above is an answer, not an error.
  Result<HttpAnswer> get(std::string_view path);
  /// An empty key sends no Idempotency-Key.
  Result<HttpAnswer> post(std::string_view path, const std::string& body,
                          std::string_view idempotency_key = {});
  Result<HttpAnswer> del(std::string_view path);

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forerun
