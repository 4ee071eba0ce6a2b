#include "demo/http_client.hpp"

#include <curl/curl.h>
#include <charconv>
#include <mutex>
#include <utility>

#include "base/assert.hpp"

namespace forerun {
namespace {

/// A step's output may be nested as deep as a document may; the answer wraps it.
constexpr std::size_t answer_depth_max = json::depth_max + 8;

void start_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

struct Received {
  std::string bytes;
  std::size_t bytes_max = 0;
  bool is_too_large = false;
  Duration retry_after{};
};

std::size_t take_body(const char* data, std::size_t size, std::size_t count, void* context) {
  Received& received = *static_cast<Received*>(context);
  const std::size_t length = size * count;
  if (length > received.bytes_max - received.bytes.size()) {
    received.is_too_large = true;
    return 0;  // Fewer than were offered: curl ends the transfer.
  }
  received.bytes.append(data, length);
  return length;
}

std::size_t take_header(const char* data, std::size_t size, std::size_t count, void* context) {
  constexpr std::string_view name = "retry-after:";
  const std::string_view line(data, size * count);
  if (line.size() <= name.size()) {
    return line.size();
  }
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char letter = line[i];
    if ((letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter) !=
        name[i]) {
      return line.size();
    }
  }
  const std::size_t first = line.find_first_not_of(" \t", name.size());
  unsigned seconds = 0;
  if (first != std::string_view::npos) {
    std::from_chars(line.data() + first, line.data() + line.size(), seconds);
  }
  static_cast<Received*>(context)->retry_after = std::chrono::seconds(seconds);
  return line.size();
}

long milliseconds(Duration duration) {
  return static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

struct HeaderList {
  HeaderList() = default;
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  ~HeaderList() { curl_slist_free_all(list); }
  void add(const std::string& line) {
    curl_slist* longer = curl_slist_append(list, line.c_str());
    FORERUN_ASSERT(longer != nullptr);
    list = longer;
  }
  curl_slist* list = nullptr;
};

/// Libcurl's CURLOPT_XFERINFOFUNCTION: not 0 ends the request.
int look_for_stop(void* limits, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const HttpLimits*>(limits)->is_stopped() ? 1 : 0;
}

}  // namespace

struct HttpClient::Impl {
  Impl(std::string url, const HttpLimits& given) : base_url(std::move(url)), limits(given) {
    base_url.erase(base_url.find_last_not_of('/') + 1);
    start_curl_once();
    curl = curl_easy_init();
    FORERUN_ASSERT(curl != nullptr);
  }
  ~Impl() { curl_easy_cleanup(curl); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Result<HttpAnswer> request(const char* method, std::string_view path, const std::string* body,
                             std::string_view idempotency_key) {
    curl_easy_reset(curl);  // Keeps the connection.
    Received received;
    received.bytes_max = limits.answer_bytes;
    const std::string url = base_url + std::string(path);
    HeaderList headers;
    headers.add("Accept: application/json");
    headers.add("Expect:");  // No round trip of its own before a body.
    if (body != nullptr) {
      headers.add("Content-Type: application/json");
      curl_easy_setopt(curl, CURLOPT_POST, 1L);
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data());
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    }
    if (!limits.token.empty()) {
      headers.add("Authorization: Bearer " + limits.token);
    }
    if (!idempotency_key.empty()) {
      headers.add("Idempotency-Key: " + std::string(idempotency_key));
    }
    char reason[CURL_ERROR_SIZE] = {};
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(limits.connect));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, milliseconds(limits.request));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &received);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (!limits.ca.empty()) {
      curl_easy_setopt(curl, CURLOPT_CAINFO, limits.ca.c_str());
      curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
    }
    if (limits.is_stopped) {
      curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
      curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_stop);
      curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &limits);
    }
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    const CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);  // The buffer ends with this function.
    const std::string place = std::string(method) + ' ' + url;
    if (received.is_too_large) {
      return fail(Errc::too_large, place + ": the answer is longer than " +
                                       std::to_string(limits.answer_bytes) + " bytes");
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
      return fail(Errc::refused, place + ": stopped");
    }
    if (code != CURLE_OK) {
      return fail(Errc::io, place + ": " + (reason[0] != '\0' ? reason : curl_easy_strerror(code)));
    }
    return answer(place, received);
  }

  Result<HttpAnswer> answer(const std::string& place, const Received& received) const {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    HttpAnswer result;
    result.status = static_cast<int>(status);
    result.retry_after = received.retry_after;
    if (received.bytes.empty()) {
      return result;
    }
    auto body = json::parse(received.bytes, json::Limits{limits.answer_bytes, answer_depth_max});
    if (!body) {
      return fail(Errc::invalid,
                  place + ": status " + std::to_string(status) + ": " + body.error().message);
    }
    result.body = std::move(*body);
    return result;
  }

  std::string base_url;
  HttpLimits limits;
  CURL* curl = nullptr;
};

HttpClient::HttpClient(std::string base_url, const HttpLimits& limits)
    : impl_(std::make_unique<Impl>(std::move(base_url), limits)) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

Result<HttpAnswer> HttpClient::get(std::string_view path) {
  return impl_->request("GET", path, nullptr, {});
}

Result<HttpAnswer> HttpClient::post(std::string_view path, const std::string& body,
                                    std::string_view idempotency_key) {
  return impl_->request("POST", path, &body, idempotency_key);
}

Result<HttpAnswer> HttpClient::del(std::string_view path) {
  return impl_->request("DELETE", path, nullptr, {});
}

}  // namespace forerun
