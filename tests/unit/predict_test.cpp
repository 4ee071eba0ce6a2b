// `forerun predict` on recorded sessions.
#include <catch2/catch.hpp>
#include <fstream>

#include "backtest/run_predict.hpp"
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

TEST_CASE("a session or step that is not there is not found", "[predict]") {
  const Folder folder;
  PredictSettings settings = settings_of(folder, line("s", {{"a", 1}}));
  settings.at = 2;
  CHECK(predict_recorded(settings).error().code == Errc::not_found);
  settings.at.reset();
  settings.session = "t";
  CHECK(predict_recorded(settings).error().code == Errc::not_found);
}
