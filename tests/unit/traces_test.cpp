#include "files/traces.hpp"

#include <zlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>

#include "base/uuid.hpp"
#include "files/trace_writer.hpp"
#include "speculation/protocol.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

/// A file that is gone with its test.
class TemporaryFile {
public:
  explicit TemporaryFile(std::string_view bytes = {}, std::string_view ending = ".jsonl")
      : path_(std::filesystem::temp_directory_path() /
              (to_string(Uuid::random()) + std::string(ending))) {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }
  std::string bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

private:
  std::filesystem::path path_;
};

std::string zipped(const std::string& text) {
  const TemporaryFile file;
  gzFile out = gzopen(file.path().c_str(), "wb");
  gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
  gzclose(out);
  return file.bytes();
}

/// The message of the one problem, without the file's folder.
std::string problem_of(std::string_view bytes, const TraceLimits& limits = {}) {
  const TemporaryFile file(bytes);
  const auto sessions = read_traces(file.path(), limits);
  if (sessions) {
    return "none";
  }
  CHECK_THAT(sessions.error().message, Catch::Matchers::StartsWith(file.path().string() + ":"));
  return sessions.error().message.substr(file.path().string().size());
}

std::string line_with_step(const std::string& step) {
  return R"({"session": "s", "steps": [)" + step + "]}\n";
}

const std::string two_sessions =
    R"({"session": "a", "group": "g", "source": "shop", "context": "Where is my order?",
 "steps": [{"task": "find", "input": {"id": 1}, "output": {"x": [1, null]}, "latency_ms": 12.5, "think_ms": 800,
 "pre": ["hello", "please"], "unknown": 1}, {"task": "find", "input": {}, "output": null, "latency_ms": null, "par": true}],
 "more": {}})";

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text + "\n";
}

}  // namespace

TEST_CASE("a trace gives its sessions and steps, plain or gzipped", "[files]") {
  const std::string text =
      one_line(two_sessions) + "\n" + R"({"session": "b", "context": null, "steps": []})";
  const TemporaryFile plain(text);
  const TemporaryFile packed(zipped(text));  // Told by its bytes, not by its name.
  for (const TemporaryFile* file : {&plain, &packed}) {
    const auto sessions = read_traces(file->path());
    REQUIRE(sessions);
    REQUIRE(sessions->size() == 2);
    const TraceSession& a = sessions->front();
    CHECK(a.name == "a");
    CHECK(a.group == "g");
    CHECK(a.source == "shop");
    CHECK(a.context == "Where is my order?");
    REQUIRE(a.steps.size() == 2);
    CHECK(a.steps[0].call.canonical() == R"({"input":{"id":1},"task":"find"})");
    CHECK(json::canonical(a.steps[0].output) == R"({"x":[1,null]})");
    CHECK(a.steps[0].latency == Duration(12'500));
    CHECK(a.steps[0].think == std::chrono::milliseconds(800));
    CHECK(a.steps[0].texts == std::vector<std::string>{"hello", "please"});
    CHECK_FALSE(a.steps[0].beside_previous);
    CHECK(a.steps[1].output.is_null());
    CHECK_FALSE(a.steps[1].latency);
    CHECK(a.steps[1].beside_previous);
    CHECK(sessions->back().context.empty());
  }
}

TEST_CASE("a broken trace is refused with its file, line and member", "[files]") {
  const std::string good = R"({"session": "ok", "steps": []})"
                           "\n";
  const auto step = [](const std::string& text) { return problem_of(line_with_step(text)); };
  CHECK_THAT(problem_of(good + "[1]\n"), Contains(":2: the line: a list, expected an object"));
  CHECK_THAT(problem_of(good + "{\n"), Contains(":2: json: "));
  CHECK_THAT(problem_of(good + good), Contains(":2: session: \"ok\" is the name of line 1"));
  CHECK_THAT(problem_of(R"({"steps": []})"), Contains(":1: session: nothing, expected a text"));
  CHECK_THAT(problem_of(R"({"session": "", "steps": []})"), Contains(":1: session: empty"));
  CHECK_THAT(problem_of(R"({"session": "s"})"), Contains(":1: steps: nothing, expected a list"));
  CHECK_THAT(problem_of(R"({"session": "s", "context": 1, "steps": []})"),
             Contains("context: a number"));
  CHECK_THAT(problem_of(R"({"session": "s", "session": "t", "steps": []})"),
             Contains("duplicate key"));
  CHECK_THAT(step(R"({"input": {}, "output": 1})"),
             Contains(":1: steps[0].task: nothing, expected a text"));
  CHECK_THAT(step(R"({"task": "t", "input": [], "output": 1})"),
             Contains("steps[0].input: a list, expected an object"));
  CHECK_THAT(step(R"({"task": "t", "input": {}})"), Contains("steps[0].output: nothing"));
  CHECK_THAT(step(R"({"task": "t", "input": {}, "output": 1, "latency_ms": -1})"),
             Contains("steps[0].latency_ms: -1"));
  CHECK_THAT(step(R"({"task": "t", "input": {}, "output": 1, "think_ms": "1"})"),
             Contains("think_ms: a text"));
  CHECK_THAT(step(R"({"task": "t", "input": {}, "output": 1, "think_ms": 1e300})"),
             Contains("think_ms: 1e+300"));
  CHECK_THAT(step(R"({"task": "t", "input": {}, "output": 1, "pre": ["a", 1]})"),
             Contains("steps[0].pre[1]: a number"));
  CHECK_THAT(step(R"({"task": "t", "input": {}, "output": 1, "par": true})"),
             Contains("steps[0].par: true"));
  CHECK_THAT(step(R"({"task": "t", "input": {}, "output": 9007199254740993})"),
             Contains("send it as a string"));
  CHECK(read_traces("/nowhere/traces.jsonl").error().code == Errc::not_found);
  CHECK(read_traces(std::filesystem::temp_directory_path()).error().code == Errc::io);
}

TEST_CASE("a number that JSON lacks is read as a text and counted", "[files]") {
  const std::string step =
      R"({"task": "t", "input": {"a": "x\", NaN]", "b": -Infinity}, "output": [NaN, Infinity ,1, {"k":NaN}]})";
  const TemporaryFile file(line_with_step(step) + R"({"session": "clean", "steps": []})");
  const auto sessions = read_traces(file.path());
  REQUIRE(sessions);
  CHECK(sessions->front().non_numbers == 4);
  CHECK(sessions->back().non_numbers == 0);
  CHECK(sessions->front().steps[0].call.canonical_input() ==
        R"({"a":"x\", NaN]","b":"-Infinity"})");
  CHECK(json::canonical(sessions->front().steps[0].output) ==
        R"(["NaN","Infinity",1,{"k":"NaN"}])");
  for (const char* broken :
       {"Inf", "NaNo", "{NaN: 1}", "[1, NaN", "+Infinity", "[NaN 1]", "[NaN, 9007199254740993]"}) {
    CHECK(problem_of(line_with_step(R"({"task": "t", "input": {}, "output": )" +
                                    std::string(broken) + "}")) != "none");
  }
}

