#include "node/executors/http_loop.hpp"

#include <curl/curl.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/assert.hpp"
#include "node/executors/outcome.hpp"
#include "speculation/http_words.hpp"

namespace forerun {

struct HttpHeaderLines {
  curl_slist* list = nullptr;
  HttpHeaderLines() = default;
  HttpHeaderLines(const HttpHeaderLines&) = delete;
  HttpHeaderLines& operator=(const HttpHeaderLines&) = delete;
  ~HttpHeaderLines() { curl_slist_free_all(list); }
  void add(const std::string& line) {
    curl_slist* const longer = curl_slist_append(list, line.c_str());
    FORERUN_ASSERT(longer != nullptr);
    list = longer;
  }
};

/// One attempt on its way. curl keeps pointers into it.
struct HttpTransfer {
  explicit HttpTransfer(HttpExchange& for_exchange) : exchange(for_exchange) {}
  HttpTransfer(const HttpTransfer&) = delete;
  HttpTransfer& operator=(const HttpTransfer&) = delete;
  ~HttpTransfer() { curl_easy_cleanup(easy); }

  HttpExchange& exchange;
  CURL* easy = nullptr;
  HttpRequest request;
  HttpHeaderLines headers;
  char problem[CURL_ERROR_SIZE] = "";
  std::size_t head_bytes = 0;
  bool is_head_too_large = false;
  bool has_enough = false;
  std::vector<curl_socket_t> opened;
};

namespace {

constexpr std::size_t head_bytes_max = 64U << 10U;
constexpr Duration idle_wait = std::chrono::hours(1);
constexpr long trusted_file_kept_s = 60;  ///< Until a changed ca_file is read again.

long milliseconds_up(Duration duration) {
  return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

HttpHead head_of(CURL* easy) {
  HttpHead head;
  long status = 0;
  char* type = nullptr;
  char* redirect = nullptr;
  curl_off_t wait = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
  curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &redirect);
  curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &wait);
  head.status = static_cast<int>(status);
  head.content_type = type == nullptr ? "" : type;
  head.redirect = redirect == nullptr ? "" : redirect;
  if (wait > 0) {
    constexpr curl_off_t longest = 24 * 3600;
    head.retry_after = std::chrono::seconds(std::min(wait, longest));
  }
  return head;
}

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* data) {
  auto& transfer = *static_cast<HttpTransfer*>(data);
  if (!transfer.exchange.take(head_of(transfer.easy), {bytes, size * count})) {
    transfer.has_enough = true;
    return 0;
  }
  return size * count;
}

/// Its lines are nobody's but curl's, which does not bound how many there are.
std::size_t take_head(char*, std::size_t size, std::size_t count, void* data) {
  auto& transfer = *static_cast<HttpTransfer*>(data);
  transfer.head_bytes += size * count;
  transfer.is_head_too_large = transfer.head_bytes > head_bytes_max;
  return transfer.is_head_too_large ? 0 : size * count;
}

curl_socket_t open_socket(void* data, curlsocktype, curl_sockaddr* address) {
  const int made = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (made < 0) {
    return CURL_SOCKET_BAD;
  }
  static_cast<HttpTransfer*>(data)->opened.push_back(made);
  return made;
}

/// What tells a socket from another that has its number later, `socket:[INODE]`; empty: it is
/// closed. Read from its link: the number may be another thread's by now, so it is not used.
std::string name_of(curl_socket_t socket) {
  std::error_code closed;
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(socket), closed).string();
}

void set_up(HttpTransfer& transfer, const HttpLoopSettings& settings) {
  const HttpRequest& request = transfer.request;
  CURL* const easy = transfer.easy;
  transfer.headers.add("Expect:");  // No round trip before the body.
  bool has_content_type = false;
  for (const auto& [name, value] : request.headers) {
    has_content_type = has_content_type || is_same_header(name, "content-type");
    transfer.headers.add(value.empty() ? name + ";" : name + ": " + value);
  }
  if (request.body && !has_content_type) {
    transfer.headers.add("Content-Type: application/json");
  }
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, trusted_file_kept_s);
  if (!request.ca_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_CAINFO, request.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);  // A stop waits for no resolver.
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds_up(settings.connect));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds_up(request.timeout));
  // A kept connection may be dead already, and curl sends anew what got no answer on one.
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request.may_be_repeated ? 0L : 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "forerun");
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.problem);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers.list);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_head);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &transfer);
  if (request.body) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body->size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body->data());
  } else if (request.method != "GET" && request.method != "DELETE") {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
}

/// Whether anything of the request may have reached the other end.
bool was_sent(const HttpTransfer& transfer) {
  long bytes = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_REQUEST_SIZE, &bytes);
  return bytes > 0;
}

