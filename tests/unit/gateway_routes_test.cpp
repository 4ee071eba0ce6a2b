#include "gateway/routes.hpp"

#include <catch2/catch.hpp>
#include <vector>

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

const std::string uuid = "8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10";
const std::string session = "/v1/sessions/" + uuid + "/17";

/// A head with a good Host, to which a test adds.
struct Ask {
  std::string method = "GET";
  std::string target = "/v1/status";
  std::vector<Header> headers = {{"Host", "localhost:8080"}};
  std::uint64_t content_length = 0;
  bool is_chunked = false;
  bool is_http_1_1 = true;

  tl::expected<Route, Problem> route(const HeadRules& rules = {}) const {
    return route_of({.method = method,
                     .target = target,
                     .is_http_1_1 = is_http_1_1,
                     .headers = headers,
                     .content_length = content_length,
                     .is_chunked = is_chunked},
                    rules);
  }
};

Ask get(std::string target) {
  return {.target = std::move(target)};
}

Ask post(std::string target, std::vector<Header> more = {{"content-type", "application/json"}}) {
  Ask ask{.method = "POST", .target = std::move(target), .content_length = 10};
  ask.headers.insert(ask.headers.end(), more.begin(), more.end());
  return ask;
}

Problem problem_of(const tl::expected<Route, Problem>& route) {
  REQUIRE_FALSE(route);
  return route.error();
}

tl::expected<ClientRequestBody, Problem> read(Endpoint endpoint, std::string_view body) {
  Route route;
  route.endpoint = endpoint;
  route.run_id = *RunId::parse(uuid + "/17");
  route.idempotency_key = "k1";
  return request_of(route, body, 1U << 20U);
}

std::string refusal(Endpoint endpoint, std::string_view body, unsigned status = 400) {
  const auto request = read(endpoint, body);
  REQUIRE_FALSE(request);
  CHECK(request.error().status == status);
  return request.error().detail;
}

}  // namespace

TEST_CASE("every documented path and method has its endpoint", "[gateway]") {
  const std::vector<std::tuple<std::string, std::string, Endpoint>> table = {
      {"POST", "/v1/sessions", Endpoint::open_session},
      {"POST", session + "/text", Endpoint::add_text},
      {"POST", session + "/steps", Endpoint::confirm_calls},
      {"GET", session, Endpoint::show_session},
      {"GET", session + "/predictions", Endpoint::show_predictions},
      {"GET", session + "/explanation", Endpoint::show_explanation},
      {"DELETE", session, Endpoint::end_session},
      {"GET", "/v1/status", Endpoint::show_status},
      {"GET", "/v1/healthz", Endpoint::healthz},
  };
  for (const auto& [method, target, endpoint] : table) {
    Ask ask{.method = method, .target = target};
    const auto route = ask.route();
    REQUIRE(route);
    CHECK(route->endpoint == endpoint);
    if (target.starts_with(session)) {
      CHECK(to_string(route->run_id) == uuid + "/17");
    }
  }
}

TEST_CASE("a path may be percent-encoded, and a run ID be one component", "[gateway]") {
  CHECK(to_string(get("/v1/sessions/" + uuid + "%2F17/predictions").route()->run_id) ==
        uuid + "/17");
  CHECK(get("/v1/sessions/" + uuid + "%2f17").route()->endpoint == Endpoint::show_session);
  CHECK(get("/v1/%73tatus").route()->endpoint == Endpoint::show_status);
  for (const char* target : {"/v1/status%", "/v1/status%4", "/v1/status%zz"}) {
    CHECK(problem_of(get(target).route()).status == 400);
  }
}

TEST_CASE("a malformed run ID is refused with its form", "[gateway]") {
  for (const std::string& part :
       {std::string("17"), std::string("abc/17"), uuid + "/017", uuid + "/x", uuid,
        std::string("8D65B0F2-7C1A-4F0E-9B53-2F1C6A7D9E10/17"), uuid + "/"}) {
    const Problem problem = problem_of(get("/v1/sessions/" + part).route());
    CHECK(problem.status == 400);
    CHECK_THAT(problem.detail, Contains("a lowercase UUID, a slash"));
  }
  CHECK(problem_of(post("/v1/sessions/" + uuid + "/steps").route()).status == 400);
}