TEST_CASE("a gzipped trace that was cut or damaged is refused, never read in part", "[files]") {
  std::string text;
  for (int i = 0; i < 5000; ++i) {
    text += R"({"session": ")" + to_string(Uuid::random()) + R"(", "steps": []})" + "\n";
  }
  const std::string whole = zipped(text);
  CHECK(problem_of(whole) == "none");
  CHECK_THAT(problem_of(std::string_view(whole).substr(0, whole.size() / 2)),
             Contains("ends in its middle"));
  CHECK_THAT(problem_of(std::string_view(whole).substr(0, whole.size() - 4)),
             Contains("ends in its middle"));
  std::string damaged = whole;
  damaged[damaged.size() - 6] ^= 1;  // The checksum.
  CHECK_THAT(problem_of(damaged), Contains("incorrect data check"));
}

TEST_CASE("a trace over a limit is refused", "[files]") {
  const std::string two = R"({"session": "a", "steps": []})"
                          "\n"
                          R"({"session": "b", "steps": []})";
  const std::string step = R"({"task": "t", "input": {}, "output": 1})";
  CHECK_THAT(problem_of(two, {.sessions = 1}), Contains(":2: more than 1 sessions"));
  CHECK(problem_of(two, {.line_bytes = 29}) == "none");
  CHECK_THAT(problem_of(two, {.line_bytes = 28}), Contains(":1: a line of more than 28 bytes"));
  CHECK_THAT(problem_of(zipped(two), {.file_bytes = 40}), Contains("more than 40 bytes unpacked"));
  CHECK_THAT(problem_of(line_with_step(step + "," + step), {.steps_per_session = 1}),
             Contains(":1: steps: 2, expected"));
  const auto output = [](std::size_t bytes) {
    return line_with_step(R"({"task": "t", "input": {}, "output": ")" +
                          std::string(bytes - 2, 'x') + "\"}");
  };
  CHECK(problem_of(output(output_bytes_max)) == "none");
  CHECK_THAT(problem_of(output(output_bytes_max + 1)),
             Contains("steps[0].output: 1048577 bytes, expected at most"));
  const auto nested = [](std::size_t depth) {
    return line_with_step(R"({"task": "t", "input": {}, "output": )" + std::string(depth, '[') +
                          std::string(depth, ']') + "}");
  };
  CHECK(problem_of(nested(json::depth_max)) == "none");
  CHECK_THAT(problem_of(nested(json::depth_max + 1)), Contains("nested deeper"));
}

