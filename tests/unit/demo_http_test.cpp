#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <thread>

#include "demo/session_client.hpp"

namespace forerun {
namespace {

/// Answers each request with the next of some prepared answers, on loopback, one connection after
/// another.
class ScriptedServer {
public:
  explicit ScriptedServer(std::vector<std::string> answers) : answers_(std::move(answers)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(listener_ >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_, 8) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedServer() {
    stop();
    ::close(listener_);
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  const std::string& url() const { return url_; }
  /// What was asked; ends the server first.
  const std::vector<std::string>& requests() {
    stop();
    return requests_;
  }
  int connections() {
    stop();
    return connections_;
  }

private:
  void stop() {
    if (thread_.joinable()) {
      ::shutdown(listener_, SHUT_RDWR);
      thread_.join();
    }
  }

  void serve() {
    while (requests_.size() < answers_.size()) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) {
        return;
      }
      ++connections_;
      std::string bytes;
      while (requests_.size() < answers_.size() && read_request(connection, bytes)) {
        const std::string& answer = answers_[requests_.size() - 1];
        if (answer.empty()) {
          break;  // A cut connection.
        }
        REQUIRE(::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL) >= 0);
      }
      ::close(connection);
    }
  }

  /// Takes one request off the connection, its body told by Content-Length.
  bool read_request(int connection, std::string& bytes) {
    while (true) {
      const std::size_t head = bytes.find("\r\n\r\n");
      if (head != std::string::npos) {
        const std::size_t field = bytes.find("Content-Length: ");
        const std::size_t length =
            field < head ? static_cast<std::size_t>(std::atoi(bytes.c_str() + field + 16)) : 0;
        if (bytes.size() >= head + 4 + length) {
          requests_.push_back(bytes.substr(0, head + 4 + length));
          bytes.erase(0, head + 4 + length);
          return true;
        }
      }
      char buffer[4096];
      const ssize_t received = ::recv(connection, buffer, sizeof buffer, 0);
      if (received <= 0) {
        return false;
      }
      bytes.append(buffer, static_cast<std::size_t>(received));
    }
  }