TEST_CASE("an unknown path is not found, and the paths are named", "[gateway]") {
  for (const std::string& target :
       {std::string("/"), std::string("/v2/status"), std::string("/v1/status/"),
        std::string("/v1//status"), session + "/stepz", session + "/steps/1",
        session + "/steps/1/2/3/4/5/6", std::string("status")}) {
    const Problem problem = problem_of(get(target).route());
    CHECK(problem.status == 404);
    CHECK_THAT(problem.detail, Contains("/v1/healthz"));
  }
}

TEST_CASE("a query is refused, and not repeated: it may hold a token", "[gateway]") {
  for (const char* target :
       {"/v1/status?token=frt1.secret", "/v1/ledger?token=frt1.secret", "v1/status?frt1.secret",
        "/v1/nowhere?access_token=frt1.secret", "/v1/sessions/x?t=frt1.secret",
        "http://user:frt1.secret@elsewhere/v1/status", "http://frt1.secret@:x/v1/status",
        "/v1/ledger?from=1&count=1&count=frt1.secret"}) {
    INFO(target);
    const Problem problem = problem_of(get(target).route());
    CHECK_THAT(problem.detail, !Contains("secret"));
    CHECK_THAT(problem.detail, Contains("expected"));
  }
}

TEST_CASE("another method is refused with those that are allowed", "[gateway]") {
  const auto allowed = [](std::string method, std::string target) {
    const Problem problem =
        problem_of(Ask{.method = std::move(method), .target = std::move(target)}.route());
    CHECK(problem.status == 405);
    return std::string(problem.allow);
  };
  CHECK(allowed("HEAD", "/v1/status") == "GET");
  CHECK(allowed("OPTIONS", "/v1/sessions") == "POST");
  CHECK(allowed("PUT", session) == "GET, DELETE");
  CHECK(allowed("get", "/v1/status") == "GET");
  CHECK(allowed("OPTIONS", "*") == "GET, POST, DELETE");
}

TEST_CASE("on a loopback address only its own names are served", "[gateway]") {
  const auto asked_as = [](std::string_view host) {
    Ask ask;
    ask.headers = {{"hOST", host}};
    return ask.route();
  };
  for (const char* host : {"localhost", "LocalHost:80", "127.0.0.1:1", "127.0.0.1", "[::1]:9"}) {
    CHECK(asked_as(host));
  }
  for (const char* host : {"evil.example", "evil.example:8080", "localhost.evil.example",
                           "127.0.0.1.evil.example", "[::2]"}) {
    const Problem problem = problem_of(asked_as(host));
    CHECK(problem.status == 403);
    CHECK(problem.name == "forbidden-host");
  }
  for (const char* host : {"", "localhost:", "localhost:x", "[::1", "localhost:1:2"}) {
    if (std::string_view(host) != "localhost:") {  // An empty port is a port by RFC 3986.
      CHECK(problem_of(asked_as(host)).status == 400);
    }
  }
}

TEST_CASE("names of this server are served too, by any other it may be a page's", "[gateway]") {
  const auto asked_as = [](std::string_view host, const HeadRules& rules) {
    return Ask{.headers = {{"Host", host}}}.route(rules);
  };
  const HeadRules named{.names = {"api.example"}};
  CHECK(asked_as("api.example", named));
  CHECK(asked_as("API.example:443", named));
  CHECK(asked_as("localhost", named));
  CHECK(problem_of(asked_as("api.example.evil", named)).status == 403);
  HeadRules remote = named;
  remote.bound_host = "::";
  remote.is_loopback = false;
  // An address is not resolved, so nobody can make it resolve elsewhere.
  for (const char* host :
       {"10.0.0.7", "10.0.0.7:7480", "[fe80::1]:1", "api.example", "localhost"}) {
    CHECK(asked_as(host, remote));
  }
  for (const char* host : {"evil.example", "10.0.0.7.evil.example", "node-7"}) {
    CHECK(problem_of(asked_as(host, remote)).name == "forbidden-host");
  }
}

TEST_CASE("HTTP/1.1 requires one Host, and an absolute target replaces it", "[gateway]") {
  CHECK(problem_of(Ask{.headers = {}}.route()).status == 400);
  CHECK(Ask{.headers = {}, .is_http_1_1 = false}.route());
  CHECK(problem_of(Ask{.headers = {{"Host", "localhost"}, {"host", "localhost"}}}.route()).closes);
  CHECK(get("http://127.0.0.1:80/v1/status").route());
  CHECK(problem_of(get("http://evil.example/v1/status").route()).status == 403);
}