HttpAttempt attempt_of(const HttpTransfer& transfer, CURLcode code) {
  HttpAttempt attempt;
  attempt.head = head_of(transfer.easy);
  if (code == CURLE_OK || transfer.has_enough) {
    return attempt;
  }
  const bool has_no_connection = code == CURLE_COULDNT_RESOLVE_HOST ||
                                 code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT;
  attempt.end = was_sent(transfer)  ? HttpAttempt::End::broken
                : has_no_connection ? HttpAttempt::End::no_connection
                                    : HttpAttempt::End::impossible;
  attempt.problem = transfer.is_head_too_large ? "the answer's head is larger than " +
                                                     std::to_string(head_bytes_max) + " bytes"
                    : transfer.problem[0] == '\0' ? std::string(curl_easy_strerror(code))
                                                  : std::string(transfer.problem);
  return attempt;
}

class RunningExchange final : public RunningTask {
public:
  RunningExchange(std::shared_ptr<HttpLoop> loop, std::uint64_t exchange)
      : loop_(std::move(loop)), exchange_(exchange) {}
  ~RunningExchange() override { loop_->stop(exchange_); }
  void stop() override { loop_->stop(exchange_); }

private:
  std::shared_ptr<HttpLoop> loop_;
  std::uint64_t exchange_;
};

}  // namespace

/// The loop's thread, and what other threads leave for it.
class HttpLoop::Impl {
public:
  explicit Impl(const HttpLoopSettings& settings) : settings_(settings) {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    FORERUN_ASSERT(ready == CURLE_OK);
    multi_ = curl_multi_init();
    FORERUN_ASSERT(multi_ != nullptr);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS,
                      static_cast<long>(settings_.idle_connections_max));
    // The thread, and those of its resolver, inherit the mask: a peer that is gone must not raise
    // SIGPIPE here, and signals are the program's business.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~Impl() { close(); }

  std::uint64_t start(std::unique_ptr<HttpExchange> exchange) {
    std::unique_lock lock(mutex_);
    if (is_closing_) {
      lock.unlock();
      exchange->refused("the node is ending");
      return 0;
    }
    starts_.emplace_back(++last_id_, std::move(exchange));
    curl_multi_wakeup(multi_);
    return last_id_;
  }

  void stop(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    if (!is_gone_) {
      stops_.insert(id);
      curl_multi_wakeup(multi_);
    }
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      is_closing_ = true;
      if (!is_gone_) {
        curl_multi_wakeup(multi_);
      }
    }
    if (thread_.joinable()) {
      thread_.join();
    }
  }

