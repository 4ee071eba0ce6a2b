#include "gateway/gateway.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/hex.hpp"
#include "base/sha256.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

/// How long a test waits for an event before it fails. Nothing waits this long when it holds.
constexpr auto patience = std::chrono::seconds(20);

const RunId run_id = *RunId::parse("8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17");
const std::string steps_path = "/v1/sessions/" + to_string(run_id) + "/steps";

/// Stands for the coordinator: keeps what the gateway hands over until the test takes it.
class Desk {
public:
  GatewayPorts ports() {
    return {[this](ClientRequest request) {
              const std::lock_guard lock(mutex_);
              requests_.push_back(std::move(request));
              changed_.notify_all();
            },
            [this](RequestId request) {
              const std::lock_guard lock(mutex_);
              left_.insert(request);
              changed_.notify_all();
            }};
  }
  ClientRequest take() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [this] { return !requests_.empty(); })) {
      throw std::runtime_error("no request came");
    }
    ClientRequest request = std::move(requests_.front());
    requests_.pop_front();
    return request;
  }
  bool sees_leaving(RequestId request) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return left_.contains(request); });
  }
  std::size_t left_count() {
    const std::lock_guard lock(mutex_);
    return left_.size();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ClientRequest> requests_;
  std::set<RequestId> left_;
};

struct Response {
  unsigned status = 0;
  std::string head;
  std::string body;
};

/// A plain socket, so that a test can send what no library would.
class Client {
public:
  explicit Client(std::uint16_t port, const char* own_address = "127.0.0.1")
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    ::inet_pton(AF_INET, own_address, &own.sin_addr);
    timeval timeout{.tv_sec = patience.count(), .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::bind(socket_, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
        ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      leave();
      throw std::runtime_error("cannot connect");
    }
  }
  Client(Client&& other) noexcept : socket_(other.socket_), read_(std::move(other.read_)) {
    other.socket_ = -1;
  }
  ~Client() { leave(); }

  /// False once the other side is gone.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return false;
      }
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  Response response(bool has_body = true) {
    while (read_.find("\r\n\r\n") == std::string::npos) {
      if (!more()) {
        throw std::runtime_error("no whole response: " + read_);
      }
    }
    Response response;
    const std::size_t end = read_.find("\r\n\r\n") + 4;
    response.head = read_.substr(0, end);
    read_.erase(0, end);
    response.status = static_cast<unsigned>(std::stoul(response.head.substr(9, 3)));
    const std::size_t at = response.head.find("Content-Length: ");
    const std::size_t length =
        at == std::string::npos || !has_body ? 0 : std::stoul(response.head.substr(at + 16));
    while (read_.size() < length) {
      if (!more()) {
        throw std::runtime_error("no whole body: " + read_);
      }
    }
    response.body = read_.substr(0, length);
    read_.erase(0, length);
    return response;
  }
  /// True when the other side closed without another byte.
  bool sees_end() { return read_.empty() && !more() && read_.empty(); }
  void finish_sending() { ::shutdown(socket_, SHUT_WR); }
  void leave() {
    if (socket_ >= 0) {
      ::close(socket_);
    }
    socket_ = -1;
  }
  int descriptor() const { return socket_; }

private:
  bool more() {
    char buffer[16384];
    const ssize_t size = ::recv(socket_, buffer, sizeof buffer, 0);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      throw std::runtime_error("nothing came");
    }
    if (size <= 0) {
      return false;
    }
    read_.append(buffer, static_cast<std::size_t>(size));
    return true;
  }
  int socket_;
  std::string read_;
};

std::string get(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}
std::string post(std::string_view target, std::string_view body, std::string_view more = "") {
  return "POST " + std::string(target) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + std::string(more) + "\r\n" + std::string(body);
}
const std::string one_call = R"({"task": "t", "input": {"a": 1}})";

/// Self-signed, made for these tests; it guards nothing.
constexpr const char* test_certificate =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBHDCBw6ADAgECAgEBMAoGCCqGSM49BAMCMBcxFTATBgNVBAMMDGZvcmVydW4g\n"
    "dGVzdDAgFw0yNjAxMDEwMDAwMDBaGA8yMTI2MDEwMTAwMDAwMFowFzEVMBMGA1UE\n"
    "AwwMZm9yZXJ1biB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEwAoK3fXq\n"
    "W6hAacCkGXvd9fu9O6oOe8BVvNzexwaJW9kyqpL02feteYURvULGr6FAvC0C9aVL\n"
    "vbPWOgNS/V06fTAKBggqhkjOPQQDAgNIADBFAiAHg4UoBGrn8CqYqG7Q818vvVes\n"
    "sfghAKLlQLZlkq9ckAIhAMrtVlW3eaC8j7gxrtGGgomXP7OXDyrdeUOeOTq6pVxB\n"
    "-----END CERTIFICATE-----\n";