TEST_CASE("only a page of this host may ask", "[gateway]") {
  const auto from_page = [](std::string_view origin, const HeadRules& rules = {}) {
    Ask ask;
    ask.headers = {{"Host", "localhost:8080"}, {"Origin", origin}};
    return ask.route(rules);
  };
  CHECK(from_page("http://localhost:3000"));
  CHECK(from_page("https://127.0.0.1"));
  for (const char* origin : {"null", "", "http://evil.example", "http://localhost@evil.example",
                             "file://localhost", "http://localhost:80/x", "localhost"}) {
    const Problem problem = problem_of(from_page(origin));
    CHECK(problem.status == 403);
    CHECK(problem.name == "forbidden-origin");
  }
  const HeadRules remote{.bound_host = "0.0.0.0", .is_loopback = false};
  CHECK(from_page("http://localhost:8080", remote));
  CHECK_FALSE(from_page("http://localhost:9090", remote));
}

TEST_CASE("a body must be JSON by its type, and small enough", "[gateway]") {
  for (const char* type : {"application/json", "Application/JSON; charset=utf-8",
                           "application/json;charset=\"UTF-8\"", "application/json; v=1"}) {
    CHECK(post("/v1/sessions", {{"Content-Type", type}}).route());
  }
  for (const char* type : {"text/plain", "application/jsonp", "application/x-www-form-urlencoded",
                           "application/json; charset=latin1", ""}) {
    CHECK(problem_of(post("/v1/sessions", {{"Content-Type", type}}).route()).status == 415);
  }
  CHECK(problem_of(post("/v1/sessions", {}).route()).status == 415);
  CHECK(problem_of(post("/v1/sessions",
                        {{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}})
                       .route())
            .status == 415);
  Ask large = post("/v1/sessions");
  large.content_length = (1U << 20U) + 1;
  CHECK(problem_of(large.route()).status == 413);
  Ask with_body = get("/v1/status");
  with_body.content_length = 1;
  CHECK(problem_of(with_body.route()).status == 400);
}

TEST_CASE("a transfer coding other than chunked ends the connection", "[gateway]") {
  for (const char* coding : {"gzip", "gzip, chunked", "identity", "chunked, chunked", ""}) {
    CHECK(problem_of(post("/v1/sessions", {{"Transfer-Encoding", coding}}).route()).closes);
  }
  Ask chunked = post("/v1/sessions", {{"Transfer-Encoding", "Chunked"},
                                      {"Content-Type", "application/json"},
                                      {"Expect", "100-Continue"}});
  chunked.is_chunked = true;
  CHECK(chunked.route()->wants_continue);
  CHECK(problem_of(
            post("/v1/sessions", {{"Expect", "200-maybe"}, {"Content-Type", "application/json"}})
                .route())
            .status == 417);
}

TEST_CASE("a key is 1 to 255 printable characters where keys are kept", "[gateway]") {
  const std::string longest(255, 'k');
  const std::string longer(256, 'k');
  const auto with_key = [](std::string target, std::string_view key) {
    return post(std::move(target), {{"Content-Type", "application/json"}, {"Idempotency-Key", key}})
        .route();
  };
  CHECK(with_key("/v1/sessions", longest)->idempotency_key == longest);
  CHECK(with_key(session + "/steps", " a b ")->idempotency_key == "a b");
  for (const std::string& key : {longer, std::string(), std::string("a\tb"), std::string("ä")}) {
    CHECK(problem_of(with_key("/v1/sessions", key)).status == 400);
  }
  CHECK(problem_of(with_key(session + "/text", "k")).status == 400);
}

TEST_CASE("a session opens with what its body says", "[gateway]") {
  const auto plain = read(Endpoint::open_session, "");
  REQUIRE(plain);
  CHECK(std::get<OpenSession>(*plain).mode == SpeculationMode::on);
  CHECK(std::get<OpenSession>(*plain).idempotency_key == "k1");
  const auto full =
      read(Endpoint::open_session, R"({"context": "a", "speculation": "shadow", "world": "w"})");
  REQUIRE(full);
  const auto& opening = std::get<OpenSession>(*full);
  CHECK(opening.context == "a");
  CHECK(opening.mode == SpeculationMode::shadow);
  CHECK(opening.world == "w");
  const auto given =
      read(Endpoint::open_session, R"({"run_id": "8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17"})");
  REQUIRE(given);
  CHECK(std::get<OpenSession>(*given).run_id->counter == 17);
  CHECK_THAT(refusal(Endpoint::open_session, R"({"run_id": "17"})"), Contains("UUID"));
  CHECK_THAT(refusal(Endpoint::open_session, R"({"speculation": "maybe"})"), Contains("shadow"));
  CHECK_THAT(refusal(Endpoint::open_session, R"({"speculation": true})"), Contains("true"));
  CHECK_THAT(refusal(Endpoint::open_session, R"({"contex": "a"})"),
             Contains("contex") && Contains("context, run_id, speculation, state, world"));
  refusal(Endpoint::open_session, R"({"world": 3})");
  refusal(Endpoint::open_session, R"({"context": ")" + std::string(text_bytes_max + 1, 'a') + "\"}",
          413);
}

