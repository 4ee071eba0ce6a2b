#pragma once

#include <memory>
#include <string>
#include <utility>

#include "node/executors/executor.hpp"
#include "speculation/effects.hpp"

namespace forerun {

/// Sends the HTTP requests of committed effects. Thread-safe; `done` comes as an Executor's does:
/// `returned` with output `{"status": N}` for a status of 2xx, else `failed` with the reason.
class EffectSender {
public:
  explicit EffectSender(std::shared_ptr<HttpLoop> loop) : loop_(std::move(loop)) {}
  /// `key` goes as `Idempotency-Key`. What a receiver answers is not kept. Null when `done` has
  /// been called already.
  std::unique_ptr<RunningTask> send(HttpEffect request, std::string key, Duration timeout,
                                    RunDone done);

private:
  std::shared_ptr<HttpLoop> loop_;
};

}  // namespace forerun
