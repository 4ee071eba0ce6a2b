#include "backtest/run_simulate.hpp"

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "base/json.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

struct Folder {
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(directory.path() / name, std::ios::binary) << text;
    return (directory.path() / name).string();
  }
  test::TempDirectory directory;
};

/// Sessions of three calls, always the same, with times that are not recorded.
std::string traces(std::size_t count, const std::string& task = "look") {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += R"({"session":"s)" + std::to_string(i) + R"(","steps":[)";
    for (int k = 0; k < 3; ++k) {
      text += std::string(k == 0 ? "" : ",") + R"({"task":")" + task + std::to_string(k) +
              R"(","input":{"n":)" + std::to_string(k) + R"(},"output":"done"})";
    }
    text += "]}\n";
  }
  return text;
}

struct Ran {
  std::string out, progress;
};

Ran ran(const SimulateSettings& settings) {
  std::ostringstream out;
  std::ostringstream progress;
  const auto result = run_simulate(settings, out, progress);
  INFO((result ? "" : result.error().message));
  REQUIRE(result.has_value());
  return {out.str(), progress.str()};
}

json::Value ran_json(SimulateSettings settings) {
  settings.is_json = true;
  auto value = json::parse(ran(settings).out);
  REQUIRE(value.has_value());
  return std::move(*value);
}

std::string refused(const SimulateSettings& settings) {
  std::ostringstream out;
  std::ostringstream progress;
  const auto result = run_simulate(settings, out, progress);
  REQUIRE_FALSE(result.has_value());
  CHECK(out.str().empty());
  return result.error().message;
}

double number(const json::Value& value, const char* member) {
  const json::Value* found = value.find(member);
  REQUIRE(found != nullptr);
  REQUIRE(found->number() != nullptr);
  return *found->number();
}

}  // namespace

TEST_CASE("the report says what it is an upper bound of", "[simulate]") {
  const Folder folder;
  SimulateSettings settings;
  settings.traces = {folder.write("a.jsonl", traces(30))};
  CHECK_THAT(ran(settings).out,
             Catch::StartsWith("upper bound: every task taken as one that only reads; recorded "
                               "sessions: a.jsonl; tool to think time ") &&
                 Contains("; modelled times") && Contains("30 sessions, 90 steps") &&
                 Contains("95 % interval"));
  settings.read_only = "look*";
  CHECK_THAT(ran(settings).out, Catch::StartsWith("recorded sessions: a.jsonl"));
  settings.traces = {folder.write("few.jsonl", traces(3))};
  CHECK_THAT(ran(settings).out, Contains("from 20 sessions on"));
}

TEST_CASE("the report's JSON has every member that is promised", "[simulate]") {
  const Folder folder;
  SimulateSettings settings;
  settings.traces = {folder.write("a.jsonl", traces(30))};
  settings.sweep = true;
  const json::Value value = ran_json(settings);
  for (const char* member :
       {"sessions", "steps", "serial_s", "actual_s", "saved_ratio", "oracle_saved_ratio",
        "waste_ratio", "budget", "launched", "hits", "late_hits", "next_task_top1",
        "next_task_top3", "exact_call_top1", "exact_call_top3", "brier", "ece", "sent_away"}) {
    CHECK(number(value, member) >= 0);
  }
  REQUIRE(value.find("reliability")->array() != nullptr);
  for (const json::Value& bin : *value.find("reliability")->array()) {
    CHECK(number(bin, "p") <= 1);
    CHECK(number(bin, "n") > 0);
    CHECK(number(bin, "hit") <= 1);
  }
  REQUIRE(value.find("sweep")->array()->size() == 7);
  double ratio = 0.125;
  for (const json::Value& row : *value.find("sweep")->array()) {
    CHECK(number(row, "ratio") == ratio);
    CHECK(number(row, "saved_ratio") <= number(row, "oracle_saved_ratio"));
    CHECK(number(row, "waste_ratio") <= 0.15);
    ratio *= 2;
  }
}

