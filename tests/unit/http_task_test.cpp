#include <catch2/catch.hpp>

#include "node/executors/event_stream.hpp"
#include "node/executors/http_answer.hpp"
#include "node/executors/http_request.hpp"
#include "node/executors/http_retry.hpp"
#include "tests/support/started_run.hpp"

using namespace forerun;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

json::Object object(std::string_view text) {
  return *json::parse(text)->object();
}

Task asking(HttpSettings settings, Effect effect = Effect::read) {
  Task task;
  task.name = "score";
  task.executor = ExecutorKind::http;
  task.effect = effect;
  task.http = std::move(settings);
  return task;
}

Result<std::string> known_value(const TemplatePart& part) {
  if (part.text == "KEY") {
    return std::string("sk-0123456789");
  }
  return fail(Errc::refused, shown(part) + ": not set on this node");
}

Result<TaskRequest> built(const HttpSettings& settings, std::string_view input,
                          Effect effect = Effect::read) {
  Run run = test::run_of(asking(settings, effect), object(input));
  run.state = object(R"({"cart":{"n":2}})");
  run.outside_key = "k1";
  return http_request_of(run, known_value);
}

std::string header(const HttpRequest& request, std::string_view name) {
  for (const auto& [known, value] : request.headers) {
    if (known == name) {
      return value;
    }
  }
  return "none";
}

HttpHead head(int status, std::string type = "application/json") {
  return {.status = status, .content_type = std::move(type), .retry_after = {}, .redirect = {}};
}

Result<json::Value> read(const HttpSettings& settings, const HttpHead& of, std::string_view body,
                         std::size_t at_once = 7) {
  HttpAnswerReader reader(settings);
  for (std::size_t at = 0; at < body.size(); at += at_once) {
    if (!reader.take(of, body.substr(at, at_once))) {
      break;
    }
  }
  return reader.finish(of);
}

std::string cause(const Result<json::Value>& answer) {
  return answer ? "none: " + json::canonical(*answer) : answer.error().message;
}

}  // namespace

// ---- what is sent

TEST_CASE("without a template the input is the body, and a GET has none", "[http]") {
  const auto post = built({.url = "http://h/score"}, R"({"b":1,"a":"x"})");
  REQUIRE(post);
  CHECK(post->request.method == "POST");
  CHECK(post->request.url == "http://h/score");
  CHECK(post->request.body == R"({"a":"x","b":1})");
  CHECK(post->request.may_be_repeated);
  CHECK(header(post->request, "Accept") == "application/json");
  CHECK(header(post->request, "Idempotency-Key") == "none");
  const auto get = built({.url = "http://h/score", .method = "GET"}, R"({"a":1})");
  CHECK_FALSE(get->request.body);
}

TEST_CASE("a text that is one place gets the value, a longer one its text", "[http]") {
  HttpSettings settings{.url = "http://h/"};
  settings.body = *json::parse(
      R"({"all":"${input:}","n":"${input:/n}","line":"n is ${input:/n}, ${input:/list} and ${input:/name}",)"
      R"("cart":["${state:/cart/n}"],"plain":[1,null,true],"dollar":"$${input:/n}"})");
  const auto filled = built(settings, R"({"n":2.5,"list":[1],"name":"a\"b"})");
  REQUIRE(filled);
  CHECK(filled->request.body ==
        R"({"all":{"list":[1],"n":2.5,"name":"a\"b"},"cart":[2],"dollar":"${input:/n}",)"
        R"("line":"n is 2.5, [1] and a\"b","n":2.5,"plain":[1,null,true]})");
}

TEST_CASE("what a call says can change no more of a URL than the segment it stands in", "[http]") {
  const HttpSettings settings{.url = "http://h/orders/${input:/id}?q=${input:/q}", .method = "GET"};
  CHECK(built(settings, R"({"id":"A 17?x#y","q":"a&b=/c"})")->request.url ==
        "http://h/orders/A%2017%3Fx%23y?q=a%26b%3D%2Fc");
  for (const char* id : {R"("..")", R"("a/../b")", R"(".")", R"("a/b")"}) {
    INFO(id);
    const auto refused = built(settings, R"({"q":"","id":)" + std::string(id) + "}");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid);
    CHECK_THAT(refused.error().message, Contains("url: http://h/orders/${input:/id}"));
  }
}

