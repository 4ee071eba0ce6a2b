// `forerun predict` on recorded sessions.
#include <catch2/catch.hpp>
#include <fstream>

#include "backtest/run_predict.hpp"
#include "coordinator/prediction_report.hpp"
#include "tests/support/temp_directory.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

std::string line(const std::string& name, const std::vector<std::pair<std::string, int>>& calls,
                 const std::string& output = "\"done\"") {
  std::string text = R"({"session":")" + name + R"(","steps":[)";
  for (std::size_t i = 0; i < calls.size(); ++i) {
    text += std::string(i == 0 ? "" : ",") + R"({"task":")" + calls[i].first +
            R"(","input":{"n":)" + std::to_string(calls[i].second) + R"(},"output":)" + output +
            "}";
  }
  return text + "]}\n";
}

struct Folder {
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(directory.path() / name, std::ios::binary) << text;
    return directory.path() / name;
  }
  test::TempDirectory directory;
};

std::string training() {
  std::string text;
  for (int i = 0; i < 10; ++i) {
    text += line("t" + std::to_string(i), {{"a", 1}, {"b", 2}, {"c", 3}});
  }
  return text;
}

PredictSettings settings_of(const Folder& folder, const std::string& traces) {
  PredictSettings settings;
  settings.traces = {folder.write("traces.jsonl", traces)};
  settings.train = {folder.write("train.jsonl", training())};
  settings.session = "s";
  return settings;
}

}  // namespace

TEST_CASE("a recorded session's next call is predicted at any place", "[predict]") {
  const Folder folder;
  PredictSettings settings = settings_of(folder, line("s", {{"a", 1}, {"b", 2}, {"c", 3}}));
  const std::vector<std::string> expected = {"a", "b", "c"};
  for (std::size_t at = 0; at < 3; ++at) {
    settings.at = at;
    const auto told = predict_recorded(settings);
    REQUIRE(told);
    CHECK(*told->find("predictions")->array()->front().find("task") == json::Value(expected[at]));
    CHECK(*told->find("recorded")->find("rank") == json::Value(1));
    CHECK(told->find("after_step")->is_null() == (at == 0));
  }
  settings.at.reset();
  CHECK(predict_recorded(settings)->find("recorded")->is_null());
}

TEST_CASE("nothing of a recorded session's future reaches a prediction", "[predict]") {
  const Folder folder;
  PredictSettings settings = settings_of(folder, line("before", {{"a", 1}, {"b", 2}}) +
                                                     line("s", {{"a", 1}, {"b", 2}, {"c", 3}}) +
                                                     line("after", {{"a", 1}, {"x", 9}}));
  settings.at = 1;
  const auto told = predict_recorded(settings);
  settings.traces = {folder.write(
      "traces.jsonl",
      line("before", {{"a", 1}, {"b", 2}}) + line("s", {{"a", 1}, {"x", 7}, {"y", 8}, {"z", 9}}) +
          line("other", {{"a", 1}, {"y", 5}}) + line("more", {{"a", 1}, {"y", 5}}))};
  const auto other = predict_recorded(settings);
  REQUIRE(told);
  REQUIRE(other);
  CHECK(json::canonical(*told->find("predictions")) ==
        json::canonical(*other->find("predictions")));
  CHECK(*told->find("learned")->find("sessions") == json::Value(11));  // With the one before it.
  CHECK(other->find("recorded")->find("rank")->is_null());
}

TEST_CASE(
    "what a recorded session lets expect is told with its reasons and what admission makes of it",
    "[predict]") {
  const Folder folder;
  const auto traces = [&](const std::string& times) {
    std::string text;
    for (int i = 0; i < 10; ++i) {
      text += R"({"session":")" + (i == 9 ? "s" : "t" + std::to_string(i)) +
              R"(","steps":[{"task":"a","input":{}, "output":{"id":)" + std::to_string(i) + "}" +
              times + R"(},{"task":"b","input":{"n":)" + std::to_string(i) + R"(},"output":1)" +
              times + "}]}\n";
    }
    return folder.write("timed.jsonl", text);
  };
  PredictSettings settings;
  settings.session = "s";
  settings.at = 1;
  const auto admission = [&] {
    const auto told = predict_recorded(settings);
    REQUIRE(told);
    return *told->find("predictions")->array()->front().find("admission");
  };

  settings.traces = {traces(R"(,"latency_ms":400,"think_ms":100)")};
  json::Value timed = admission();
  CHECK(*timed.find("decision") == json::Value("may start"));
  CHECK(timed.find("because")->is_null());
  CHECK(*timed.find("expected_ms") == json::Value(500));  // A quarter more than usual.
  CHECK(*timed.find("hidden_ms") == json::Value(100));    // No more than the think time.
  CHECK(*timed.find("price")->number() == Approx(0.3));
  CHECK(*timed.find("confidence_min")->number() == Approx(0.3 / 1.3));
  const std::string text = predictions_text(*predict_recorded(settings));
  CHECK_THAT(text, Contains("because b after a: contexts ") && Contains("because ranker: ") &&
                       Contains("because calibration: ") && Contains("may start (confidence ") &&
                       Contains("a full budget") && Contains("88.9 %"));

  settings.catalog = folder.write("catalog.toml",
                                  "[task.a]\nexecutor = \"exec\"\ncommand = [\"a\"]\n"
                                  "effect = \"read\"\n[task.b]\n"
                                  "executor = \"exec\"\ncommand = [\"b\"]\neffect = \"write\"\n");
  CHECK(*admission().find("because") == json::Value("writes"));
  settings.catalog.clear();

  settings.traces = {traces(R"(,"latency_ms":400)")};
  json::Value untimed = admission();
  CHECK(*untimed.find("decision") == json::Value("unknown"));
  CHECK_THAT(*untimed.find("because")->string(), Contains("no think_ms is recorded"));
}

TEST_CASE("where no call is expected it is told why", "[predict]") {
  const Folder folder;
  PredictSettings settings = settings_of(folder, line("s", {{"a", 1}, {"b", 2}, {"c", 3}}));
  std::string drawn;
  for (int i = 0; i < 40; ++i) {
    drawn += line("d" + std::to_string(i), {{"a", 7919 * i + 13}});
  }
  settings.train = {folder.write("drawn.jsonl", drawn)};
  settings.at = 0;
  std::string text = predictions_text(*predict_recorded(settings));
  CHECK_THAT(text, Contains("task a is expected, 9") &&
                       Contains("%: nothing that is known tells its n\n") &&
                       Contains("recorded: a {\"n\":1}  (not expected)\n"));
  settings.at = 1;
  text = predictions_text(*predict_recorded(settings));
  CHECK_THAT(text, Contains("nothing is expected: the session ends here, "));
  settings.train.clear();
  settings.at = 0;
  text = predictions_text(*predict_recorded(settings));
  CHECK_THAT(text, Contains("nothing is expected: what follows here was never seen\n"));
}

TEST_CASE("a session or step that is not there is not found", "[predict]") {
  const Folder folder;
  PredictSettings settings = settings_of(folder, line("s", {{"a", 1}}));
  settings.at = 2;
  CHECK(predict_recorded(settings).error().code == Errc::not_found);
  settings.at.reset();
  settings.session = "t";
  CHECK(predict_recorded(settings).error().code == Errc::not_found);
}
