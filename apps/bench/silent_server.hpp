#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <thread>

#include "base/result.hpp"

namespace forerun {

/// Takes connections on loopback and never answers. Thread-safe.
class SilentServer {
public:
  SilentServer() = default;
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;
  ~SilentServer();
  Result<void> start();
  const std::string& url() const { return url_; }
  /// That its clients have not closed.
  std::size_t open_connections() const { return open_; }

private:
  void serve();

  int listener_ = -1;
  int epoll_ = -1;
  std::string url_;
  std::atomic<std::size_t> open_ = 0;
  std::atomic<bool> is_ending_ = false;
  std::thread thread_;
};

}  // namespace forerun