  std::vector<std::string> answers_;
  std::vector<std::string> requests_;
  int connections_ = 0;
  int listener_ = -1;
  std::string url_;
  std::thread thread_;
};

std::string answer(const std::string& status, const std::string& body,
                   const std::string& header = "") {
  return "HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\n" + header +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

Call call(const std::string& task) {
  json::Object input;
  input.set("k", task);
  return Call::make(task, input);
}

constexpr const char* one_step =
    R"({"run_id":"u/1","step":3,"task":"a","status":"ok","output":{"b":1.0,"a":[]},"origin":"late_hit",)"
    R"("saved_ms":12.5,"decision_hash":"abcd"})";

}  // namespace

TEST_CASE("a server's address may end with slashes", "[demo_http]") {
  ScriptedServer server({answer("200 OK", "{}")});
  HttpClient client(server.url() + "//");
  REQUIRE(client.get("/v1/status").has_value());
  CHECK_THAT(server.requests().front(), Catch::Matchers::StartsWith("GET /v1/status HTTP/1.1"));
}

TEST_CASE("a token is sent as a bearer's", "[demo_http]") {
  ScriptedServer server({answer("200 OK", "{}")});
  HttpLimits limits;
  limits.token = "secret";
  HttpClient client(server.url(), limits);
  REQUIRE(client.get("/v1/status").has_value());
  CHECK_THAT(server.requests().front(), Catch::Matchers::Contains("Authorization: Bearer secret"));
}

TEST_CASE("a session's requests travel on one connection, in the documented form", "[demo_http]") {
  ScriptedServer server({answer("201 Created", R"({"run_id":"u/1"})"),
                         "HTTP/1.1 204 No Content\r\n\r\n", answer("200 OK", one_step),
                         answer("200 OK", R"({"run_id":"u/1","steps":4})")});
  const auto client = make_http_session_client(server.url());
  CHECK(*client->open({"hello", "off", "world-1", "key-1", "", ""}) == "u/1");
  CHECK(client->add_text("u/1", "text").has_value());
  const auto steps = client->confirm("u/1", {call("a")}, 3, "key-2");
  REQUIRE(steps);
  CHECK((*steps)[0].step == 3);
  CHECK((*steps)[0].output == R"({"a":[],"b":1})");
  CHECK((*steps)[0].origin == "late_hit");
  CHECK((*steps)[0].saved_ms == 12.5);
  CHECK((*steps)[0].decision_hash == "abcd");
  CHECK_FALSE((*steps)[0].failed);
  CHECK(client->end("u/1").has_value());

  CHECK(server.connections() == 1);
  const auto& requests = server.requests();
  REQUIRE(requests.size() == 4);
  CHECK(requests[0].starts_with("POST /v1/sessions HTTP/1.1\r\n"));
  CHECK(requests[0].find("\r\nIdempotency-Key: key-1\r\n") != std::string::npos);
  CHECK(requests[0].find("\r\nContent-Type: application/json\r\n") != std::string::npos);
  CHECK(requests[0].ends_with(R"({"context":"hello","speculation":"off","world":"world-1"})"));
  CHECK(requests[1].starts_with("POST /v1/sessions/u/1/text HTTP/1.1\r\n"));
  CHECK(requests[2].starts_with("POST /v1/sessions/u/1/steps HTTP/1.1\r\n"));
  CHECK(requests[2].ends_with(R"({"expect_step":3,"input":{"k":"a"},"task":"a"})"));
  CHECK(requests[3].starts_with("DELETE /v1/sessions/u/1 HTTP/1.1\r\n"));
}

TEST_CASE("several calls are confirmed as a list and answered in its order", "[demo_http]") {
  CHECK(
      confirm_body({call("a"), call("b")}, 0) ==
      R"({"calls":[{"input":{"k":"a"},"task":"a"},{"input":{"k":"b"},"task":"b"}],"expect_step":0})");
  ScriptedServer server(
      {answer("200 OK", std::string(R"({"steps":[)") + one_step + "," + one_step + "]}"),
       answer("200 OK", std::string(R"({"steps":[)") + one_step + "]}")});
  const auto client = make_http_session_client(server.url());
  CHECK(client->confirm("u/1", {call("a"), call("b")}, 0, "")->size() == 2);
  CHECK_FALSE(client->confirm("u/1", {call("a"), call("b")}, 0, "").has_value());
}

TEST_CASE("an error keeps the cluster's own words", "[demo_http]") {
  ScriptedServer server(
      {answer("409 Conflict", R"({"title":"conflict","detail":"step 2 is next"})")});
  const auto client = make_http_session_client(server.url());
  const auto steps = client->confirm("u/1", {call("a")}, 0, "key");
  REQUIRE_FALSE(steps);
  CHECK(steps.error().code == Errc::refused);
  CHECK(steps.error().message == "step 0 of u/1: status 409: step 2 is next");
}

TEST_CASE("a busy cluster and a cut connection are asked again with the same key", "[demo_http]") {
  ScriptedServer server({answer("503 Service Unavailable", "{}"), "", answer("200 OK", one_step)});
  const auto client = make_http_session_client(server.url());
  CHECK(client->confirm("u/1", {call("a")}, 3, "key-7").has_value());
  const auto& requests = server.requests();
  REQUIRE(requests.size() == 3);
  CHECK(requests[0] == requests[2]);
}

TEST_CASE("a text is not sent again after a cut, since it has no key", "[demo_http]") {
  ScriptedServer server({""});
  CHECK_FALSE(make_http_session_client(server.url())->add_text("u/1", "text").has_value());
  CHECK(server.requests().size() == 1);
}

TEST_CASE("an answer over the limit ends the request", "[demo_http]") {
  ScriptedServer server({answer("200 OK", '"' + std::string(5000, 'x') + '"')});
  HttpLimits limits;
  limits.answer_bytes = 1000;
  const auto got = HttpClient(server.url(), limits).get("/v1/status");
  REQUIRE_FALSE(got);
  CHECK(got.error().code == Errc::too_large);
}

TEST_CASE("an answer that is not JSON is an error that says so", "[demo_http]") {
  ScriptedServer server({answer("200 OK", "<html>")});
  const auto got = HttpClient(server.url()).get("/");
  REQUIRE_FALSE(got);
  CHECK(got.error().code == Errc::invalid);
}

TEST_CASE("the seconds of Retry-After are read", "[demo_http]") {
  ScriptedServer server({answer("503 Service Unavailable", "{}", "Retry-After: 7\r\n")});
  const auto got = HttpClient(server.url()).get("/");
  REQUIRE(got);
  CHECK(got->status == 503);
  CHECK(got->retry_after == std::chrono::seconds(7));
}

TEST_CASE("a step without the members that decide is refused", "[demo_http]") {
  CHECK(read_step_result(*json::parse(one_step)).has_value());
  CHECK_FALSE(
      read_step_result(*json::parse(R"({"step":1,"status":"ok","output":1,"origin":"hit"})"))
          .has_value());
  CHECK_FALSE(read_step_result(*json::parse(R"({"step":1,"status":"odd"})")).has_value());
  CHECK_FALSE(read_step_result(*json::parse("[]")).has_value());
}

}  // namespace forerun
