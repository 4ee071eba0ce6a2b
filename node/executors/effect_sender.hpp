#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "node/executors/executor.hpp"
#include "speculation/effects.hpp"

namespace forerun {

/// Sends the HTTP requests of committed effects. Thread-safe; `done` comes as an Executor's does:
/// `returned` with output `{"status": N}` for a status of 2xx, else `failed` with the reason.
class EffectSender {
public:
  virtual ~EffectSender() = default;
  /// `key` goes as `Idempotency-Key`. Null when `done` has been called already.
  virtual std::unique_ptr<RunningTask> send(HttpEffect request, std::string key, Duration timeout,
                                            RunDone done) = 0;
  /// Stops what is on its way and waits until every `done` has been called. Nothing may be sent
  /// afterwards.
  virtual void close() = 0;
};

struct EffectSenderSettings {
  std::size_t threads = 4;         ///< Requests on their way at once.
  std::size_t waiting_max = 1024;  ///< For a thread; more are `lost`.
  Duration connect = std::chrono::seconds(5);
};

/// With libcurl: certificates and names of hosts are checked, no redirect is followed, no proxy is
/// used, and what a receiver answers is not kept.
std::unique_ptr<EffectSender> make_effect_sender(const EffectSenderSettings& settings = {});

}  // namespace forerun
