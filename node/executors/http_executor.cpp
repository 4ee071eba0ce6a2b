#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
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
/// Larger answers are read on a thread of their own: a megabyte takes ten milliseconds and more, for
/// which all other requests of the node, and their cancellations, would wait.
constexpr std::size_t read_on_loop_max = 64U << 10U;

/// One run, as far as its answer and its end need it.
class TaskAnswer {
public:
  TaskAnswer(Run run, RunDone done) : run_(std::move(run)), done_(std::move(done)) {}
  TaskAnswer(const TaskAnswer&) = delete;
  TaskAnswer& operator=(const TaskAnswer&) = delete;

  const Run& run() const { return run_; }

  /// A request goes out; what stood for a secret in it.
  void asked(std::vector<std::string> hidden, std::vector<std::string> secrets) {
    reader_.emplace(run_.task.http);
    hidden_ = std::move(hidden);
    secrets_ = std::move(secrets);
  }
  bool take(const HttpHead& head, std::string_view bytes) { return reader_->take(head, bytes); }
  std::size_t bytes() const { return reader_->bytes(); }

  /// Reads the whole answer, and reports.
  void read(const HttpHead& head) { report(ended_by(head)); }

  void report(Ending ending, const std::string& why) {
    report(ended_without_output(ending, cause(why)));
  }
  void report(RunEnded ended) {
    ended.latency = run_time_since(started_);
    done_(std::move(ended));
  }

private:
  RunEnded ended_by(const HttpHead& head) const {
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

  const Run run_;
  const RunDone done_;
  const RunClock::time_point started_ = RunClock::now();
  std::optional<HttpAnswerReader> reader_;
  std::vector<std::string> hidden_;
  std::vector<std::string> secrets_;
};

/// A thread that reads answers, one after another. The destructor reads what is left. Thread-safe.
class AnswerThread {
public:
  AnswerThread() : thread_([this] { run(); }) {}
  AnswerThread(const AnswerThread&) = delete;
  AnswerThread& operator=(const AnswerThread&) = delete;
  ~AnswerThread() {
    {
      const std::lock_guard lock(mutex_);
      is_closing_ = true;
    }
    changed_.notify_one();
  }

  /// False when so many wait that the caller reads it itself.
  bool read(std::shared_ptr<TaskAnswer> answer, const HttpHead& head) {
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.size() >= http_exchanges_max) {
        return false;
      }
      waiting_.emplace_back(std::move(answer), head);
    }
    changed_.notify_one();
    return true;
  }

private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return is_closing_ || !waiting_.empty(); });
      if (waiting_.empty()) {
        return;
      }
      const auto [answer, head] = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      answer->read(head);
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<std::shared_ptr<TaskAnswer>, HttpHead>> waiting_;
  bool is_closing_ = false;
  std::jthread thread_;  ///< Last: it uses the rest.
};

/// One run on the loop.
class TaskExchange final : public HttpExchange {
public:
  TaskExchange(std::shared_ptr<TaskAnswer> answer, AnswerThread& thread, NodeValue values,
               std::filesystem::path folder)
      : answer_(std::move(answer)),
        thread_(thread),
        values_(std::move(values)),
        folder_(std::move(folder)) {}

  Result<HttpRequest> ask() override {
    auto built = http_request_of(answer_->run(), values_);
    if (!built) {
      return tl::unexpected<Error>(std::move(built.error()));
    }
    ++attempt_;
    answer_->asked(std::move(built->node_values), std::move(built->secrets));
    if (!built->request.ca_file.empty()) {
      built->request.ca_file = (folder_ / built->request.ca_file).string();
    }
    return std::move(built->request);
  }

  /// What a node lacks another may have; but of a write that was not sent, that it may have taken
  /// effect would be wrong.
  void failed_to_ask(const Error& error) override {
    const bool is_lost =
        error.code == Errc::refused && answer_->run().task.effect != Effect::write;
    answer_->report(ended_without_output(is_lost ? Ending::lost : Ending::failed, error.message));
  }

  bool take(const HttpHead& head, std::string_view bytes) override {
    return answer_->take(head, bytes);
  }

  std::optional<Duration> ended(const HttpAttempt& attempt) override {
    const RunDeadline& deadline = answer_->run().deadline;
    const bool is_speculative = deadline.is_speculative();  // Before its time, which goes with it.
    const HttpVerdict verdict =
        verdict_on(answer_->run().task, attempt, attempt_, time_left(deadline));
    switch (verdict.what) {
      case HttpVerdict::What::again:
        return verdict.after;
      case HttpVerdict::What::failed:
        answer_->report(Ending::failed, verdict.cause);
        break;
      case HttpVerdict::What::unknown:
        answer_->report(Ending::lost, verdict.cause);
        break;
      case HttpVerdict::What::too_late:
        answer_->report(is_speculative ? Ending::expired : Ending::failed, verdict.cause);
        break;
      case HttpVerdict::What::read:
        if (answer_->bytes() <= read_on_loop_max || !thread_.read(answer_, attempt.head)) {
          answer_->read(attempt.head);
        }
        break;
    }
    return std::nullopt;
  }

  void stopped(std::uint32_t dead_handles) override {
    RunEnded ended = ended_without_output(Ending::cancelled,
                                          attempt_ == 0 ? "stopped before it started" : "stopped");
    ended.dead_handles = dead_handles;
    answer_->report(std::move(ended));
  }

  void refused(const std::string& why) override {
    answer_->report(ended_without_output(Ending::lost, "http: " + why));
  }

private:
  static Duration time_left(const RunDeadline& deadline) {
    const auto at = deadline.at();
    return at == RunClock::time_point::max()
               ? Duration::max()
               : std::chrono::duration_cast<Duration>(at - RunClock::now());
  }

  const std::shared_ptr<TaskAnswer> answer_;
  AnswerThread& thread_;
  const NodeValue values_;
  const std::filesystem::path folder_;
  std::uint32_t attempt_ = 0;
};

class HttpExecutor final : public Executor {
public:
  HttpExecutor(std::shared_ptr<HttpLoop> loop, const std::filesystem::path& folder)
      : loop_(std::move(loop)), folder_(folder), values_(node_values(folder)) {}
  ~HttpExecutor() override { loop_->close(); }

  std::unique_ptr<RunningTask> start(Run run, RunDone done) override {
    auto answer = std::make_shared<TaskAnswer>(std::move(run), std::move(done));
    return run_on(loop_, std::make_unique<TaskExchange>(std::move(answer), answers_, values_,
                                                        folder_));
  }

private:
  std::shared_ptr<HttpLoop> loop_;
  const std::filesystem::path folder_;
  const NodeValue values_;
  AnswerThread answers_;  ///< Last: once the loop is closed, it reads what is left.
};

}  // namespace

std::unique_ptr<Executor> make_http_executor(std::shared_ptr<HttpLoop> loop,
                                             const std::string& folder) {
  return std::make_unique<HttpExecutor>(std::move(loop), folder);
}

}  // namespace forerun
