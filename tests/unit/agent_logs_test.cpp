#include "files/agent_logs.hpp"

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/temp_directory.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

struct File {
  explicit File(const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
  test::TempDirectory directory;
  std::filesystem::path path = directory.path() / "log.jsonl";
};

AgentLogs messages(const std::string& text) {
  auto logs = read_openai_messages(File(text).path);
  INFO((logs ? "" : logs.error().message));
  REQUIRE(logs.has_value());
  return std::move(*logs);
}

std::string refused_messages(const std::string& text, const TraceLimits& limits = {}) {
  const auto logs = read_openai_messages(File(text).path, limits);
  REQUIRE_FALSE(logs.has_value());
  return logs.error().message;
}

AgentLogs spans(const std::string& text) {
  auto logs = read_otel_genai(File(text).path);
  INFO((logs ? "" : logs.error().message));
  REQUIRE(logs.has_value());
  return std::move(*logs);
}

std::string refused_spans(const std::string& text) {
  const auto logs = read_otel_genai(File(text).path);
  REQUIRE_FALSE(logs.has_value());
  return logs.error().message;
}

std::string call(const std::string& id, const std::string& name, const std::string& arguments) {
  return R"({"id":")" + id + R"(","type":"function","function":{"name":")" + name +
         R"(","arguments":)" + arguments + "}}";
}

std::string calling(const std::string& calls) {
  return R"({"role":"assistant","content":"wait","tool_calls":[)" + calls + "]}";
}

std::string returned(const std::string& id, const std::string& content) {
  return R"({"role":"tool","tool_call_id":")" + id + R"(","content":)" + content + "}";
}

/// An attribute with a text.
std::string text(const std::string& key, const std::string& value) {
  return R"({"key":")" + key + R"(","value":{"stringValue":)" +
         json::canonical(json::Value(value)) + "}}";
}

std::string span(const std::string& id, const std::string& parent, std::uint64_t start_ms,
                 std::uint64_t end_ms, const std::string& attributes,
                 const std::string& trace = "t1") {
  const auto nanoseconds = [](std::uint64_t ms) {
    return "\"" + std::to_string(1'700'000'000'000'000'000 + ms * 1'000'000) + "\"";
  };
  return R"({"traceId":")" + trace + R"(","spanId":")" + id + R"(","parentSpanId":")" + parent +
         R"(","startTimeUnixNano":)" + nanoseconds(start_ms) + R"(,"endTimeUnixNano":)" +
         nanoseconds(end_ms) + R"(,"attributes":[)" + attributes + "]}";
}

std::string tool(const std::string& name, const std::string& arguments, const std::string& result) {
  return text("gen_ai.operation.name", "execute_tool") + "," + text("gen_ai.tool.name", name) +
         "," + text("gen_ai.tool.call.arguments", arguments) + "," +
         text("gen_ai.tool.call.result", result);
}

std::string document(const std::string& list) {
  return R"({"resourceSpans":[{"scopeSpans":[{"spans":[)" + list + "]}]}]}";
}

}  // namespace