TEST_CASE("what is not strict JSON is refused with the reason", "[gateway]") {
  CHECK_THAT(refusal(Endpoint::add_text, R"({"text": "a", "t\u0065xt": "b"})"),
             Contains("duplicate key"));
  CHECK_THAT(refusal(Endpoint::add_text, R"({"text": "a"} x)"), Contains("body: json"));
  CHECK_THAT(refusal(Endpoint::add_text, R"(["text"])"), Contains("not an object"));
  CHECK_THAT(refusal(Endpoint::add_text, ""), Contains("empty"));
  CHECK_THAT(refusal(Endpoint::add_text, "{}"), Contains("missing"));
  CHECK_THAT(
      refusal(Endpoint::confirm_calls, R"({"task": "t", "input": {"n": 12345678901234567890}})"),
      Contains("send it as a string"));
  CHECK(std::get<AddText>(*read(Endpoint::add_text, R"({"text": "a"})")).text == "a");
}

TEST_CASE("one call and a list of calls are told apart", "[gateway]") {
  const auto one = read(Endpoint::confirm_calls,
                        R"({"input": {"b": 1.0, "a": 2}, "task": "t", "expect_step": 4})");
  REQUIRE(one);
  const auto& single = std::get<ConfirmCalls>(*one);
  CHECK_FALSE(single.is_list);
  CHECK(single.expect_step == 4U);
  CHECK(single.calls.at(0).canonical() == R"({"input":{"a":2,"b":1},"task":"t"})");
  const auto two = read(Endpoint::confirm_calls,
                        R"({"calls": [{"task": "t", "input": {}}, {"task": "u", "input": {}}]})");
  REQUIRE(two);
  CHECK(std::get<ConfirmCalls>(*two).is_list);
  CHECK(std::get<ConfirmCalls>(*two).calls.at(1).task() == "u");
}

TEST_CASE("calls that are not whole are refused by place", "[gateway]") {
  const auto steps = [](std::string_view body) { return refusal(Endpoint::confirm_calls, body); };
  CHECK_THAT(steps(R"({"task": "t", "inptu": {}})"), Contains("\"inptu\""));
  CHECK_THAT(steps(R"({"task": "t"})"), Contains("\"input\": missing"));
  CHECK_THAT(steps(R"({"task": "t", "input": [1]})"), Contains("not an object"));
  CHECK_THAT(steps(R"({"task": "", "input": {}})"), Contains("empty"));
  CHECK_THAT(steps(R"({"calls": []})"), Contains("1 to 64"));
  CHECK_THAT(steps(R"({"calls": [{"task": "t", "input": {}}], "task": "t"})"),
             Contains("one form"));
  CHECK_THAT(steps(R"({"calls": [{"task": "t", "input": {}}, {"task": "t"}]})"),
             Contains("call 1"));
  CHECK_THAT(steps(R"({"calls": [{"task": "t", "input": {}, "expect_step": 1}]})"),
             Contains("expect_step"));
  for (const char* number : {"-1", "0.5", "4294967296", "\"1\"", "null"}) {
    CHECK_THAT(steps(R"({"task": "t", "input": {}, "expect_step": )" + std::string(number) + "}"),
               Contains("expect_step"));
  }
  std::string many = R"({"calls": [)";
  for (std::size_t i = 0; i <= calls_per_request_max; ++i) {
    many += std::string(i == 0 ? "" : ",") + R"({"task": "t", "input": {}})";
  }
  refusal(Endpoint::confirm_calls, many + "]}", 413);
}