constexpr const char* test_key =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgomigAkJAUhWxfVAY\n"
    "7KuaZiJTNGUQIIxEVdXgy/iomJShRANCAATACgrd9epbqEBpwKQZe931+707qg57\n"
    "wFW83N7HBolb2TKqkvTZ9615hRG9QsavoUC8LQL1pUu9s9Y6A1L9XTp9\n"
    "-----END PRIVATE KEY-----\n";

struct Served {
  explicit Served(const GatewaySettings& settings = {}) {
    auto started = Gateway::start(settings, desk.ports());
    if (!started) {
      throw std::runtime_error(started.error().message);
    }
    gateway = std::move(*started);
  }
  Client client() const { return Client(gateway->port()); }
  Desk desk;
  std::unique_ptr<Gateway> gateway;
};

GatewaySettings impatient() {
  GatewaySettings settings;
  settings.header_timeout = std::chrono::milliseconds(200);
  settings.body_timeout = std::chrono::milliseconds(30);
  settings.idle_timeout = std::chrono::milliseconds(30);
  return settings;
}

std::size_t threads_of_this_process() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word == "Threads:") {
      std::size_t count = 0;
      status >> count;
      return count;
    }
  }
  return 0;
}

}  // namespace

TEST_CASE("a request is answered from another thread", "[gateway]") {
  Served served;
  Client client = served.client();
  client.send(post("/v1/sessions", R"({"context": "c"})", "Idempotency-Key: k\r\n"));
  const ClientRequest request = served.desk.take();
  CHECK(request.tenant == "default");
  CHECK(std::get<OpenSession>(request.body).context == "c");
  CHECK(std::get<OpenSession>(request.body).idempotency_key == "k");
  std::thread([&] { served.gateway->answer({request.id, SessionOpened{run_id}}); }).join();
  const Response response = client.response();
  CHECK(response.status == 201);
  CHECK_THAT(response.head, Contains("\r\nLocation: /v1/sessions/" + to_string(run_id) + "\r\n"));
  CHECK(response.body == R"({"run_id":")" + to_string(run_id) + "\"}");

  client.send(get("/v1/healthz"));
  CHECK(client.response().body == R"({"ok":true})");
}

TEST_CASE("a thousand requests wait without a thread each, and all are answered", "[gateway]") {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  constexpr std::size_t waiting = 1000;
  Served served;
  std::vector<Client> clients;
  for (std::size_t i = 0; i < waiting; ++i) {
    clients.push_back(served.client());
    clients.back().send(
        post(steps_path, R"({"task": "t", "input": {"i": )" + std::to_string(i) + "}}"));
  }
  std::vector<ClientRequest> requests;
  for (std::size_t i = 0; i < waiting; ++i) {
    requests.push_back(served.desk.take());
  }
  CHECK(threads_of_this_process() < 20);
  std::thread([&] {
    for (const ClientRequest& request : requests) {
      StepAnswer step;
      step.run_id = run_id;
      step.output = std::get<ConfirmCalls>(request.body).calls.at(0).canonical_input();
      served.gateway->answer({request.id, StepAnswers{{step}, false}});
    }
  }).join();
  for (std::size_t i = 0; i < waiting; ++i) {
    CHECK_THAT(clients[i].response().body, Contains(R"("output":{"i":)" + std::to_string(i) + "}"));
  }
}

