// Teaching over HTTP: the path, its bodies and what is refused.
#include <catch2/catch.hpp>

#include "gateway/routes.hpp"
#include "speculation/history.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

constexpr std::size_t body_bytes_max = 1U << 20U;

tl::expected<Route, Problem> route(const char* method, std::uint64_t bytes,
                                   std::vector<Header> more = {}) {
  std::vector<Header> headers = {{"Host", "localhost"}, {"Content-Type", "application/json"}};
  headers.insert(headers.end(), more.begin(), more.end());
  RequestHead head{.method = method, .target = "/v1/history", .headers = headers};
  head.content_length = bytes;
  return route_of(head, {});
}

tl::expected<ClientRequestBody, Problem> read(const std::string& body) {
  Route route;
  route.endpoint = Endpoint::learn_history;
  return request_of(route, body, body_bytes_max);
}

std::string session(const std::string& name, const std::string& steps) {
  return R"({"session":")" + name + R"(","steps":[)" + steps + "]}";
}

std::string refusal(const std::string& body, unsigned status = 400) {
  const auto request = read(body);
  REQUIRE_FALSE(request);
  CHECK(request.error().status == status);
  return request.error().detail;
}

constexpr const char* step = R"({"task":"a","input":{"x":1},"output":1})";

}  // namespace

TEST_CASE("history is taught by POST and forgotten by DELETE", "[gateway]") {
  CHECK(route("POST", 10)->endpoint == Endpoint::learn_history);
  CHECK(route("DELETE", 0)->endpoint == Endpoint::forget_history);
  CHECK(route("GET", 0).error().allow == "POST, DELETE");
  CHECK(route("DELETE", 10).error().status == 400);
  CHECK(route("POST", body_bytes_max + 1).error().status == 413);
  // A session's name is its key.
  CHECK_THAT(route("POST", 10, {{"Idempotency-Key", "k"}}).error().detail,
             Contains("Idempotency-Key"));
  Route forget;
  forget.endpoint = Endpoint::forget_history;
  CHECK(std::holds_alternative<ForgetHistory>(*request_of(forget, "", body_bytes_max)));
}

TEST_CASE("sessions are taught in the form of trace lines", "[gateway]") {
  const auto request =
      read(R"({"sessions":[)" + session("one", std::string(step) + "," + step) + "," +
           R"({"group":"g","session":"two","context":null,"steps":[{"task":"b","input":{}}]}]})");
  REQUIRE(request);
  const auto& history = std::get<LearnHistory>(*request);
  REQUIRE(history.sessions.size() == 2);
  CHECK(history.sessions[0].name == "one");
  CHECK(history.sessions[0].steps == 2);
  CHECK(parse_history_text(history.sessions[0].text)->steps.size() == 2);
  CHECK(history.sessions[1].text ==
        R"({"context":"","session":"two","steps":[{"input":{},"task":"b"}]})");
}

TEST_CASE("what cannot be taught is refused whole, naming session and step", "[gateway]") {
  CHECK_THAT(refusal("{}"), Contains("expected a list of 1 to 256 sessions"));
  CHECK_THAT(refusal(R"({"sessions":[]})"), Contains("expected a list"));
  CHECK_THAT(refusal(R"({"sessions":[],"more":1})"), Contains("member \"more\": unknown"));
  CHECK_THAT(refusal(R"({"sessions":[)" + session("good", step) + R"(,{"steps":[]}]})"),
             Contains("history: session 1: member \"session\": missing"));
  CHECK_THAT(refusal(R"({"sessions":[)" + session("good", step) + "," +
                     session("bad", std::string(step) + R"(,{"task":"","input":{}})") + "]}"),
             Contains("history: session \"bad\": step 1: member \"task\": empty"));
  std::string many;
  for (std::size_t i = 0; i <= history_sessions_per_request_max; ++i) {
    many += (i == 0 ? "" : ",") + session("s" + std::to_string(i), step);
  }
  CHECK_THAT(refusal(R"({"sessions":[)" + many + "]}", 413), Contains("257 sessions"));
}

TEST_CASE("a taught document may be as deep as any other, and no deeper", "[gateway]") {
  const auto body = [](std::size_t depth) {
    return R"({"sessions":[)" +
           session("s", R"({"task":"a","input":{},"output":)" + std::string(depth, '[') +
                            std::string(depth, ']') + "}") +
           "]}";
  };
  CHECK(read(body(json::depth_max)));
  CHECK_THAT(refusal(body(json::depth_max + 1), 413),
             Contains("nested deeper than") || Contains("depth"));
}