TEST_CASE("written traces are read back equal, and equal sessions give equal bytes", "[files]") {
  const TemporaryFile source(one_line(two_sessions));
  const auto sessions = read_traces(source.path());
  REQUIRE(sessions);
  for (const char* ending : {".jsonl", ".jsonl.gz"}) {
    const TemporaryFile first({}, ending);
    const TemporaryFile second({}, ending);
    REQUIRE(write_traces(first.path(), *sessions));
    const auto again = read_traces(first.path());
    REQUIRE(again);
    REQUIRE(write_traces(second.path(), *again));
    CHECK(first.bytes() == second.bytes());
    CHECK((first.bytes().substr(0, 2) == "\x1f\x8b") == (std::string_view(ending) == ".jsonl.gz"));
    CHECK(again->front().steps[0].texts == sessions->front().steps[0].texts);
    CHECK(again->front().steps[0].latency == sessions->front().steps[0].latency);
    CHECK(again->front().steps[1].beside_previous);
    CHECK_FALSE(again->front().steps[1].think);
    CHECK_FALSE(std::filesystem::exists(first.path().string() + ".part"));
  }
  CHECK(write_traces("/nowhere/traces.jsonl", *sessions).error().code == Errc::io);
}

TEST_CASE("modelled times depend on the seed and the step's place only", "[files]") {
  std::vector<TraceSession> sessions;
  for (int i = 0; i < 400; ++i) {
    TraceSession session;
    session.name = "s" + std::to_string(i);
    for (int k = 0; k < 5; ++k) {
      session.steps.push_back({Call::make("t", {}), {}, {}, {}, {}, k == 1});
    }
    sessions.push_back(session);
  }
  sessions[0].steps[0].latency = Duration(7);
  auto reversed = sessions;
  std::reverse(reversed.begin(), reversed.end());
  auto other = sessions;
  model_missing_times(sessions, 42);
  model_missing_times(reversed, 42);
  model_missing_times(other, 43);
  CHECK(sessions[0].steps[0].latency == Duration(7));
  CHECK(sessions[3].steps[1].think == Duration(0));
  std::vector<Duration> latencies;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    for (std::size_t k = 0; k < 5; ++k) {
      CHECK(sessions[i].steps[k].latency == reversed[sessions.size() - 1 - i].steps[k].latency);
      CHECK(sessions[i].steps[k].think == reversed[sessions.size() - 1 - i].steps[k].think);
      latencies.push_back(*sessions[i].steps[k].latency);
    }
  }
  CHECK(sessions[1].steps[0].latency != sessions[2].steps[0].latency);
  CHECK(sessions[1].steps[0].latency != other[1].steps[0].latency);
  std::sort(latencies.begin(), latencies.end());
  CHECK(milliseconds_of(latencies[latencies.size() / 2]) == Approx(1000).epsilon(0.1));
  // A lognormal's 84th percentile is the median times e^sigma.
  CHECK(milliseconds_of(latencies[latencies.size() * 84 / 100]) == Approx(1822).epsilon(0.1));
}

TEST_CASE("tasks that only read are named by patterns or by the file of their traces", "[files]") {
  const auto patterns = ReadOnlyTasks::parse("Get*,Find?,Buses.*Bus,calculate", "x.jsonl");
  REQUIRE(patterns);
  CHECK(patterns->contains("GetBalance"));
  CHECK(patterns->contains("Get"));
  CHECK(patterns->contains("Find1"));
  CHECK(patterns->contains("Buses.FindBus"));
  CHECK(patterns->contains("calculate"));
  CHECK_FALSE(patterns->contains("Find"));
  CHECK_FALSE(patterns->contains("ForGet"));
  CHECK_FALSE(patterns->contains("Buses.FindBuses"));
  CHECK_FALSE(patterns->contains("calculated"));
  CHECK(ReadOnlyTasks::parse("*", "x.jsonl")->contains("anything"));
  CHECK(ReadOnlyTasks::all().contains("anything"));
  CHECK_FALSE(ReadOnlyTasks().contains("anything"));
  CHECK(ReadOnlyTasks::parse("Get*,,x", "x.jsonl").error().code == Errc::invalid);

  const TemporaryFile file(R"({"shop": ["find", "Get*"], "lab": ["*"], "bad": "find"})", ".json");
  const auto shop = ReadOnlyTasks::parse(file.path().string(), "/data/shop.jsonl.gz");
  REQUIRE(shop);
  CHECK(shop->contains("find"));
  CHECK(shop->contains("GetX"));
  CHECK_FALSE(shop->contains("buy"));
  CHECK(ReadOnlyTasks::parse(file.path().string(), "lab.jsonl")->contains("buy"));
  CHECK(ReadOnlyTasks::parse(file.path().string(), "bad.jsonl").error().code == Errc::invalid);
  const auto unknown = ReadOnlyTasks::parse(file.path().string(), "shops.jsonl");
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == Errc::not_found);
  CHECK_THAT(unknown.error().message, Contains("no entry for shops; did you mean \"shop\"?"));
}
