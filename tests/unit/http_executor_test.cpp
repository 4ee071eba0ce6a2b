#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>

#include "node/executors/effect_sender.hpp"
#include "node/executors/http_loop.hpp"
#include "node/executors/outcome.hpp"
#include "tests/support/http_server.hpp"
#include "tests/support/started_run.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using test::HttpConnection;
using test::HttpRequestSeen;
using test::HttpServer;
using test::StartedRun;

namespace {

std::unique_ptr<Executor> executor(const std::string& folder = ".") {
  return make_http_executor(std::make_shared<HttpLoop>(), folder);
}

Task asking(const std::string& url, Effect effect = Effect::read) {
  Task task;
  task.name = "tested";
  task.executor = ExecutorKind::http;
  task.effect = effect;
  task.http.url = url;
  return task;
}

RunEnded end_of(Executor& on, Task task, json::Object input = {}) {
  return StartedRun(on, test::run_of(std::move(task), std::move(input))).end();
}

HttpServer::Handler always(int status, const std::string& body, const std::string& headers = {}) {
  return [=](const HttpRequestSeen&, HttpConnection& to) { to.answer(status, body, headers); };
}

/// A server that says nothing until its clients have left.
HttpServer::Handler silent() {
  return [](const HttpRequestSeen&, HttpConnection& to) { to.wait_until_closed(); };
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST_CASE("an http task sends its input and returns the answer, on one connection", "[http]") {
  const HttpServer server([](const HttpRequestSeen& request, HttpConnection& to) {
    to.answer(200, R"({"got": )" + request.body + "}");
  });
  const auto http = executor();
  json::Object input;
  input.set("order", "A-17");
  for (int i = 0; i < 3; ++i) {
    const RunEnded ended = end_of(*http, asking(server.url() + "/score"), input);
    REQUIRE(ended.ending == Ending::returned);
    REQUIRE(ended.output == R"({"got":{"order":"A-17"}})");
    REQUIRE(ended.latency > 0us);
  }
  CHECK(server.connections() == 1);
  const HttpRequestSeen seen = server.requests().front();
  CHECK(seen.method == "POST");
  CHECK(seen.target == "/score");
  CHECK(seen.header("Content-Type") == "application/json");
  CHECK(seen.header("User-Agent") == "forerun");
}

TEST_CASE("a streamed chat completion is read to its end", "[http]") {
  const HttpServer server([](const HttpRequestSeen&, HttpConnection& to) {
    to.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (const std::string event :
         {R"(data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]})",
          R"(data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]})",
          "data: [DONE]"}) {
      char size[16];
      std::snprintf(size, sizeof size, "%zx", event.size() + 2);
      to.send(std::string(size) + "\r\n" + event + "\n\n\r\n");
    }
    to.send("0\r\n\r\n");
  });
  Task task = asking(server.url() + "/v1");
  apply_http_template(HttpTemplate::openai_chat, {.model = "m", .system = "Be brief."}, true,
                      task.http);
  const auto http = executor();
  json::Object input;
  input.set("prompt", "Greet.");
  CHECK(end_of(*http, task, input).output == R"("Hello")");
  CHECK(end_of(*http, task, input).output == R"("Hello")");
  CHECK(server.connections() == 1);
  CHECK(server.requests().front().target == "/v1/chat/completions");
  CHECK(
      server.requests().front().body ==
      R"({"messages":[{"content":"Be brief.","role":"system"},{"content":"Greet.","role":"user"}],"model":"m","stream":true})");
}

TEST_CASE("what no endpoint should do fails the run, and the node lives", "[http]") {
  struct Bad {
    const char* sent;
    const char* cause;
  };
  const auto bad = GENERATE(values<Bad>({
      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":", "95 bytes remaining"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{} ", "none"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "answer: json: byte 0"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\"\xFF\"", "UTF-8"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1e999", "out of a double's range"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk"},
      {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x?y\r\nContent-Length: 0\r\n\r\n",
       "status 302 to http://127.0.0.1:1/x: redirects are not followed"},
      {"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noh\xFFo", "status 500: oh?o"},
      {"SMTP ready\r\n", "HTTP/0.9"},
      {"", "Empty reply"},
      {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
       "answer: json: byte 0"},
  }));
  const HttpServer server([&](const HttpRequestSeen&, HttpConnection& to) {
    to.send(bad.sent);
    to.cut();
  });
  const auto http = executor();
  const RunEnded ended = end_of(*http, asking(server.url()));
  INFO(ended.cause);
  if (std::string_view(bad.cause) == "none") {
    CHECK(ended.output == "{}");
  } else {
    CHECK(ended.ending == Ending::failed);
    CHECK_THAT(ended.cause, StartsWith("POST " + server.url() + ": "));
    CHECK_THAT(ended.cause, Contains(bad.cause));
  }
  CHECK(server.requests().size() == 1);
}

TEST_CASE("endless answers and endless heads end at their limits", "[http]") {
  const HttpServer server([](const HttpRequestSeen& request, HttpConnection& to) {
    const bool is_head = request.target == "/head";
    to.send(std::string("HTTP/1.1 200 OK\r\n") + (is_head ? "" : "\r\n"));
    const std::string more =
        is_head ? "X-More: " + std::string(1000, 'x') + "\r\n" : std::string(10'000, ' ');
    while (to.send(more)) {
    }
    to.cut();
  });
  const auto http = executor();
  Task task = asking(server.url() + "/body");
  task.http.answer_kb = 64;
  CHECK_THAT(end_of(*http, task).cause,
             Contains("answer: larger than 64 KiB, the limit answer_kb"));
  CHECK_THAT(end_of(*http, asking(server.url() + "/head")).cause,
             Contains("the answer's head is larger than 65536 bytes"));
  CHECK(server.wait_for_closed(2));
}

TEST_CASE("an output above a megabyte fails the run", "[http]") {
  const HttpServer server(always(200, '"' + std::string(1 << 20, 'x') + '"'));
  const auto http = executor();
  const RunEnded ended = end_of(*http, asking(server.url()));
  CHECK(ended.ending == Ending::failed);
  CHECK_THAT(ended.cause, Contains("output larger than 1048576 bytes"));
}

TEST_CASE("a stopped run closes its connection at once, also one that drips", "[http]") {
  const bool drips = GENERATE(false, true);
  const HttpServer server([drips](const HttpRequestSeen&, HttpConnection& to) {
    if (drips) {
      to.send("HTTP/1.1 200 OK\r\n\r\n[");
      while (to.send(" ")) {
        std::this_thread::sleep_for(1ms);
      }
      to.cut();
    } else {
      to.wait_until_closed();
    }
  });
  const auto http = executor();
  StartedRun run(*http, test::run_of(asking(server.url())));
  REQUIRE(server.wait_for_requests(1));
  run.stop();
  run.stop();
  const RunEnded ended = run.end();
  CHECK(ended.ending == Ending::cancelled);
  CHECK(ended.cause == "stopped");
  CHECK(ended.dead_handles == 0);
  CHECK(server.wait_for_closed(1));
}

TEST_CASE("cancellations leave no socket behind, and are quick", "[http]") {
  const HttpServer server(silent());
  const auto http = executor();
  {
    StartedRun warm(*http, test::run_of(asking(server.url())));
    REQUIRE(server.wait_for_requests(1));
    warm.stop();
    warm.end();
    REQUIRE(server.wait_for_closed(1));
  }
  const std::size_t before = open_descriptors();
  std::vector<Duration> times;
  for (int i = 0; i < 200; ++i) {
    StartedRun run(*http, test::run_of(asking(server.url())));
    REQUIRE(server.wait_for_requests(static_cast<std::size_t>(i) + 2));
    const auto stopped_at = RunClock::now();
    run.stop();
    REQUIRE(run.end().dead_handles == 0);
    times.push_back(run_time_since(stopped_at));
  }
  CHECK(server.wait_for_closed(201));
  CHECK(open_descriptors() <= before);
  std::sort(times.begin(), times.end());
  CHECK(times[times.size() / 2] < 20ms);
}

TEST_CASE("a run that is stopped while it connects or is about to ask again ends too", "[http]") {
  const HttpServer server(always(503, "", "Retry-After: 30\r\n"));
  const auto http = executor();
  // A full backlog would be a connection that hangs; an address that drops what it gets is one too.
  StartedRun connecting(*http, test::run_of(asking("http://192.0.2.1:9/")));
  StartedRun waiting(*http, test::run_of(asking(server.url())));
  REQUIRE(server.wait_for_requests(1));
  connecting.stop();
  waiting.stop();
  CHECK(connecting.end().dead_handles == 0);
  const RunEnded ended = waiting.end();
  CHECK(ended.ending == Ending::cancelled);
  CHECK(server.requests().size() == 1);
}

TEST_CASE("the executor's end stops what runs and waits for it", "[http]") {
  const HttpServer server(silent());
  auto http = executor();
  std::atomic<int> ends = 0;
  std::vector<std::unique_ptr<RunningTask>> runs;
  for (int i = 0; i < 10; ++i) {
    runs.push_back(http->start(test::run_of(asking(server.url())), [&](const RunEnded& ended) {
      ends += ended.ending == Ending::cancelled ? 1 : 0;
    }));
  }
  REQUIRE(server.wait_for_requests(10));
  http.reset();
  CHECK(ends == 10);
  runs.clear();  // Handles may outlive it.
}

TEST_CASE("what was not taken is sent again, as often as the task says", "[http]") {
  std::atomic<int> count = 0;
  const HttpServer server([&](const HttpRequestSeen&, HttpConnection& to) {
    if (++count % 3 == 0) {
      to.answer(200, "7");
    } else {
      to.answer(429, R"({"error":"slower"})");
    }
  });
  const auto http = executor();
  CHECK(end_of(*http, asking(server.url())).output == "7");
  CHECK(server.requests().size() == 3);
  Task task = asking(server.url());
  task.http.retries = 1;
  const RunEnded ended = end_of(*http, task);
  CHECK(ended.ending == Ending::failed);
  CHECK_THAT(ended.cause, Contains("status 429: slower"));
  CHECK(server.requests().size() == 5);
  Task write = asking(server.url(), Effect::write);
  write.http.retries = 5;
  count = 0;
  CHECK(end_of(*http, write).ending == Ending::failed);
  CHECK(server.requests().size() == 6);
}

TEST_CASE("a run whose endpoint wants it later than its deadline is over at once", "[http]") {
  const HttpServer server(always(503, "{}", "Retry-After: 30\r\n"));
  const auto http = executor();
  const auto end = [&](bool is_speculative) {
    Run run = test::run_of(asking(server.url()));
    run.deadline = RunDeadline(RunClock::now() + 20s, is_speculative);
    return StartedRun(*http, std::move(run)).end();
  };
  const RunEnded confirmed = end(false);
  CHECK(confirmed.ending == Ending::failed);
  CHECK_THAT(confirmed.cause, Contains("status 503: the endpoint asks to wait 30.0 s"));
  CHECK(end(true).ending == Ending::expired);  // Confirmed, it would have more time.
}

TEST_CASE("while a large answer is read, other requests go on", "[http]") {
  const std::string large = "\"" + std::string(200'000, 'x') + "\"";
  const HttpServer server([&](const HttpRequestSeen& seen, HttpConnection& to) {
    to.answer(200, seen.target == "/large" ? large : "1");
  });
  const auto http = executor();
  std::latch is_read(1);
  std::latch may_go_on(1);
  std::atomic<std::size_t> size = 0;
  const auto running =
      http->start(test::run_of(asking(server.url() + "/large")), [&](const RunEnded& ended) {
        size = ended.output.size();
        is_read.count_down();
        may_go_on.wait();  // As if reading took this long.
      });
  is_read.wait();
  CHECK(end_of(*http, asking(server.url() + "/small")).output == "1");
  may_go_on.count_down();
  CHECK(size == large.size());
}

TEST_CASE("no connection is told, and tried again unless the task writes", "[http]") {
  std::string url;
  {
    const HttpServer gone(always(200, "1"));
    url = gone.url();
  }
  const auto http = executor();
  const RunEnded read = end_of(*http, asking(url));
  CHECK(read.ending == Ending::failed);
  CHECK_THAT(read.cause, Contains("connect"));
  CHECK(read.latency >= 300ms);  // Two pauses, 100 and 200 ms.
  const RunEnded write = end_of(*http, asking(url, Effect::write));
  CHECK(write.ending == Ending::failed);
  CHECK(write.latency < 100ms);
}

TEST_CASE("a write whose answer is lost has an unknown outcome and is sent once", "[http]") {
  // A kept connection that turns out dead is what curl would send again on.
  std::atomic<int> count = 0;
  const HttpServer server([&](const HttpRequestSeen&, HttpConnection& to) {
    if (++count == 1) {
      to.answer(200, "1");
    } else {
      to.cut();
    }
  });
  const auto http = executor();
  REQUIRE(end_of(*http, asking(server.url())).output == "1");
  Task write = asking(server.url(), Effect::write);
  Run run = test::run_of(write);
  run.outside_key = "5e1f";
  const RunEnded ended = StartedRun(*http, run).end();
  CHECK(ended.ending == Ending::lost);
  CHECK(server.requests().size() == 2);
  CHECK(server.requests().back().header("Idempotency-Key") == "5e1f");
  CHECK(server.requests().front().header("Idempotency-Key").empty());
  // A read of the same sort is the branch's own bad luck.
  CHECK(end_of(*http, asking(server.url())).ending == Ending::failed);
}

TEST_CASE("secrets come from the node and are told to nobody but the endpoint", "[http]") {
  const test::TempDirectory folder;
  const std::string secret = "sk-\"very\"-secret-9";
  std::ofstream(folder.path() / "key") << secret << "\n";
  ::setenv("FORERUN_TEST_KEY", secret.c_str(), 1);
  const HttpServer server([&](const HttpRequestSeen& request, HttpConnection& to) {
    json::Object echo;
    echo.set("error", "bad key " + request.header("Authorization"));
    to.answer(request.target == "/bad" ? 401 : 200, json::canonical(echo));
  });
  const auto http = executor(folder.path().string());
  for (const char* place : {"${file:key}", "${env:FORERUN_TEST_KEY}"}) {
    INFO(place);
    Task task = asking(server.url() + "/bad");
    task.http.headers["Authorization"] = std::string("Bearer ") + place;
    const RunEnded refused = end_of(*http, task);
    CHECK(refused.cause == "POST " + server.url() + "/bad: status 401: bad key Bearer ***");
    CHECK(server.requests().back().header("Authorization") == "Bearer " + secret);
    task.http.url = server.url() + "/echo";
    const RunEnded echoed = end_of(*http, task);
    CHECK(echoed.ending == Ending::failed);
    CHECK(echoed.cause == "answer: it holds a secret of the request's headers");
  }
  ::unsetenv("FORERUN_TEST_KEY");
  // Another node may have it: the run is lost, not failed; but a write was surely not sent.
  for (const char* place : {"${file:absent}", "${env:FORERUN_TEST_KEY}", "${file:.}"}) {
    Task task = asking(server.url());
    task.http.headers["Authorization"] = place;
    CHECK(end_of(*http, task).ending == Ending::lost);
    CHECK_THAT(end_of(*http, task).cause,
               StartsWith("headers.Authorization: " + std::string(place)));
    task.effect = Effect::write;
    CHECK(end_of(*http, task).ending == Ending::failed);
  }
}

TEST_CASE("no part of a secret is told where what an endpoint says is cut", "[http]") {
  const std::string secret = "sk-" + std::string(40, 'k') + "-9";
  const std::string long_secret = "jwt-" + std::string(2000, 'j') + "-9";
  ::setenv("FORERUN_TEST_KEY", secret.c_str(), 1);
  ::setenv("FORERUN_TEST_LONG_KEY", long_secret.c_str(), 1);
  std::string said;
  const HttpServer server([&](const HttpRequestSeen& request, HttpConnection& to) {
    if (request.target == "/moved") {
      to.send("HTTP/1.1 302 Found\r\nLocation: /" + said + "\r\nContent-Length: 0\r\n\r\n");
      to.cut();
    } else {
      to.answer(401, said);
    }
  });
  const auto http = executor();
  for (const std::size_t before : {0U, 100U, 190U, 199U, 290U, 299U, 480U, 4060U, 4093U}) {
    for (const std::string& key : {secret, long_secret}) {
      for (const char* const target : {"/raw", "/moved"}) {
        said = std::string(before, 'x') + key + key + key;
        Task task = asking(server.url() + target);
        task.http.headers["X-Key"] = "${env:FORERUN_TEST_KEY}";
        task.http.headers["X-Long-Key"] = "${env:FORERUN_TEST_LONG_KEY}";
        const RunEnded ended = end_of(*http, task);
        INFO(before << " " << target << " " << ended.cause);
        CHECK(ended.ending == Ending::failed);
        CHECK(ended.cause.size() <= cause_bytes_max);
        CHECK_THAT(ended.cause, !Contains("kkk") && !Contains("jjj"));
      }
    }
  }
  ::unsetenv("FORERUN_TEST_KEY");
  ::unsetenv("FORERUN_TEST_LONG_KEY");
}

TEST_CASE("certificates and names are checked, against the task's own file if it has one",
          "[http]") {
  const test::TempDirectory folder;
  const test::TlsIdentity identity;
  const test::TlsIdentity of_another("127.0.0.2");
  std::ofstream(folder.path() / "ca.pem") << identity.pem();
  std::ofstream(folder.path() / "other.pem") << of_another.pem();
  const HttpServer server(always(200, "1"), &identity);
  const HttpServer misnamed(always(200, "1"), &of_another);
  const auto http = executor(folder.path().string());
  Task task = asking(server.url());
  const RunEnded unknown = end_of(*http, task);
  CHECK(unknown.ending == Ending::failed);
  CHECK_THAT(unknown.cause, Contains("certificate"));
  task.http.ca_file = "ca.pem";
  CHECK(end_of(*http, task).output == "1");
  CHECK(end_of(*http, task).output == "1");
  CHECK(server.requests().size() == 2);
  task.http.ca_file = "other.pem";
  CHECK(end_of(*http, task).ending == Ending::failed);
  task.http.url = misnamed.url();
  CHECK_THAT(end_of(*http, task).cause, Contains("SSL"));
  task.http.ca_file = "absent.pem";
  CHECK_THAT(end_of(*http, task).cause, Contains("absent.pem"));
  CHECK(server.requests().size() == 2);
  CHECK(misnamed.requests().empty());
}

TEST_CASE("effects are sent on the same loop, with their key", "[http]") {
  const HttpServer server([](const HttpRequestSeen& request, HttpConnection& to) {
    if (request.target == "/hang") {
      to.wait_until_closed();
    } else {
      to.answer(request.target == "/ok" ? 202 : 500, "whatever it is");
    }
  });
  const auto loop = std::make_shared<HttpLoop>();
  EffectSender sender(loop);
  const auto end = [&](const std::string& target, Duration timeout) {
    std::promise<RunEnded> promise;
    HttpEffect effect{
        .method = "PUT", .url = server.url() + target, .headers = {{"X-A", ""}}, .body = "{}"};
    const auto run = sender.send(std::move(effect), "k-0", timeout,
                                 [&](RunEnded ended) { promise.set_value(std::move(ended)); });
    return promise.get_future().get();
  };
  CHECK(end("/ok", 10s).output == R"({"status":202})");
  CHECK(end("/no", 10s).cause == "PUT " + server.url() + "/no: status 500, expected 2xx");
  CHECK_THAT(end("/hang", 50ms).cause, Contains("timed out"));
  const HttpRequestSeen seen = server.requests().front();
  CHECK(seen.header("Idempotency-Key") == "k-0");
  CHECK(seen.body == "{}");
  CHECK(seen.head.find("X-A:") != std::string::npos);
  loop->close();
  CHECK(end("/ok", 10s).ending == Ending::lost);
}

TEST_CASE("a loop takes so many exchanges and no more", "[http]") {
  // Refused while they wait to connect: no server is needed for so many.
  const HttpServer server(always(503, "", "Retry-After: 30\r\n"));
  const auto http = executor();
  std::atomic<int> lost = 0;
  std::vector<std::unique_ptr<RunningTask>> runs;
  std::latch refused(3);
  for (std::size_t i = 0; i < http_exchanges_max + 3; ++i) {
    runs.push_back(http->start(test::run_of(asking(server.url())), [&](const RunEnded& ended) {
      if (ended.ending == Ending::lost) {
        ++lost;
        refused.count_down();
      }
    }));
  }
  refused.wait();
  runs.clear();
  CHECK(lost == 3);
}
