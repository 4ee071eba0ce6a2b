#include "node/executors/effect_sender.hpp"

#include <curl/curl.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {
namespace {

/// One request, from send() until its end is told.
struct Sending {
  HttpEffect request;
  std::string key;
  Duration timeout{};
  RunDone done;
  RunClock::time_point started = RunClock::now();
  std::atomic<bool> is_stopped = false;
};
using SendingRef = std::shared_ptr<Sending>;

struct HeaderList {
  curl_slist* list = nullptr;
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  ~HeaderList() { curl_slist_free_all(list); }
  void add(const std::string& line) {
    curl_slist* const longer = curl_slist_append(list, line.c_str());
    FORERUN_ASSERT(longer != nullptr);
    list = longer;
  }
};

std::size_t ignore_body(char*, std::size_t size, std::size_t count, void*) {
  return size * count;
}

/// Asked by curl at least once a second.
int is_stopped(void* sending, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Sending*>(sending)->is_stopped ? 1 : 0;
}

bool names_content_type(const HttpEffect& request) {
  for (const auto& [name, value] : request.headers) {
    std::string lowered;
    for (const char c : name) {
      lowered.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    }
    if (lowered == "content-type") {
      return true;
    }
  }
  return false;
}

RunEnded perform(CURL* curl, Sending& sending, Duration connect) {
  const HttpEffect& request = sending.request;
  HeaderList headers;
  headers.add("Idempotency-Key: " + sending.key);
  headers.add("Expect:");  // No round trip before the body.
  if (request.body && !names_content_type(request)) {
    headers.add("Content-Type: application/json");
  }
  for (const auto& [name, value] : request.headers) {
    headers.add(value.empty() ? name + ";" : name + ": " + value);
  }
  const auto ms = [](Duration duration) {
    return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
  };
  char problem[CURL_ERROR_SIZE] = "";
  curl_easy_reset(curl);
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, ms(connect));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ms(sending.timeout));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "forerun");
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_body);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_stopped);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &sending);
  if (request.body) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body->size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body->data());
  } else if (request.method != "GET" && request.method != "DELETE") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  const CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (sending.is_stopped) {
    return ended_without_output(Ending::cancelled, "stopped");
  }
  const std::string what = request.method + " " + request.url + ": ";
  if (code != CURLE_OK) {
    return ended_without_output(Ending::failed,
                                what + (problem[0] == '\0' ? curl_easy_strerror(code) : problem));
  }
  if (status < 200 || status > 299) {
    return ended_without_output(Ending::failed,
                                what + "status " + std::to_string(status) + ", expected 2xx");
  }
  RunEnded ended;
  ended.output = R"({"status":)" + std::to_string(status) + "}";
  return ended;
}

void report(Sending& sending, RunEnded ended) {
  ended.latency = run_time_since(sending.started);
  const RunDone done = std::move(sending.done);
  done(std::move(ended));
}

class CurlSender final : public EffectSender {
public:
  explicit CurlSender(const EffectSenderSettings& settings) : settings_(settings) {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    FORERUN_ASSERT(ready == CURLE_OK && settings_.threads > 0);
    for (std::size_t i = 0; i < settings_.threads; ++i) {
      threads_.emplace_back([this] { run(); });
    }
  }
  ~CurlSender() override { CurlSender::close(); }

  std::unique_ptr<RunningTask> send(HttpEffect request, std::string key, Duration timeout,
                                    RunDone done) override {
    const auto sending = std::make_shared<Sending>();
    sending->request = std::move(request);
    sending->key = std::move(key);
    sending->timeout = timeout;
    sending->done = std::move(done);
    {
      const std::lock_guard lock(mutex_);
      if (!is_closing_ && waiting_.size() < settings_.waiting_max) {
        waiting_.push_back(sending);
        wake_.notify_one();
        return std::make_unique<Handle>(sending);
      }
    }
    report(*sending, ended_without_output(Ending::lost,
                                          "effects: " + std::to_string(settings_.waiting_max) +
                                              " requests wait for a thread, which is the limit"));
    return nullptr;
  }

  void close() override {
    {
      const std::lock_guard lock(mutex_);
      is_closing_ = true;
      for (const SendingRef& sending : waiting_) {
        sending->is_stopped = true;
      }
      for (const SendingRef& sending : running_) {
        sending->is_stopped = true;
      }
      wake_.notify_all();
    }
    threads_.clear();
  }

private:
  class Handle final : public RunningTask {
  public:
    explicit Handle(SendingRef sending) : sending_(std::move(sending)) {}
    ~Handle() override { sending_->is_stopped = true; }
    void stop() override { sending_->is_stopped = true; }

  private:
    SendingRef sending_;
  };

  void run() {
    CURL* const curl = curl_easy_init();
    FORERUN_ASSERT(curl != nullptr);
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return is_closing_ || !waiting_.empty(); });
      if (waiting_.empty()) {
        break;
      }
      const SendingRef sending = std::move(waiting_.front());
      waiting_.pop_front();
      running_.push_back(sending);
      lock.unlock();
      report(*sending, sending->is_stopped
                           ? ended_without_output(Ending::cancelled, "stopped before it started")
                           : perform(curl, *sending, settings_.connect));
      lock.lock();
      std::erase(running_, sending);
    }
    lock.unlock();
    curl_easy_cleanup(curl);
  }

  const EffectSenderSettings settings_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<SendingRef> waiting_;
  std::vector<SendingRef> running_;
  bool is_closing_ = false;
  std::vector<std::jthread> threads_;  ///< Last: they use the rest.
};

}  // namespace

std::unique_ptr<EffectSender> make_effect_sender(const EffectSenderSettings& settings) {
  return std::make_unique<CurlSender>(settings);
}

}  // namespace forerun