private:
  using Time = RunClock::time_point;
  struct Active {
    std::unique_ptr<HttpExchange> exchange;
    std::unique_ptr<HttpTransfer> transfer{};  ///< Null while it waits to ask again.
    Time again_at{};
  };
  using Actives = std::map<std::uint64_t, Active>;

  void run() {
    while (take_inbox()) {
      ask_again();
      int running = 0;
      const CURLMcode performed = curl_multi_perform(multi_, &running);
      FORERUN_ASSERT(performed == CURLM_OK);
      take_ends();
      const CURLMcode polled = curl_multi_poll(multi_, nullptr, 0, wait_ms(), nullptr);
      FORERUN_ASSERT(polled == CURLM_OK);
    }
    const std::lock_guard lock(mutex_);
    is_gone_ = true;
    curl_multi_cleanup(multi_);
  }

  /// False once everything is over.
  bool take_inbox() {
    std::vector<std::pair<std::uint64_t, std::unique_ptr<HttpExchange>>> starts;
    std::set<std::uint64_t> stops;
    bool is_closing = false;
    {
      const std::lock_guard lock(mutex_);
      starts = std::exchange(starts_, {});
      stops = std::exchange(stops_, {});
      is_closing = is_closing_;
    }
    for (const std::uint64_t id : stops) {
      stop_active(id);
    }
    for (auto& [id, exchange] : starts) {
      if (is_closing || stops.contains(id)) {
        exchange->stopped(0);
      } else if (actives_.size() >= http_exchanges_max) {
        exchange->refused(std::to_string(http_exchanges_max) +
                          " requests are on their way, which is the limit");
      } else {
        actives_.emplace(id, Active{.exchange = std::move(exchange)});
        ask(id);
      }
    }
    if (is_closing) {
      while (!actives_.empty()) {
        stop_active(actives_.begin()->first);
      }
    }
    return !is_closing;
  }

  void ask(std::uint64_t id) {
    Active& active = actives_.at(id);
    auto request = active.exchange->ask();
    if (!request) {
      active.exchange->failed_to_ask(request.error());
      actives_.erase(id);
      return;
    }
    auto transfer = std::make_unique<HttpTransfer>(*active.exchange);
    transfer->request = std::move(*request);
    transfer->easy = curl_easy_init();
    FORERUN_ASSERT(transfer->easy != nullptr);
    set_up(*transfer, settings_);
    const CURLMcode added = curl_multi_add_handle(multi_, transfer->easy);
    FORERUN_ASSERT(added == CURLM_OK);
    by_transfer_.emplace(transfer.get(), id);
    active.transfer = std::move(transfer);
  }

  void ask_again() {
    const Time now = RunClock::now();
    while (!waiting_.empty() && waiting_.begin()->first <= now) {
      const std::uint64_t id = waiting_.begin()->second;
      waiting_.erase(waiting_.begin());
      ask(id);
    }
  }

  void take_ends() {
    int left = 0;
    while (CURLMsg* const message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) {
        continue;
      }
      const CURLcode code = message->data.result;
      HttpTransfer* transfer = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      const HttpAttempt attempt = attempt_of(*transfer, code);
      const std::uint64_t id = by_transfer_.at(transfer);
      Active& active = actives_.at(id);
      drop_transfer(active);
      const auto pause = active.exchange->ended(attempt);
      if (!pause) {
        actives_.erase(id);
        continue;
      }
      active.again_at = RunClock::now() + *pause;
      waiting_.emplace(active.again_at, id);
    }
  }

  void drop_transfer(Active& active) {
    curl_multi_remove_handle(multi_, active.transfer->easy);
    by_transfer_.erase(active.transfer.get());
    active.transfer.reset();
  }

  void stop_active(std::uint64_t id) {
    const auto at = actives_.find(id);
    if (at == actives_.end()) {
      return;
    }
    Active& active = at->second;
    std::uint32_t dead_handles = 0;
    if (active.transfer) {
      std::vector<curl_socket_t> used = active.transfer->opened;
      curl_socket_t kept = CURL_SOCKET_BAD;  // Of an earlier transfer.
      if (curl_easy_getinfo(active.transfer->easy, CURLINFO_ACTIVESOCKET, &kept) == CURLE_OK &&
          kept != CURL_SOCKET_BAD) {
        used.push_back(kept);
      }
      std::map<curl_socket_t, std::string> names;
      for (const curl_socket_t socket : used) {
        names.emplace(socket, name_of(socket));
      }
      drop_transfer(active);
      dead_handles =
          static_cast<std::uint32_t>(std::count_if(names.begin(), names.end(), [](auto& each) {
            return !each.second.empty() && name_of(each.first) == each.second;
          }));
    } else {
      waiting_.erase({active.again_at, id});
    }
    active.exchange->stopped(dead_handles);
    actives_.erase(at);
  }

  int wait_ms() const {
    const Duration longest = std::chrono::duration_cast<Duration>(idle_wait);
    const Duration wait =
        waiting_.empty()
            ? longest
            : std::clamp(
                  std::chrono::duration_cast<Duration>(waiting_.begin()->first - RunClock::now()),
                  Duration::zero(), longest);
    return static_cast<int>(milliseconds_up(wait));
  }

  const HttpLoopSettings settings_;
  CURLM* multi_ = nullptr;
  // Of the thread.
  Actives actives_;
  std::map<const HttpTransfer*, std::uint64_t> by_transfer_;
  std::set<std::pair<Time, std::uint64_t>> waiting_;
  // Shared.
  std::mutex mutex_;
  std::vector<std::pair<std::uint64_t, std::unique_ptr<HttpExchange>>> starts_;
  std::set<std::uint64_t> stops_;
  std::uint64_t last_id_ = 0;
  bool is_closing_ = false;
  bool is_gone_ = false;
  std::thread thread_;
};

HttpLoop::HttpLoop(const HttpLoopSettings& settings) : impl_(std::make_unique<Impl>(settings)) {}
HttpLoop::~HttpLoop() = default;

std::uint64_t HttpLoop::start(std::unique_ptr<HttpExchange> exchange) {
  return impl_->start(std::move(exchange));
}
void HttpLoop::stop(std::uint64_t exchange) {
  impl_->stop(exchange);
}
void HttpLoop::close() {
  impl_->close();
}

std::unique_ptr<RunningTask> run_on(const std::shared_ptr<HttpLoop>& loop,
                                    std::unique_ptr<HttpExchange> exchange) {
  const std::uint64_t number = loop->start(std::move(exchange));
  return number == 0 ? nullptr : std::make_unique<RunningExchange>(loop, number);
}

}  // namespace forerun