TEST_CASE("an input that lacks a place, or would end a header's line, is refused", "[http]") {
  HttpSettings settings{.url = "http://h/"};
  settings.headers["X-Name"] = "${input:/name}";
  const auto missing = built(settings, "{}");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message ==
        "headers.X-Name: ${input:/name}: there is nothing at this place of the input");
  const auto broken = built(settings, R"({"name":"a\r\nHost: evil"})");
  REQUIRE_FALSE(broken);
  CHECK_THAT(broken.error().message, Contains("headers.X-Name: filled in it is not one line"));
}

TEST_CASE("secrets are taken from the node, and taken out of what is told", "[http]") {
  HttpSettings settings{.url = "http://h/"};
  settings.headers["Authorization"] = "Bearer ${env:KEY}";
  const auto filled = built(settings, "{}");
  REQUIRE(filled);
  CHECK(header(filled->request, "Authorization") == "Bearer sk-0123456789");
  CHECK(filled->secrets == std::vector<std::string>{"sk-0123456789"});
  CHECK(without("bad key sk-0123456789.", filled->node_values) == "bad key ***.");
  CHECK(without(R"(it was "a\"b")", {"a\"b"}) == R"(it was "***")");
  CHECK(without("key acme-0123", {"acme", "acme-0123"}) == "key ***");
  CHECK(without_in_cut("key sk-0123, sk-01", {"sk-0123"}) == "key ***, ***");
  CHECK(without_in_cut("key sk", {"sk-0123"}) == "key sk");
  settings.headers["Authorization"] = "Bearer ${file:absent}";
  const auto missing = built(settings, "{}");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Errc::refused);
  CHECK(missing.error().message == "headers.Authorization: ${file:absent}: not set on this node");
}

TEST_CASE("a write carries its key for the outside and needs a connection of its own", "[http]") {
  const auto write = built({.url = "http://h/"}, "{}", Effect::write);
  CHECK(header(write->request, "Idempotency-Key") == "k1");
  CHECK_FALSE(write->request.may_be_repeated);
}

// ---- what comes back

