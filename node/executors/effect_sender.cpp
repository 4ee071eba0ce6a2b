#include "node/executors/effect_sender.hpp"

#include <utility>

#include "node/executors/http_loop.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {
namespace {

class EffectExchange final : public HttpExchange {
public:
  EffectExchange(HttpEffect effect, const std::string& key, Duration timeout, RunDone done)
      : what_(effect.method + " " + effect.url), done_(std::move(done)) {
    request_.method = std::move(effect.method);
    request_.url = std::move(effect.url);
    request_.headers = std::move(effect.headers);
    request_.headers.emplace_back("Idempotency-Key", key);
    request_.body = std::move(effect.body);
    request_.timeout = timeout;
  }

  Result<HttpRequest> ask() override { return request_; }
  void failed_to_ask(const Error& error) override { report(Ending::failed, error.message); }
  bool take(const HttpHead&, std::string_view) override { return true; }

  /// The coordinator decides whether it is sent again.
  std::optional<Duration> ended(const HttpAttempt& attempt) override {
    const int status = attempt.head.status;
    if (attempt.end != HttpAttempt::End::answered) {
      report(Ending::failed, what_ + ": " + attempt.problem);
    } else if (status < 200 || status > 299) {
      report(Ending::failed, what_ + ": status " + std::to_string(status) + ", expected 2xx");
    } else {
      RunEnded ended;
      ended.output = R"({"status":)" + std::to_string(status) + "}";
      report(std::move(ended));
    }
    return std::nullopt;
  }

  void stopped(std::uint32_t dead_handles) override {
    RunEnded ended = ended_without_output(Ending::cancelled, "stopped");
    ended.dead_handles = dead_handles;
    report(std::move(ended));
  }
  void refused(const std::string& why) override { report(Ending::lost, "effects: " + why); }

private:
  void report(Ending ending, const std::string& cause) {
    report(ended_without_output(ending, cause));
  }
  void report(RunEnded ended) {
    ended.latency = run_time_since(started_);
    done_(std::move(ended));
  }

  const std::string what_;
  HttpRequest request_;
  const RunDone done_;
  const RunClock::time_point started_ = RunClock::now();
};

}  // namespace

std::unique_ptr<RunningTask> EffectSender::send(HttpEffect request, std::string key,
                                                Duration timeout, RunDone done) {
  return run_on(
      loop_, std::make_unique<EffectExchange>(std::move(request), key, timeout, std::move(done)));
}

}  // namespace forerun