TEST_CASE("a client that leaves while its request waits is noticed", "[gateway]") {
  Served served;
  Client gone = served.client();
  gone.send(post(steps_path, one_call));
  const RequestId first = served.desk.take().id;
  gone.leave();
  CHECK(served.desk.sees_leaving(first));
  Client finished = served.client();
  finished.send(post(steps_path, one_call));
  const RequestId second = served.desk.take().id;
  finished.finish_sending();
  CHECK(served.desk.sees_leaving(second));
  served.gateway->answer({first, TextAdded{}});
  served.gateway->answer({RequestId{999'999}, TextAdded{}});
  CHECK(finished.sees_end());
}

TEST_CASE("a client that was answered has not left", "[gateway]") {
  Served served;
  Client client = served.client();
  client.send(post("/v1/sessions", "{}"));
  served.gateway->answer({served.desk.take().id, SessionOpened{run_id}});
  CHECK(client.response().status == 201);
  client.leave();
  Client other = served.client();
  other.send(post("/v1/sessions", "{}"));
  const RequestId waits = served.desk.take().id;
  other.leave();
  CHECK(served.desk.sees_leaving(waits));
  CHECK(served.desk.left_count() == 1);
}

TEST_CASE("a header that never ends is cut", "[gateway]") {
  Served served(impatient());
  Client slow = served.client();
  slow.send("GET /v1/status HTTP/1.1\r\nHost: loc");
  CHECK(slow.response().status == 408);
  CHECK(slow.sees_end());
  Client silent = served.client();
  CHECK(silent.sees_end());
}

TEST_CASE("a body that never ends is cut, and an idle connection closed", "[gateway]") {
  Served served(impatient());
  Client slow = served.client();
  slow.send(
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 5\r\n\r\n{");
  CHECK(slow.response().status == 408);
  Client idle = served.client();
  idle.send(get("/v1/healthz"));
  CHECK(idle.response().status == 200);
  CHECK(idle.sees_end());
}

TEST_CASE("a waiting request outlives every deadline of reading", "[gateway]") {
  Served served(impatient());
  Client waits = served.client();
  waits.send(post(steps_path, one_call));
  const RequestId request = served.desk.take().id;
  // Another connection's end shows that deadlines were swept meanwhile.
  Client silent = served.client();
  CHECK(silent.sees_end());
  served.gateway->answer({request, TextAdded{}});
  CHECK(waits.response().status == 204);
}

TEST_CASE("a header over the limit is refused, however it is cut", "[gateway]") {
  Served served;
  Client whole = served.client();
  whole.send("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(20'000, 'x') +
             "\r\n\r\n");
  CHECK(whole.response().status == 431);
  Client pieces = served.client();
  pieces.send("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nA");
  for (int i = 0; i < 3000; ++i) {
    if (!pieces.send(": b\r\nA")) {
      break;
    }
  }
  CHECK(pieces.response().status == 431);
}

TEST_CASE("a body over the limit is refused before it is read", "[gateway]") {
  Served served;
  Client client = served.client();
  client.send(
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 1048577\r\n\r\n");
  const Response response = client.response();
  CHECK(response.status == 413);
  CHECK_THAT(response.head, Contains("Connection: close"));
  CHECK(client.sees_end());
}

TEST_CASE("a chunked body over the limit is refused", "[gateway]") {
  GatewaySettings settings;
  settings.body_bytes_max = 20;
  Served served(settings);
  Client client = served.client();
  client.send(
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n10\r\n");
  CHECK(client.response().status == 413);
}

TEST_CASE("the bodies that are read at once have a common limit", "[gateway]") {
  GatewaySettings settings;
  settings.bodies_bytes_max = 100;
  Served served(settings);
  Client client = served.client();
  const std::string head =
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
  client.send(head + "Content-Length: 101\r\n\r\n");
  CHECK(client.response().status == 503);
  // What was taken is given back: a hundred bytes fit again and again.
  Client other = served.client();
  for (int i = 0; i < 3; ++i) {
    other.send(head + "Content-Length: 100\r\n\r\n" + std::string(100, ' '));
    CHECK(other.response().status == 400);
  }
}

TEST_CASE("a body counts as it arrives, not as it is announced", "[gateway]") {
  GatewaySettings settings;
  settings.bodies_bytes_max = 1000;
  Served served(settings);
  const std::string head =
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
  const auto announce = [&](const char* arrived) {
    Client client = served.client();
    client.send(head + "Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n");
    REQUIRE(client.response().status == 100);
    client.send(arrived);
    return client;
  };
  std::vector<Client> slow;
  for (int i = 0; i < 50; ++i) {
    slow.push_back(announce(""));
  }
  Client honest = served.client();
  honest.send(head + "Content-Length: 1000\r\n\r\n" + std::string(1000, ' '));
  CHECK(honest.response().status == 400);
  // Who finds no room for more is refused; those before it go on.
  slow[0].send(std::string(600, ' '));
  // Those bytes are with the server a moment later.
  const auto deadline = std::chrono::steady_clock::now() + patience;
  Response refused;
  while (refused.status != 503 && std::chrono::steady_clock::now() < deadline) {
    honest.send(head + "Content-Length: 900\r\n\r\n" + std::string(900, ' '));
    refused = honest.response();
  }
  REQUIRE(refused.status == 503);
  CHECK_THAT(refused.head, Contains("\r\nRetry-After: 1\r\n"));
  CHECK_THAT(refused.body, Contains("expected at most 1000 bytes at once"));
  slow[1].send(std::string(600, ' '));
  CHECK(slow[1].response().status == 503);
  slow[0].send(std::string(400, ' '));
  CHECK(slow[0].response().status == 400);
  slow[2].send(std::string(1000, ' '));
  CHECK(slow[2].response().status == 400);
}

TEST_CASE("a chunked body counts as it arrives", "[gateway]") {
  GatewaySettings settings;
  settings.bodies_bytes_max = 100;
  Served served(settings);
  const std::string head =
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  Client small = served.client();
  small.send(head + "2\r\n{}\r\n0\r\n\r\n");
  CHECK(std::holds_alternative<OpenSession>(served.desk.take().body));
  Client large = served.client();
  large.send(head + "65\r\n" + std::string(101, ' ') + "\r\n0\r\n\r\n");
  CHECK(large.response().status == 503);
}

TEST_CASE("one address has a share of the bytes of bodies", "[gateway]") {
  GatewaySettings settings;
  settings.bodies_bytes_max = 4000;
  settings.per_peer_share = 0.25;
  Served served(settings);
  const std::string head =
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: ";
  std::vector<Client> greedy;
  for (int i = 0; i < 2; ++i) {
    greedy.push_back(served.client());
    greedy.back().send(head + "1000\r\n\r\n");
    REQUIRE(greedy.back().response().status == 100);
  }
  greedy[0].send(std::string(999, ' '));
  greedy[1].send(std::string(999, ' '));
  // One of them, whichever came second.
  std::array<pollfd, 2> both{
      {{greedy[0].descriptor(), POLLIN, 0}, {greedy[1].descriptor(), POLLIN, 0}}};
  REQUIRE(::poll(both.data(), both.size(), std::chrono::milliseconds(patience).count()) == 1);
  const std::size_t second = both[0].revents != 0 ? 0 : 1;
  const Response refused = greedy[second].response();
  CHECK(refused.status == 503);
  CHECK_THAT(refused.body, Contains("expected at most 1000 bytes at once from one address"));
  Client other(served.gateway->port(), "127.0.0.2");
  other.send(post("/v1/sessions", std::string(1000, ' ')));
  CHECK(other.response().status == 400);
  Client same = served.client();
  same.send(post("/v1/sessions", std::string(10, ' ')));
  CHECK(same.response().status == 503);
  greedy[1 - second].send(" ");
  CHECK(greedy[1 - second].response().status == 400);
  Client again = served.client();
  again.send(post("/v1/sessions", std::string(1000, ' ')));
  CHECK(again.response().status == 400);
}

/// Asks for a session; its answer is more than any socket's buffers take.
Client ask_for_much(Served& served, RequestId& id) {
  Client client = served.client();
  client.send(get("/v1/sessions/8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17"));
  id = served.desk.take().id;
  return client;
}
constexpr std::size_t much = 32U << 20U;
ClientResponse much_to_read(RequestId id) {
  SessionView view;
  view.context = std::string(much, 'x');
  return {id, std::move(view)};
}

TEST_CASE("of answers that nobody reads, the oldest makes room", "[gateway]") {
  GatewaySettings settings;
  settings.unread_bytes_max = much + (much / 2);
  settings.unread_grace = Duration::zero();
  Served served(settings);
  RequestId first_id{};
  RequestId second_id{};
  Client first = ask_for_much(served, first_id);
  Client second = ask_for_much(served, second_id);
  served.gateway->answer(much_to_read(first_id));
  served.gateway->answer(much_to_read(second_id));
  CHECK(second.response().body.size() > much);
  CHECK_THROWS_WITH(first.response(), Contains("no whole body"));
  // What was read, or cut, no longer counts.
  RequestId third_id{};
  Client third = ask_for_much(served, third_id);
  served.gateway->answer(much_to_read(third_id));
  CHECK(third.response().body.size() > much);
}

TEST_CASE("with too many answers unread a page is refused, a decision is not", "[gateway]") {
  GatewaySettings settings;
  settings.unread_bytes_max = much + (much / 2);
  settings.unread_grace = std::chrono::hours(1);
  Served served(settings);
  RequestId first_id{};
  RequestId second_id{};
  Client first = ask_for_much(served, first_id);
  Client second = ask_for_much(served, second_id);
  served.gateway->answer(much_to_read(first_id));
  served.gateway->answer(much_to_read(second_id));
  const Response refused = second.response();
  CHECK(refused.status == 503);
  CHECK_THAT(refused.head, Contains("Retry-After: 1\r\n"));
  CHECK_THAT(refused.body, Contains("bytes that clients have not read yet"));
  Client third = served.client();
  third.send(post("/v1/sessions/8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17/steps", one_call));
  StepAnswers decided;
  decided.steps.emplace_back().output = '"' + std::string(much, 'y') + '"';
  served.gateway->answer({served.desk.take().id, std::move(decided)});
  CHECK(third.response().body.size() > much);
  CHECK(first.response().body.size() > much);
}

TEST_CASE("pipelined requests are answered one after the other, in order", "[gateway]") {
  Served served;
  Client client = served.client();
  client.send(post(steps_path, one_call) + "\r\n" + get("/v1/healthz") +
              post("/v1/sessions", "{}"));
  const ClientRequest first = served.desk.take();
  REQUIRE(std::holds_alternative<ConfirmCalls>(first.body));
  served.gateway->answer({first.id, TextAdded{}});
  CHECK(client.response().status == 204);
  CHECK(client.response().body == R"({"ok":true})");
  const ClientRequest second = served.desk.take();
  REQUIRE(std::holds_alternative<OpenSession>(second.body));
  served.gateway->answer({second.id, SessionOpened{run_id}});
  CHECK(client.response().status == 201);
}

TEST_CASE("what is sent ahead of an answer is bounded and not lost", "[gateway]") {
  Served served;
  Client client = served.client();
  std::string ahead = post(steps_path, one_call);
  constexpr int more = 2000;
  for (int i = 0; i < more; ++i) {
    ahead += get("/v1/healthz");
  }
  std::thread sender([&] { client.send(ahead); });
  served.gateway->answer({served.desk.take().id, TextAdded{}});
  CHECK(client.response().status == 204);
  int answered = 0;
  while (answered < more && client.response().status == 200) {
    ++answered;
  }
  sender.join();
  CHECK(answered == more);
}

TEST_CASE("a chunked body is read, whole or byte by byte", "[gateway]") {
  Served served;
  const std::string request =
      "POST " + steps_path +
      " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n"
      "5;x=y\r\n{\"tas\r\n1b\r\nk\": \"t\", \"input\": {\"a\": 1}}\r\n0\r\nContent-Type: x\r\n\r\n";
  const std::string empty =
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  Client client = served.client();
  for (const bool is_whole : {true, false}) {
    for (const std::string* sent : {&request, &empty}) {
      const std::string& text = *sent;
      for (std::size_t at = 0; at < text.size(); at += is_whole ? text.size() : 1) {
        client.send(std::string_view(text).substr(at, is_whole ? text.size() : 1));
      }
      const ClientRequest taken = served.desk.take();
      if (sent == &request) {
        CHECK(std::get<ConfirmCalls>(taken.body).calls.at(0).task() == "t");
      }
      served.gateway->answer({taken.id, TextAdded{}});
      CHECK(client.response().status == 204);
    }
  }
}

TEST_CASE("a client that waits for 100 gets it, or the refusal instead", "[gateway]") {
  Served served;
  Client client = served.client();
  const std::string head =
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: ";
  client.send(head + "2\r\n\r\n");
  CHECK(client.response().status == 100);
  client.send("{}");
  served.gateway->answer({served.desk.take().id, SessionOpened{run_id}});
  CHECK(client.response().status == 201);
  client.send(head + "9999999\r\n\r\n");
  CHECK(client.response().status == 413);
  CHECK(client.sees_end());
}

TEST_CASE("bytes that are not HTTP are refused at once", "[gateway]") {
  Served served;
  for (const std::string& garbage :
       {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", 11),
        std::string("{\"a\": 1}\n"), std::string("GET /v1/status HTTP/1.1\n\n"),
        std::string("GET /v1/status HTTP/2.0\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n")}) {
    Client client = served.client();
    client.send(garbage);
    CHECK(client.response().status == 400);
    CHECK(client.sees_end());
  }
}

TEST_CASE("a request with two lengths is refused and nothing after it is read", "[gateway]") {
  Served served;
  for (const char* framing :
       {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n", "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "Content-Length: +3\r\n"}) {
    Client client = served.client();
    client.send(
        "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
        std::string(framing) + "\r\n0\r\n\r\n" + get("/v1/healthz"));
    CHECK(client.response().status == 400);
    CHECK(client.sees_end());
  }
}

TEST_CASE("HEAD is refused without a body, and the connection goes on", "[gateway]") {
  Served served;
  Client client = served.client();
  client.send("HEAD /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n" + get("/v1/healthz"));
  const Response head = client.response(false);
  CHECK(head.status == 405);
  CHECK_THAT(head.head, Contains("\r\nAllow: GET\r\n"));
  CHECK(client.response().status == 200);
}

TEST_CASE("HTTP/1.0 closes unless it asks to go on", "[gateway]") {
  Served served;
  Client plain = served.client();
  plain.send("GET /v1/healthz HTTP/1.0\r\n\r\n");
  CHECK(plain.response().status == 200);
  CHECK(plain.sees_end());
  Client kept = served.client();
  kept.send("GET /v1/healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK_THAT(kept.response().head, Contains("Connection: keep-alive"));
  kept.send(get("/v1/healthz"));
  CHECK(kept.response().status == 200);
}

TEST_CASE("a page that made its name resolve to this address is refused", "[gateway]") {
  Served served;
  Client client = served.client();
  client.send("GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  const Response response = client.response();
  CHECK(response.status == 403);
  CHECK_THAT(response.body, Contains("forbidden-host"));
}

TEST_CASE("more waiting requests than allowed are refused for now", "[gateway]") {
  GatewaySettings settings;
  settings.waiting_max = 1;
  Served served(settings);
  Client first = served.client();
  first.send(post(steps_path, one_call));
  const RequestId waits = served.desk.take().id;
  Client second = served.client();
  second.send(post(steps_path, one_call));
  const Response response = second.response();
  CHECK(response.status == 503);
  CHECK_THAT(response.head, Contains("\r\nRetry-After: 1\r\n"));
  served.gateway->answer({waits, TextAdded{}});
  CHECK(first.response().status == 204);
  second.send(post(steps_path, one_call));
  served.gateway->answer({served.desk.take().id, TextAdded{}});
  CHECK(second.response().status == 204);
}

TEST_CASE("a client beyond the connection limit is served when another leaves", "[gateway]") {
  GatewaySettings settings;
  settings.connections_max = 1;
  Served served(settings);
  Client first = served.client();
  first.send(get("/v1/healthz"));
  CHECK(first.response().status == 200);
  Client second = served.client();
  second.send(get("/v1/healthz"));
  first.leave();
  CHECK(second.response().status == 200);
}

TEST_CASE("a draining gateway takes nobody new and answers those that wait", "[gateway]") {
  Served served;
  Client idle = served.client();
  idle.send(get("/v1/healthz"));
  CHECK(idle.response().status == 200);
  Client waits = served.client();
  waits.send(post(steps_path, one_call));
  const RequestId request = served.desk.take().id;
  served.gateway->drain();
  CHECK(idle.sees_end());
  CHECK_THROWS(served.client());
  served.gateway->answer({request, TextAdded{}});
  const Response response = waits.response();
  CHECK(response.status == 204);
  CHECK_THAT(response.head, Contains("Connection: close"));
  CHECK(waits.sees_end());
}

TEST_CASE("a gateway ends while requests wait", "[gateway]") {
  Served served;
  Client waits = served.client();
  waits.send(post(steps_path, one_call));
  served.desk.take();
  Client half = served.client();
  half.send("GET /v1/sta");
  served.gateway.reset();
  CHECK(waits.sees_end());
  CHECK(half.sees_end());
  CHECK(served.desk.left_count() == 0);
}

TEST_CASE("an answer given just before the end still arrives", "[gateway]") {
  Served served;
  Client client = served.client();
  client.send(get("/v1/status"));
  json::Object report;
  report.set("text", std::string(900'000, 'x'));
  served.gateway->answer({served.desk.take().id, JsonReport{json::Value(report)}});
  std::thread ending([&] { served.gateway.reset(); });
  CHECK(client.response().body.size() > 900'000);
  client.leave();
  ending.join();
}

TEST_CASE("hosts that others reach, used ports and names are refused at the start", "[gateway]") {
  Served served;
  const auto error_of = [&](GatewaySettings settings) {
    const auto started = Gateway::start(settings, served.desk.ports());
    REQUIRE_FALSE(started);
    return started.error();
  };
  for (const char* host : {"0.0.0.0", "::"}) {
    GatewaySettings remote{.host = host};
    remote.is_behind_tls_proxy = true;
    CHECK_THAT(error_of(remote).message, Contains("expected tokens"));
    CHECK(error_of(remote).code == Errc::refused);
    remote.tokens = std::make_shared<TokenTable>();
    CHECK(Gateway::start(remote, served.desk.ports()));
    remote.is_behind_tls_proxy = false;
    CHECK_THAT(error_of(remote).message, Contains("expected TLS"));
    CHECK(error_of(remote).code == Errc::refused);
  }
  CHECK(error_of({.host = "example.org"}).code == Errc::invalid);
  const Error used = error_of({.port = served.gateway->port()});
  CHECK(used.code == Errc::io);
  CHECK_THAT(used.message, Contains("127.0.0.1 port " + std::to_string(served.gateway->port())));
  CHECK(Gateway::start({.host = "localhost"}, served.desk.ports()));
}

namespace {

/// Sends a byte every few milliseconds until the other side is gone, or the test fails.
void drip(Client& client, std::string_view text, std::chrono::milliseconds pause) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (std::size_t i = 0; std::chrono::steady_clock::now() < deadline; ++i) {
    pollfd ready{.fd = client.descriptor(), .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(pause.count())) != 0) {
      return;  // An answer, or the end.
    }
    client.send(text.substr(i % text.size(), 1));
  }
  FAIL("it may drip for ever");
}

}  // namespace

TEST_CASE("a client that drips its head is cut at the deadline, as one that drips its body",
          "[gateway]") {
  GatewaySettings settings = impatient();
  settings.body_timeout = std::chrono::milliseconds(200);
  Served served(settings);
  const auto begun = std::chrono::steady_clock::now();
  Client head = served.client();
  head.send("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: ");
  drip(head, "x", std::chrono::milliseconds(10));
  CHECK(head.response().status == 408);
  CHECK(head.sees_end());
  Client body = served.client();
  body.send(
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 100000\r\n\r\n");
  drip(body, " ", std::chrono::milliseconds(10));
  CHECK(body.response().status == 408);
  Client chunked = served.client();
  chunked.send(
      "POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  drip(chunked, "1\r\n \r\n", std::chrono::milliseconds(10));
  CHECK(chunked.response().status == 408);
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(5));
}

TEST_CASE("when all connections are taken, the one idle longest makes room", "[gateway]") {
  GatewaySettings settings;
  settings.connections_max = 3;
  Served served(settings);
  Client waits = served.client();
  waits.send(post(steps_path, one_call));
  const RequestId request = served.desk.take().id;
  Client first = served.client();
  first.send(get("/v1/healthz"));
  CHECK(first.response().status == 200);
  Client second = served.client();
  second.send(get("/v1/healthz"));
  CHECK(second.response().status == 200);
  Client third = served.client();
  third.send(get("/v1/healthz"));
  CHECK(third.response().status == 200);
  CHECK(first.sees_end());
  second.send(get("/v1/healthz"));
  CHECK(second.response().status == 200);
  // Those that ask or wait are never ended for others.
  Client asks = served.client();
  asks.send(post(steps_path, one_call));
  const RequestId also = served.desk.take().id;
  CHECK(third.sees_end());
  served.gateway->answer({request, TextAdded{}});
  served.gateway->answer({also, TextAdded{}});
  CHECK(waits.response().status == 204);
  CHECK(asks.response().status == 204);
}

TEST_CASE("one address has a bounded number of connections", "[gateway]") {
  GatewaySettings settings;
  settings.connections_per_peer_max = 2;
  Served served(settings);
  Client first = served.client();
  Client second = served.client();
  for (Client* each : {&first, &second}) {
    each->send(get("/v1/healthz"));
    CHECK(each->response().status == 200);
  }
  Client third = served.client();
  const Response refused = third.response();
  CHECK(refused.status == 503);
  CHECK_THAT(refused.head, Contains("\r\nRetry-After: 1\r\n"));
  CHECK_THAT(refused.body, Contains("this address has 2, expected at most that many"));
  CHECK(third.sees_end());
  first.send("GET /v1/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  CHECK(first.response().status == 200);
  CHECK(first.sees_end());
  first.leave();
  // The server hears of that end a moment later.
  const auto deadline = std::chrono::steady_clock::now() + patience;
  bool is_served = false;
  while (!is_served && std::chrono::steady_clock::now() < deadline) {
    Client next = served.client();
    is_served = next.send(get("/v1/healthz")) && next.response().status == 200;
  }
  CHECK(is_served);
}

TEST_CASE("one address has a share of the connections, and the status counts those refused",
          "[gateway]") {
  GatewaySettings settings;
  settings.connections_max = 8;
  settings.per_peer_share = 0.25;
  Served served(settings);
  Client asks = served.client();
  Client second = served.client();
  second.send(get("/v1/healthz"));
  CHECK(second.response().status == 200);
  for (int i = 0; i < 3; ++i) {
    CHECK(served.client().response().status == 503);
  }
  asks.send(get("/v1/status"));
  served.gateway->answer({served.desk.take().id, JsonReport{json::Value(json::Object())}});
  CHECK(asks.response().body ==
        R"({"http":{"connections":2,"connections_max":8,"connections_per_peer_max":2,)"
        R"("connections_refused":3,"unread_bytes":0,"unread_cut":0}})");
}

TEST_CASE("a TLS handshake that never comes, or drips, is cut at the deadline", "[gateway]") {
  const test::TempDirectory folder;
  const auto write = [&](const char* name, const char* text) {
    const auto path = folder.path() / name;
    std::ofstream(path) << text;
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path.string();
  };
  GatewaySettings settings = impatient();
  settings.tls_certificate = write("cert.pem", test_certificate);
  settings.tls_key = write("key.pem", test_key);
  Served served(settings);
  Client silent = served.client();
  CHECK(silent.sees_end());
  // A record of a ClientHello that announces more than comes (RFC 8446 §5.1).
  Client slow = served.client();
  slow.send(std::string_view("\x16\x03\x01\x02\x00\x01", 6));
  drip(slow, std::string_view("\x00", 1), std::chrono::milliseconds(10));
  CHECK(slow.sees_end());
}

// Not a check: prints how many requests a second pass when another thread answers at once.
TEST_CASE("requests a second on 64 connections", "[.measure]") {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<RequestId> asked;
  bool is_over = false;
  auto gateway = Gateway::start({}, {[&](const ClientRequest& request) {
                                       const std::lock_guard lock(mutex);
                                       asked.push_back(request.id);
                                       changed.notify_one();
                                     },
                                     [](RequestId) {}});
  REQUIRE(gateway);
  std::thread answering([&] {
    std::vector<RequestId> now;
    std::unique_lock lock(mutex);
    while (!is_over) {
      changed.wait(lock, [&] { return is_over || !asked.empty(); });
      now.swap(asked);
      lock.unlock();
      for (const RequestId request : now) {
        StepAnswer step;
        step.run_id = run_id;
        step.output = R"({"a":1})";
        (*gateway)->answer({request, StepAnswers{{step}, false}});
      }
      now.clear();
      lock.lock();
    }
  });
  constexpr std::size_t connections = 64;
  constexpr std::size_t total = 200'000;
  std::vector<Client> clients;
  std::vector<pollfd> polled;
  const std::string request = post(steps_path, one_call);
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < connections; ++i) {
    clients.emplace_back((*gateway)->port());
    polled.push_back({clients.back().descriptor(), POLLIN, 0});
    clients.back().send(request);
  }
  std::size_t answered = 0;
  while (answered < total) {
    ::poll(polled.data(), polled.size(), -1);
    for (std::size_t i = 0; i < connections; ++i) {
      if (polled[i].revents != 0) {
        clients[i].response();
        clients[i].send(request);
        ++answered;
      }
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::cout << static_cast<double>(answered) / took.count() << " requests/s\n";
  {
    const std::lock_guard lock(mutex);
    is_over = true;
    changed.notify_one();
  }
  answering.join();
}

TEST_CASE("a token says whose a request is; a revoked one ends what waits under it", "[gateway]") {
  const auto tokens = [](const std::string& names) {
    std::string text;
    for (const char name : names) {
      text += std::string(1, name) + " tenant-" + name + " client " +
              to_hex(sha256(std::string(1, name))) + "\n";
    }
    return std::make_shared<TokenTable>(*TokenTable::parse(text, "tokens"));
  };
  GatewaySettings settings;
  settings.tokens = tokens("ab");
  Served served(settings);
  Client stranger = served.client();
  stranger.send(post("/v1/sessions", "{}"));
  const Response refused = stranger.response();
  CHECK(refused.status == 401);
  CHECK_THAT(refused.head, Contains("\r\nWWW-Authenticate: Bearer realm=\"forerun\"\r\n"));

  Client a = served.client();
  Client b = served.client();
  a.send(post(steps_path, one_call, "Authorization: Bearer a\r\n"));
  const ClientRequest from_a = served.desk.take();
  CHECK(from_a.tenant == "tenant-a");
  b.send(post(steps_path, one_call, "Authorization: Bearer b\r\n"));
  const ClientRequest from_b = served.desk.take();
  CHECK(from_b.tenant == "tenant-b");
  // Its head is let in, its body comes when the token is gone.
  Client slow = served.client();
  const std::string whole =
      post(steps_path, one_call, "Authorization: Bearer a\r\nExpect: 100-continue\r\n");
  slow.send(whole.substr(0, whole.size() - one_call.size()));
  CHECK(slow.response(false).status == 100);

  served.gateway->set_tokens(tokens("b"));
  CHECK(a.response().status == 401);
  CHECK(a.sees_end());
  slow.send(one_call);
  CHECK(slow.response().status == 401);
  CHECK(served.desk.sees_leaving(from_a.id));
  served.gateway->answer({from_b.id, TextAdded{}});
  CHECK(b.response().status == 204);
  b.send(post("/v1/sessions", "{}", "Authorization: Bearer a\r\n"));
  CHECK(b.response().status == 401);
}