TEST_CASE("a pointer picks the output, which may be JSON within a text", "[http]") {
  HttpSettings settings;
  CHECK(json::canonical(*read(settings, head(200), R"({ "a": 1 })")) == R"({"a":1})");
  settings.answer = "/list/1";
  CHECK(json::canonical(*read(settings, head(201), R"({"list":[1,{"x":2}]})")) == R"({"x":2})");
  CHECK(cause(read(settings, head(200), R"({"list":[1]})")) ==
        "answer: there is nothing at /list/1");
  settings.answer = "/text";
  settings.answer_is_json = true;
  CHECK(json::canonical(*read(settings, head(200), R"({"text":"{\"ok\":true}"})")) ==
        R"({"ok":true})");
  CHECK_THAT(cause(read(settings, head(200), R"({"text":"{"})")),
             Contains("answer: the text at \"/text\": json: byte"));
  CHECK_THAT(cause(read(settings, head(200), R"({"text":5})")), Contains("is no text"));
  CHECK(json::canonical(*read({}, head(204), "")) == "null");
}

TEST_CASE("an answer that is not one strict JSON document is refused with its cause", "[http]") {
  const auto [body, expected] = GENERATE(table<std::string, std::string>({
      {"<html>", "answer: json: byte"},
      {"", "answer: json: byte 0: found the end"},
      {"{} {}", "answer: json: byte"},
      {"\"\xFF\"", "UTF-8"},
      {"1e999", "out of a double's range"},
      {"[12345678901234567890]", "send it as a string"},
      {std::string(100, '['), "64"},
  }));
  CHECK_THAT(cause(read({}, head(200), body)), Contains(expected));
}

TEST_CASE("an answer above its limit is not read further", "[http]") {
  const HttpSettings settings{.answer_kb = 1};
  HttpAnswerReader reader(settings);
  CHECK(reader.take(head(200), std::string(1024, ' ')));
  CHECK_FALSE(reader.take(head(200), " "));
  CHECK(cause(reader.finish(head(200))) == "answer: larger than 1 KiB, the limit answer_kb");
}

TEST_CASE("another status is told with what the endpoint says of it", "[http]") {
  CHECK(cause(read({}, head(400), R"({"error":{"message":"no such model"}})")) ==
        "status 400: no such model");
  CHECK(cause(read({}, head(500), "\n oh no\nmore")) == "status 500: oh no");
  CHECK(cause(read({}, head(404), "")) == "status 404, expected 2xx");
  HttpHead moved = head(302);
  moved.redirect = "https://other/place?token=x";
  CHECK(cause(read({}, moved, "")) ==
        "status 302 to https://other/place: redirects are not followed, expected the final address "
        "as the task's url");
  HttpSettings settings;
  HttpAnswerReader reader(settings);
  CHECK_FALSE(reader.take(head(500), std::string(100'000, 'x')));
  CHECK(cause(reader.finish(head(500))).size() < 5000);
}

// ---- streams

TEST_CASE("events are taken apart wherever the bytes are cut", "[http]") {
  const std::string_view stream =
      "\xEF\xBB\xBF"
      "data: one\r\n\r\n: a comment\nevent: x\ndata:two\ndata: lines\n\ndata\n\nid: 7\n\ndata: "
      "x\rdata: y\r\r";
  const std::vector<std::string> expected = {"one", "two\nlines", "", "x\ny"};
  for (std::size_t at_once = 1; at_once < stream.size(); ++at_once) {
    EventReader reader;
    std::vector<std::string> events;
    for (std::size_t at = 0; at < stream.size(); at += at_once) {
      for (std::string& event : reader.take(stream.substr(at, at_once))) {
        events.push_back(std::move(event));
      }
    }
    REQUIRE(events == expected);
    REQUIRE_FALSE(reader.is_within_event());
  }
}

TEST_CASE("a streamed chat completion becomes what one piece would have been", "[http]") {
  HttpSettings settings;
  settings.stream = HttpStream::chat;
  const HttpHead streamed = head(200, "text/event-stream; charset=utf-8");
  const std::string body =
      R"(data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}

data: {"id":"c1","choices":[{"index":0,"delta":{"content":"Hel"}},{"index":1,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{\"a\""}}]}}]}

data: {"id":"c1","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}

data: {"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":"tool_calls"}],"usage":null}

data: {"choices":[],"usage":{"total_tokens":9}}

data: [DONE]

)";
  const auto whole = read(settings, streamed, body);
  CHECK(
      cause(whole) ==
      R"(none: {"choices":[{"finish_reason":"stop","index":0,"message":{"content":"Hello","role":"assistant"}},)"
      R"({"finish_reason":"tool_calls","index":1,"message":{"content":null,"role":"assistant",)"
      R"("tool_calls":[{"function":{"arguments":"{\"a\":1}","name":"f"},"id":"t","type":"function"}]}}],)"
      R"("id":"c1","model":"m","usage":{"total_tokens":9}})");
  settings.answer = "/choices/0/message/content";
  CHECK(cause(read(settings, streamed, body, 1)) == R"(none: "Hello")");
  // An endpoint that does not stream may answer in one piece.
  CHECK(cause(read(settings, head(200), R"({"choices":[{"message":{"content":"Hi"}}]})")) ==
        R"(none: "Hi")");
}

TEST_CASE("a stream that is cut, tells of an error or is no stream is refused", "[http]") {
  HttpSettings settings;
  settings.stream = HttpStream::completions;
  const HttpHead streamed = head(200, "text/event-stream");
  CHECK(cause(read(settings, streamed, "data: {\"choices\":[{\"text\":\"a\"}]}\n\n")) ==
        "stream: it ended before the completion did");
  CHECK(cause(read(settings, streamed, "data: {\"choices\":[{\"text\"")) ==
        "stream: it ended within an event");
  CHECK(cause(read(settings, streamed, "data: {\"error\":{\"message\":\"overloaded\"}}\n\n")) ==
        "stream: the endpoint failed: overloaded");
  CHECK_THAT(cause(read(settings, streamed, "data: nothing\n\n")),
             Contains("stream: an event: json: byte 0"));
  CHECK_THAT(cause(read(settings, streamed, "data: {\"choices\":[{\"index\":1e9}]}\n\n")),
             Contains("a choice without a usable index"));
  CHECK(cause(read(settings, streamed, "")) == "stream: it ended before the completion did");
  CHECK(cause(read(settings, streamed,
                   "data: {\"choices\":[{\"text\":\"ab\",\"finish_reason\":\"stop\"}]}\n\n")) ==
        R"(none: {"choices":[{"finish_reason":"stop","index":0,"text":"ab"}]})");
  std::string many;
  for (int i = 0; i < 300; ++i) {
    many += "data: {\"k" + std::to_string(i) + "\":1}\n\n";
  }
  CHECK(cause(read(settings, streamed, many)) == "stream: more than 256 members");
  settings.stream = HttpStream::events;
  CHECK(cause(read(settings, streamed, "data: 1\n\ndata: {\"a\":2}\n\n")) ==
        R"(none: [1,{"a":2}])");
}