TEST_CASE("perfect prediction can be left out", "[simulate]") {
  const Folder folder;
  SimulateSettings settings;
  settings.traces = {folder.write("a.jsonl", traces(30))};
  const json::Value whole = ran_json(settings);
  settings.has_oracle = false;
  const json::Value without = ran_json(settings);
  CHECK(without.find("oracle_saved_ratio")->is_null());
  CHECK(number(without, "saved_ratio") == number(whole, "saved_ratio"));
}

TEST_CASE("time models fill only what was not recorded", "[simulate]") {
  const Folder folder;
  SimulateSettings settings;
  settings.traces = {folder.write(
      "a.jsonl",
      R"({"session":"s","steps":[{"task":"a","input":{},"output":1,"latency_ms":700,"think_ms":40},)"
      R"({"task":"b","input":{},"output":1}]})")};
  settings.think = "constant:250";
  settings.tool = "constant:1000";
  CHECK(number(ran_json(settings), "serial_s") == Approx(0.7 + 0.04 + 1 + 0.25));
  CHECK_THAT(ran(settings).out, Contains("tool to think time 5.86 : 1"));
}

TEST_CASE("a task reads only if it does in every file", "[simulate]") {
  const Folder folder;
  SimulateSettings settings;
  const std::string list =
      folder.write("list.json", R"({"a": ["*"], "b": ["look0", "look1"], "c": []})");
  settings.read_only = list;
  settings.traces = {folder.write("a.jsonl", traces(30))};
  CHECK(number(ran_json(settings), "launched") > 0);
  settings.traces.emplace_back(folder.write("c.jsonl", traces(30)));
  CHECK(number(ran_json(settings), "launched") == 0);
  CHECK(number(ran_json(settings), "sessions") == 60);  // Of equal names.
  settings.traces.push_back(settings.traces.back());
  CHECK_THAT(refused(settings), Contains("was read already, expected each file once"));
}

TEST_CASE("agents' logs are simulated, and what was left out is said", "[simulate]") {
  const Folder folder;
  SimulateSettings settings;
  settings.format = "openai-messages";
  settings.traces = {folder.write(
      "chat.jsonl",
      R"({"messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},)"
      R"({"id":"b","function":{"name":"f","arguments":"{"}}]},{"role":"tool","tool_call_id":"a","content":"1"}]})")};
  CHECK_THAT(ran(settings).out, Contains("1 calls without readable arguments left out") &&
                                    Contains("1 sessions, 1 steps"));
  settings.traces = {folder.write("talk.jsonl", R"({"messages":[]})")};
  CHECK_THAT(refused(settings), Contains("talk.jsonl: no conversation has a tool call"));
  settings.format = "otel-genai";
  settings.traces = {folder.write(
      "spans.json",
      R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"t","startTimeUnixNano":"1","endTimeUnixNano":"2",)"
      R"("attributes":[{"key":"gen_ai.tool.name","value":{"stringValue":"f"}}]}]}]}]})")};
  CHECK_THAT(refused(settings), Contains("gen_ai.tool.call.arguments is missing in all of 1"));
}

TEST_CASE("what would say nothing, or could not be kept, is refused before anything runs",
          "[simulate]") {
  const Folder folder;
  SimulateSettings settings;
  settings.traces = {folder.write("x.jsonl", traces(30))};
  settings.read_only = "nosuch*";
  CHECK_THAT(refused(settings),
             Contains("\"nosuch*\" names none of the ") && Contains("a pattern with * in it"));
  settings.read_only = "";
  settings.html = folder.directory.path() / "nowhere" / "page.html";
  CHECK_THAT(refused(settings), Contains("page.html: cannot be written"));
  settings.html = folder.directory.path();
  CHECK_THAT(refused(settings), Contains("cannot be written"));
}