TEST_CASE("an input may be as deep as a document, in either form", "[gateway]") {
  const auto nested = [](std::size_t depth) {
    std::string text = "{}";
    for (std::size_t i = 1; i < depth; ++i) {
      text = R"({"a":)" + text + "}";
    }
    return R"({"task": "t", "input": )" + text + "}";
  };
  for (const auto& [prefix, suffix] :
       {std::pair<std::string, std::string>{"", ""}, {R"({"calls": [)", "]}"}}) {
    CHECK(read(Endpoint::confirm_calls, prefix + nested(json::depth_max) + suffix));
    refusal(Endpoint::confirm_calls, prefix + nested(json::depth_max + 1) + suffix, 413);
  }
}

TEST_CASE("a call whose canonical text outgrows a document is refused", "[gateway]") {
  std::string numbers = "1e20";
  for (int i = 0; i < 60'000; ++i) {
    numbers += ",1e20";
  }
  refusal(Endpoint::confirm_calls, R"({"task": "t", "input": {"n": [)" + numbers + "]}}", 413);
}

TEST_CASE("a page of the ledger is asked for by its first entry and its length", "[gateway]") {
  const auto whole = get("/v1/ledger").route();
  REQUIRE(whole);
  CHECK(whole->endpoint == Endpoint::show_ledger);
  CHECK(std::get<ShowLedger>(*request_of(*whole, "", 0)).from == Seq{0});
  CHECK(std::get<ShowLedger>(*request_of(*whole, "", 0)).count == ledger_page_entries_max);
  const auto part = get("/v1/ledger?from=7&count=2").route();
  REQUIRE(part);
  const auto request = request_of(*part, "", 1U << 20U);
  REQUIRE(request);
  CHECK(std::get<ShowLedger>(*request).from == Seq{7});
  CHECK(std::get<ShowLedger>(*request).count == 2);
  for (const char* wrong : {"?count=0", "?count=513", "?from=-1", "?from=x", "?to=3", "?from"}) {
    CHECK(problem_of(get(std::string("/v1/ledger") + wrong).route()).status == 400);
  }
  CHECK(problem_of(post("/v1/ledger").route()).status == 405);
}

TEST_CASE("a session and its explanation come in pages", "[gateway]") {
  const std::string session = "/v1/sessions/8d65b0f2-7c1a-4f0e-9b53-2f1c6a7d9e10/17";
  const auto asked = [](const std::string& target) {
    const auto route = get(target).route();
    REQUIRE(route);
    return *request_of(*route, "", 0);
  };
  const auto whole = std::get<ShowSession>(asked(session)).page;
  CHECK(whole.first == 0);
  CHECK(whole.count == session_page_steps_max);
  const auto part = std::get<ShowSession>(asked(session + "?from=512&count=3")).page;
  CHECK(part.first == 512);
  CHECK(part.count == 3);
  const auto told = std::get<ShowExplanation>(asked(session + "/explanation?count=1&from=9")).page;
  CHECK(told.first == 9);
  CHECK(told.count == 1);
  CHECK(std::get<ShowSession>(asked(session + "?from=4294967295")).page.first == 4294967295U);
  for (const char* wrong : {"?count=513", "?from=4294967296", "?from=1&from=2", "?steps=1"}) {
    CHECK(problem_of(get(session + wrong).route()).status == 400);
  }
  CHECK(problem_of(get(session + "/predictions?from=1").route()).status == 400);
}

TEST_CASE("an audit's body is optional and its members are bounded", "[gateway]") {
  REQUIRE(post("/v1/audits").route());
  CHECK(post("/v1/audits").route()->endpoint == Endpoint::start_audit);
  CHECK(problem_of(get("/v1/audits").route()).status == 405);
  const auto empty = read(Endpoint::start_audit, "");
  REQUIRE(empty);
  CHECK(std::get<StartAudit>(*empty).sample == 0);
  const auto full =
      read(Endpoint::start_audit, R"({"sample":5,"seed":9,"sizes":[1,4],"deadline_ms":1500})");
  REQUIRE(full);
  const auto& audit = std::get<StartAudit>(*full);
  CHECK(audit.sample == 5);
  CHECK(audit.seed == std::uint64_t{9});
  CHECK(audit.sizes == std::vector<std::uint64_t>{1, 4});
  CHECK(audit.deadline == std::chrono::milliseconds(1500));
  refusal(Endpoint::start_audit, R"({"sample":10001})");
  refusal(Endpoint::start_audit, R"({"sample":-1})");
  refusal(Endpoint::start_audit, R"({"sizes":[1.5]})");
  refusal(Endpoint::start_audit, R"({"deadline_ms":240001})");
  refusal(Endpoint::start_audit, R"({"samples":1})");
}