// ---- asking again

TEST_CASE("only what was not taken is sent again, and no write that may not be", "[http]") {
  using End = HttpAttempt::End;
  using What = HttpVerdict::What;
  const auto what = [](Effect effect, bool is_idempotent, End end, int status,
                       std::uint32_t attempt = 1) {
    Task task = asking({.url = "http://h/"}, effect);
    task.idempotent = is_idempotent;
    return verdict_on(task, {.end = end, .head = head(status), .problem = "why"}, attempt, 1min)
        .what;
  };
  for (const Effect effect : {Effect::pure, Effect::read}) {
    CHECK(what(effect, false, End::no_connection, 0) == What::again);
    CHECK(what(effect, false, End::answered, 429) == What::again);
    CHECK(what(effect, false, End::answered, 503, 2) == What::again);
    CHECK(what(effect, false, End::answered, 503, 3) == What::read);
    CHECK(what(effect, false, End::no_connection, 0, 3) == What::failed);
    CHECK(what(effect, false, End::impossible, 0) == What::failed);
    CHECK(what(effect, false, End::broken, 0) == What::failed);
    CHECK(what(effect, false, End::answered, 500) == What::read);
    CHECK(what(effect, false, End::answered, 200) == What::read);
    CHECK(what(effect, false, End::answered, 504) == What::read);
  }
  CHECK(what(Effect::write, false, End::no_connection, 0) == What::failed);
  CHECK(what(Effect::write, false, End::answered, 503) == What::read);
  CHECK(what(Effect::write, true, End::answered, 503) == What::again);
  for (const bool is_idempotent : {false, true}) {
    CHECK(what(Effect::write, is_idempotent, End::broken, 200) == What::unknown);
    CHECK(what(Effect::write, is_idempotent, End::answered, 504) == What::unknown);
    CHECK(what(Effect::write, is_idempotent, End::answered, 400) == What::read);
  }
}

TEST_CASE("a pause is what the endpoint asks for, else it doubles", "[http]") {
  const Task task = asking({.url = "http://h/", .retries = 5});
  HttpAttempt ended{.end = HttpAttempt::End::answered, .head = head(429), .problem = {}};
  CHECK(verdict_on(task, ended, 1, 1min).after == 100ms);
  CHECK(verdict_on(task, ended, 3, 1min).after == 400ms);
  ended.head.retry_after = 7s;
  CHECK(verdict_on(task, ended, 1, 8s).after == 7s);
  ended.head.retry_after = 61s;
  CHECK(verdict_on(task, ended, 1, 2min).what == HttpVerdict::What::read);
}

TEST_CASE("what cannot be sent again before the deadline ends at once", "[http]") {
  using What = HttpVerdict::What;
  const Task task = asking({.url = "http://h/", .retries = 5});
  HttpAttempt ended{.end = HttpAttempt::End::answered, .head = head(503), .problem = {}};
  ended.head.retry_after = 7s;
  CHECK(verdict_on(task, ended, 1, 7001ms).what == What::again);
  const HttpVerdict late = verdict_on(task, ended, 1, 1500ms);
  CHECK(late.what == What::too_late);
  CHECK(late.cause ==
        "status 503: the endpoint asks to wait 7.0 s, and its deadline is in 1.5 s");
  const HttpAttempt unreached{.end = HttpAttempt::End::no_connection, .head = {}, .problem = "why"};
  CHECK(verdict_on(task, unreached, 3, 300ms).cause ==
        "why: to be sent again in 0.4 s, and its deadline is in 0.3 s");
  CHECK(verdict_on(task, unreached, 6, 1ms).what == What::failed);  // Its last attempt anyway.
}