TEST_CASE("the page stands alone and escapes what it shows", "[simulate]") {
  const Folder folder;
  SimulateSettings settings;
  settings.traces = {folder.write("<b>&\"x.jsonl", traces(30))};
  settings.html = folder.directory.path() / "page.html";
  const Ran result = ran(settings);
  CHECK_THAT(result.progress, Contains("waste budget 0.4") && Contains("time 1/8 : 1"));
  std::ifstream in(settings.html, std::ios::binary);
  const std::string page{std::istreambuf_iterator<char>(in), {}};
  CHECK_THAT(page, Contains("&lt;b&gt;&amp;&quot;x.jsonl") && !Contains("<b>&\"x"));
  CHECK_THAT(page, Contains("prefers-color-scheme:dark"));
  for (const char* outside : {"http:", "https:", "<script", "<link", "src=", "url(", "@import"}) {
    CHECK_THAT(page, !Contains(outside));
  }
  for (const char* curve : {"aria-label=\"time saved against waste\"", "aria-label=\"reliability\"",
                            "aria-label=\"saved, perfect and wasted"}) {
    CHECK_THAT(page, Contains(curve));
  }
  CHECK_THAT(page, !Contains("nan") && !Contains("inf\""));
  // What it shows is explained, and under which settings.
  for (const char* told :
       {"<dt>Waste budget</dt><dd>15.0&nbsp;%", "<dt>Policy</dt><dd><b>value</b>",
        "<dt>Seed</dt><dd>1:", "16 worker slots", "30 sessions with", "<dt>Calibration error</dt>",
        "<dt>Perfect prediction</dt>", "<dt>Upper bound</dt>", ">40&nbsp;%</text>",
        "@media print"}) {
    CHECK_THAT(page, Contains(told));
  }
  CHECK_FALSE(std::filesystem::exists(settings.html.string() + ".part"));
  settings.html = folder.directory.path() / "none" / "page.html";
  CHECK_THAT(refused(settings), Contains("page.html: cannot be written"));
}

TEST_CASE("a wrong setting is refused by flag and range", "[simulate]") {
  const Folder folder;
  SimulateSettings good;
  good.traces = {folder.write("a.jsonl", traces(3))};
  const auto with = [&good](auto change) {
    SimulateSettings settings = good;
    change(settings);
    return refused(settings);
  };
  CHECK_THAT(with([](auto& s) { s.slots = 0; }), Contains("--slots: 0, expected 1 to 4096"));
  CHECK_THAT(with([](auto& s) { s.concurrency = 0; }),
             Contains("--concurrency: 0, expected 1 to 10000"));
  CHECK_THAT(with([](auto& s) { s.depth = 65; }), Contains("--depth: 65, expected 1 to 64"));
  CHECK_THAT(with([](auto& s) { s.budget = 1.5; }), Contains("--budget: 1.5"));
  CHECK_THAT(with([](auto& s) { s.train_share = -1; }), Contains("--train-share: -1"));
  CHECK_THAT(with([](auto& s) { s.policy = "best"; }), Contains("--policy: \"best\""));
  CHECK_THAT(with([](auto& s) { s.format = "csv"; }), Contains("--format: \"csv\""));
  CHECK_THAT(with([](auto& s) { s.think = "1s"; }), Contains("--think-ms: \"1s\""));
  CHECK_THAT(with([](auto& s) { s.tool = "constant:"; }), Contains("--tool-ms: \"constant:\""));
  CHECK_THAT(with([](auto& s) { s.traces = {"/nowhere"}; }), Contains("/nowhere: No such file"));
  CHECK_THAT(with([](auto& s) { s.costs = "/nowhere"; }), Contains("/nowhere"));
  CHECK_THAT(with([](auto& s) { s.train = "/nowhere"; }), Contains("/nowhere"));
  CHECK_THAT(with([](auto& s) { s.read_only = "a,,b"; }), Contains("empty pattern"));
  CHECK_THAT(with([&folder](auto& s) { s.traces = {folder.write("none.jsonl", "\n")}; }),
             Contains("none.jsonl: no session with a step"));
}