TEST_CASE("a conversation becomes a session with its texts and calls", "[agent_logs]") {
  const AgentLogs logs = messages(
      R"({"id":"c1","group":"g","messages":[{"role":"system","content":"Be kind."},)"
      R"({"role":"user","content":[{"type":"text","text":"Order A-1?"},{"type":"image_url"}]},)" +
      calling(call("x", "find", R"("{\"id\":\"A-1\"}")") + "," + call("y", "now", R"("")")) + "," +
      returned("y", R"("noon")") + "," + returned("x", R"("{\"open\":true}")") +
      R"(,{"role":"assistant","content":"It is open."},{"role":"user","content":"Close it."},)" +
      calling(call("x", "close", R"({"id":"A-1"})")) + "," + returned("x", "null") + "]}\n");
  CHECK(logs.unanswered == 0);
  CHECK(logs.unreadable == 0);
  REQUIRE(logs.sessions.size() == 1);
  const TraceSession& session = logs.sessions.front();
  CHECK(session.name == "c1");
  CHECK(session.group == "g");
  CHECK(session.context == "Be kind.");
  REQUIRE(session.steps.size() == 3);
  CHECK(session.steps[0].call.canonical() == R"({"input":{"id":"A-1"},"task":"find"})");
  CHECK(json::canonical(session.steps[0].output) == R"({"open":true})");
  CHECK(session.steps[0].texts == std::vector<std::string>{"Order A-1?"});
  CHECK_FALSE(session.steps[0].beside_previous);
  CHECK(session.steps[1].call.canonical() == R"({"input":{},"task":"now"})");
  CHECK(session.steps[1].output == json::Value("noon"));
  CHECK(session.steps[1].beside_previous);
  CHECK(session.steps[2].texts == std::vector<std::string>{"It is open.", "Close it."});
  CHECK_FALSE(session.steps[2].beside_previous);
  CHECK_FALSE(session.steps[2].latency.has_value());
}

TEST_CASE("a conversation may stand alone, in a list, and over many lines", "[agent_logs]") {
  const std::string talk = "[{\"role\":\"user\",\n\"content\":\"Go.\"},\n\n" +
                           calling(call("x", "f", R"({"n":1})")) + ",\n" + returned("x", "\"7\"") +
                           "]";
  const auto in_one_line = [](std::string text) {
    std::erase(text, '\n');
    return text;
  };
  const std::string object = "{\n\"messages\": " + talk + ",\"group\":\"g\"}\n";
  for (const std::string& form :
       {talk, object, "\n[\n" + object + "]", "[" + talk + "]", in_one_line(talk),
        in_one_line(object), in_one_line("[" + talk + "]")}) {
    const AgentLogs logs = messages(form);
    INFO(form);
    REQUIRE(logs.sessions.size() == 1);
    const TraceSession& session = logs.sessions[0];
    REQUIRE(session.steps.size() == 1);
    CHECK(session.steps[0].call.canonical() == R"({"input":{"n":1},"task":"f"})");
    CHECK(session.steps[0].texts == std::vector<std::string>{"Go."});
    CHECK(session.steps[0].output == json::Value(7));
    CHECK((session.group == "g") == (form.find("group") != std::string::npos));
  }
  const AgentLogs many = messages("[" + talk + ",\n{\"id\":\"named\",\"messages\":" + talk + "}]");
  REQUIRE(many.sessions.size() == 2);
  CHECK(many.sessions[0].name == "conversation 0");
  CHECK(many.sessions[1].name == "named");
  const AgentLogs lines =
      messages(in_one_line(talk) + "\n" + in_one_line("[" + talk + "," + talk + "]") + "\n");
  REQUIRE(lines.sessions.size() == 3);
  CHECK(lines.sessions[0].name == "line 1");
  CHECK(lines.sessions[2].name == "line 2, conversation 1");
  CHECK(messages("[]").sessions.empty());
  CHECK(messages("\n \n").sessions.empty());
}

TEST_CASE("the older form of a function call is read too", "[agent_logs]") {
  const AgentLogs logs = messages(
      R"({"messages":[{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},)"
      R"({"role":"function","name":"f","content":"7"}]})");
  REQUIRE(logs.sessions.size() == 1);
  CHECK(logs.sessions[0].name == "line 1");
  REQUIRE(logs.sessions[0].steps.size() == 1);
  CHECK(logs.sessions[0].steps[0].output == json::Value(7));
}

TEST_CASE("a call without a result or readable arguments is left out and counted, its texts stay",
          "[agent_logs]") {
  const AgentLogs logs =
      messages(R"({"messages":[{"role":"user","content":"go"},)" +
               calling(call("a", "f", R"("{\"n\":")") + "," + call("b", "f", R"("{\"n\":1}")") +
                       "," + call("c", "f", R"("{}")")) +
               "," + returned("a", R"("1")") + "," + returned("b", R"("2")") + "]}\n\n" +
               R"({"messages":[{"role":"user","content":"only talk"}]})");
  CHECK(logs.unreadable == 1);
  CHECK(logs.unanswered == 1);
  REQUIRE(logs.sessions.size() == 1);
  REQUIRE(logs.sessions[0].steps.size() == 1);
  CHECK(logs.sessions[0].steps[0].texts == std::vector<std::string>{"go"});
  CHECK_FALSE(logs.sessions[0].steps[0].beside_previous);
}

TEST_CASE("a wrong conversation is refused by line, message and what was expected",
          "[agent_logs]") {
  CHECK_THAT(refused_messages("\n{\"messages\":"), Contains("log.jsonl:2: "));
  CHECK_THAT(refused_messages(R"({"message":[]})"),
             Contains("log.jsonl:1: messages: nothing, expected a list"));
  CHECK_THAT(refused_messages(R"([{"role":"user","content":7}])"),
             Contains("log.jsonl:1: message 0.content: a number"));
  CHECK_THAT(refused_messages(R"([{"messages":[]},{"role":"user"}])"),
             Contains("log.jsonl:1: conversation 1: messages: nothing, expected a list"));
  CHECK_THAT(refused_messages("[7]"),
             Contains("log.jsonl:1: conversation 0: a number, expected a conversation: a list"));
  CHECK_THAT(refused_messages("\"hello\""), Contains("log.jsonl:1: a text, expected a conv"));
  CHECK_THAT(refused_messages("[\n  {\"messages\": [],\n   \"id\": }\n]\n"),
             Contains("log.jsonl:1: json: byte 1") &&
                 Contains("read as one document over all lines: line 3: json: byte 30") &&
                 Contains("expected JSON Lines or one JSON document"));
  CHECK_THAT(refused_messages("{\"messages\":[]}\n{\n}\n"), Contains("log.jsonl:2: json: "));
  CHECK_THAT(refused_messages(R"({"messages":[{"content":"x"}]})"),
             Contains("messages[0].role: nothing, expected a text"));
  CHECK_THAT(refused_messages(R"({"messages":[{"role":"robot"}]})"),
             Contains("messages[0].role: \"robot\", expected system"));
  CHECK_THAT(refused_messages(R"({"messages":[{"role":"user","content":7}]})"),
             Contains("messages[0].content: a number"));
  CHECK_THAT(refused_messages(R"({"messages":[{"role":"assistant","tool_calls":{}}]})"),
             Contains("messages[0].tool_calls: an object, expected a list"));
  CHECK_THAT(refused_messages(R"({"messages":[{"role":"assistant","tool_calls":[{}]}]})"),
             Contains("messages[0].tool_calls[0].id: nothing"));
  CHECK_THAT(refused_messages(R"({"messages":[)" + calling(call("a", "", "{}")) + "]}"),
             Contains("messages[0].tool_calls[0].function.name: empty, expected a name"));
  CHECK_THAT(refused_messages(R"({"messages":[)" + returned("a", "1") + "]}"),
             Contains("messages[0].content: a number"));
  CHECK_THAT(refused_messages(R"({"messages":[)" + returned("a", R"("1")") + "]}"),
             Contains("messages[0].tool_call_id: \"a\", expected the call of an earlier message"));
  CHECK_THAT(refused_messages("{\"id\":\"a\",\"messages\":[]}\n{\"id\":\"a\",\"messages\":[]}"),
             Contains("log.jsonl:2: \"a\" is an earlier conversation's name"));
  TraceLimits one_step;
  one_step.steps_per_session = 1;
  CHECK_THAT(refused_messages(R"({"messages":[)" +
                                  calling(call("a", "f", "{}") + "," + call("b", "f", "{}")) + "," +
                                  returned("a", R"("1")") + "," + returned("b", R"("1")") + "]}",
                              one_step),
             Contains("2 calls, expected at most 1"));
}

TEST_CASE("tool spans become steps with their times", "[agent_logs]") {
  const std::string said = R"([{"role":"user","parts":[{"type":"text","content":"Find A."}]},)"
                           R"({"role":"assistant","parts":[{"type":"text","content":"ok"}]}])";
  const std::string more = R"([{"role":"user","parts":[{"type":"text","content":"Find A."}]},)"
                           R"({"role":"user","parts":[{"type":"text","content":"And B."}]}])";
  const std::string list =
      span("root", "", 0, 9000, text("gen_ai.conversation.id", "c7")) + "," +
      span("m1", "root", 100, 500, text("gen_ai.input.messages", said)) + "," +
      span("a", "root", 600, 900, tool("find", R"({"id":"A"})", R"({"n":1})")) + "," +
      // Together with the one before.
      span("b", "root", 700, 800, tool("now", "", "noon")) + "," +
      // Inside a tool: its doing.
      span("a1", "a", 650, 700, tool("inner", "{}", "1")) + "," +
      // The user took two seconds; that is no thinking.
      span("m2", "root", 3000, 3400, text("gen_ai.input.messages", more)) + "," +
      span("c", "root", 3500, 4000, tool("find", R"({"id":"B"})", R"({"n":2})")) + "," +
      span("d", "root", 4100, 4200,
           text("gen_ai.tool.name", "count") +
               R"(,{"key":"gen_ai.tool.call.arguments","value":{"kvlistValue":{"values":[)"
               R"({"key":"n","value":{"intValue":"3"}},{"key":"l","value":{"arrayValue":{"values":)"
               R"([{"boolValue":true}]}}}]}}})");
  for (const std::string& form :
       {document(list), "{\n" + document(list).substr(1), "[" + document(list) + "]",
        document(span("late", "", 90'000, 90'001, tool("find", "{}", "1"), "t2")) + "\n" +
            document(list)}) {
    const AgentLogs logs = spans(form);
    REQUIRE(logs.sessions.size() == (form.find("late") == std::string::npos ? 1 : 2));
    const TraceSession& session = logs.sessions.front();
    CHECK(session.name == "c7");
    REQUIRE(session.steps.size() == 4);
    CHECK(session.steps[0].call.canonical() == R"({"input":{"id":"A"},"task":"find"})");
    CHECK(json::canonical(session.steps[0].output) == R"({"n":1})");
    CHECK(session.steps[0].texts == std::vector<std::string>{"Find A."});
    CHECK(session.steps[0].latency == std::chrono::milliseconds(300));
    CHECK(session.steps[0].think == std::chrono::milliseconds(500));
    CHECK(session.steps[1].beside_previous);
    CHECK(session.steps[1].think == Duration(0));
    CHECK(session.steps[1].output == json::Value("noon"));
    CHECK(session.steps[2].texts == std::vector<std::string>{"And B."});
    CHECK(session.steps[2].think == std::chrono::milliseconds(500));
    CHECK(session.steps[3].think == std::chrono::milliseconds(100));
    CHECK(session.steps[3].call.canonical() == R"({"input":{"l":[true],"n":3},"task":"count"})");
    CHECK(session.steps[3].output.is_null());
  }
}

TEST_CASE("tool spans without arguments are counted, not guessed", "[agent_logs]") {
  const AgentLogs logs = spans(document(span("a", "", 0, 1, text("gen_ai.tool.name", "find"))));
  CHECK(logs.sessions.empty());
  CHECK(logs.unreadable == 1);
}

TEST_CASE("a wrong span is refused by place and what was expected", "[agent_logs]") {
  CHECK_THAT(refused_spans("{\"spans\":[]}"), Contains("log.jsonl:1: resourceSpans: nothing"));
  CHECK_THAT(refused_spans("{\n\"resourceSpans\": ["),
             Contains("log.jsonl:1: ") && Contains("line 3: "));
  CHECK_THAT(refused_spans("[{}]"), Contains("log.jsonl:1: [0]: resourceSpans: nothing"));
  CHECK_THAT(refused_spans(document("") + "\n{"), Contains("log.jsonl:2: "));
  CHECK_THAT(refused_spans(document(R"({"spanId":"a"})")), Contains("span 0: traceId: nothing"));
  CHECK_THAT(
      refused_spans(document(R"({"traceId":"t","startTimeUnixNano":-5,"endTimeUnixNano":"6"})")),
      Contains("startTimeUnixNano: a number, expected nanoseconds, as a text of digits or a"));
  CHECK_THAT(
      refused_spans(document(R"({"traceId":"t","startTimeUnixNano":"5","endTimeUnixNano":"x"})")),
      Contains("endTimeUnixNano: \"x\""));
  CHECK_THAT(refused_spans(document(span("a", "", 5, 4, ""))),
             Contains("span 0: endTimeUnixNano: -1000 us after the start, expected 0 to"));
  CHECK_THAT(refused_spans(document(span("a", "", 0, 1, text("gen_ai.tool.name", "")))),
             Contains("gen_ai.tool.name: empty"));
}
