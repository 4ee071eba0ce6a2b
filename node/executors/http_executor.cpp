#include <memory>
#include <utility>

#include "node/executors/envelope.hpp"
#include "node/executors/http_answer.hpp"
#include "node/executors/http_loop.hpp"
#include "node/executors/http_retry.hpp"
#include "node/executors/node_values.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {
namespace {

constexpr std::size_t secret_bytes_min = 8;  ///< Shorter ones may stand in an answer by chance.
constexpr std::size_t cause_shown_max = 300;

/// One run.
class TaskExchange final : public HttpExchange {
public:
  TaskExchange(Run run, RunDone done, NodeValue values, std::filesystem::path folder)
      : run_(std::move(run)),
        done_(std::move(done)),
        values_(std::move(values)),
        folder_(std::move(folder)) {}

  Result<HttpRequest> ask() override {
    auto built = http_request_of(run_, values_);
    if (!built) {
      return tl::unexpected<Error>(std::move(built.error()));
    }
    ++attempt_;
    reader_.emplace(run_.task.http);
    hidden_ = std::move(built->node_values);
    secrets_ = std::move(built->secrets);
    if (!built->request.ca_file.empty()) {
      built->request.ca_file = (folder_ / built->request.ca_file).string();
    }
    return std::move(built->request);
  }

  /// What a node lacks another may have; but of a write that was not sent, that it may have taken
  /// effect would be wrong.
  void failed_to_ask(const Error& error) override {
    const bool is_lost = error.code == Errc::refused && run_.task.effect != Effect::write;
    report(ended_without_output(is_lost ? Ending::lost : Ending::failed, error.message));
  }

  bool take(const HttpHead& head, std::string_view bytes) override {
    return reader_->take(head, bytes);
  }

  std::optional<Duration> ended(const HttpAttempt& attempt) override {
    const HttpVerdict verdict = verdict_on(run_.task, attempt, attempt_);
    switch (verdict.what) {
      case HttpVerdict::What::again:
        return verdict.after;
      case HttpVerdict::What::failed:
        report(ended_without_output(Ending::failed, cause(verdict.cause)));
        break;
      case HttpVerdict::What::unknown:
        report(ended_without_output(Ending::lost, cause(verdict.cause)));
        break;
      case HttpVerdict::What::read:
        report(answer(attempt.head));
        break;
    }
    return std::nullopt;
  }

  void stopped(std::uint32_t dead_handles) override {
    RunEnded ended = ended_without_output(Ending::cancelled,
                                          attempt_ == 0 ? "stopped before it started" : "stopped");
    ended.dead_handles = dead_handles;
    report(std::move(ended));
  }

  void refused(const std::string& why) override {
    report(ended_without_output(Ending::lost, "http: " + why));
  }

private:
  RunEnded answer(const HttpHead& head) const {
    const auto value = reader_->finish(head);
    if (!value) {
      return ended_without_output(Ending::failed, cause(value.error().message));
    }
    auto ended = ended_with(*value, {}, {}, output_bytes_max);
    if (!ended) {
      return ended_without_output(Ending::failed, ended.error().message);
    }
    for (const std::string& secret : secrets_) {
      if (secret.size() >= secret_bytes_min && without(ended->output, {secret}) != ended->output) {
        return ended_without_output(Ending::failed,
                                    "answer: it holds a secret of the request's headers");
      }
    }
    return std::move(*ended);
  }

  /// As the catalog has the address: a filled in one may hold a secret. Hidden before it is cut,
  /// since of a secret that is cut a part would be left.
  std::string cause(const std::string& why) const {
    return run_.task.http.method + " " + run_.task.http.url + ": " +
           json::clean_text(without_in_cut(why, hidden_), cause_shown_max);
  }

  void report(RunEnded ended) {
    ended.latency = run_time_since(started_);
    done_(std::move(ended));
  }

  const Run run_;
  const RunDone done_;
  const NodeValue values_;
  const std::filesystem::path folder_;
  const RunClock::time_point started_ = RunClock::now();
  std::uint32_t attempt_ = 0;
  std::optional<HttpAnswerReader> reader_;
  std::vector<std::string> hidden_;
  std::vector<std::string> secrets_;
};

class HttpExecutor final : public Executor {
public:
  HttpExecutor(std::shared_ptr<HttpLoop> loop, const std::filesystem::path& folder)
      : loop_(std::move(loop)), folder_(folder), values_(node_values(folder)) {}
  ~HttpExecutor() override { loop_->close(); }

  std::unique_ptr<RunningTask> start(Run run, RunDone done) override {
    return run_on(
        loop_, std::make_unique<TaskExchange>(std::move(run), std::move(done), values_, folder_));
  }

private:
  std::shared_ptr<HttpLoop> loop_;
  const std::filesystem::path folder_;
  const NodeValue values_;
};

}  // namespace

std::unique_ptr<Executor> make_http_executor(std::shared_ptr<HttpLoop> loop,
                                             const std::string& folder) {
  return std::make_unique<HttpExecutor>(std::move(loop), folder);
}

}  // namespace forerun
