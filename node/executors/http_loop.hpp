#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "node/executors/http_request.hpp"
#include "node/executors/http_retry.hpp"

namespace forerun {

inline constexpr std::size_t http_exchanges_max = 1024;  ///< Begun and not ended.

/// A request and what becomes of it, perhaps after asking again. Called and destroyed on the loop's
/// thread; after close() on its starter's.
class HttpExchange {
public:
  virtual ~HttpExchange() = default;
  /// What is sent now. An error ends the exchange: failed_to_ask() follows.
  virtual Result<HttpRequest> ask() = 0;
  virtual void failed_to_ask(const Error& error) = 0;
  /// The next bytes of the answer's body. False: the rest is not wanted.
  virtual bool take(const HttpHead& head, std::string_view bytes) = 0;
  /// How an attempt ended. Asks again after what it returns; nothing: that was the end.
  virtual std::optional<Duration> ended(const HttpAttempt& attempt) = 0;
  /// It was stopped; its connection is closed. `dead_handles`: sockets of it that are still open.
  virtual void stopped(std::uint32_t dead_handles) = 0;
  /// It was not begun: there are http_exchanges_max of them already, or the loop is closed.
  virtual void refused(const std::string& why) = 0;
};

struct HttpLoopSettings {
  Duration connect = std::chrono::seconds(5);
  std::size_t idle_connections_max = 256;
};

/// All HTTP requests of a node, on one thread with one libcurl multi handle: connections are kept
/// and shared by whoever asks the same host. Certificates and names of hosts are checked, no
/// redirect is followed, no proxy used, no cookie kept. HTTP/1.1, so that stopping one closes its
/// connection. Thread-safe.
class HttpLoop {
public:
  explicit HttpLoop(const HttpLoopSettings& settings = {});
  HttpLoop(const HttpLoop&) = delete;
  HttpLoop& operator=(const HttpLoop&) = delete;
  ~HttpLoop();

  /// Returns its number. Exactly one of failed_to_ask(), ended() without a pause, stopped() and
  /// refused() ends it.
  std::uint64_t start(std::unique_ptr<HttpExchange> exchange);
  /// Closes its connection. Ignored once it has ended.
  void stop(std::uint64_t exchange);
  /// Stops all, and waits until each has been told. What is started afterwards is refused.
  void close();

private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Starts an exchange that is a run. Null when it was refused.
std::unique_ptr<RunningTask> run_on(const std::shared_ptr<HttpLoop>& loop,
                                    std::unique_ptr<HttpExchange> exchange);

}  // namespace forerun
