#include "coordinator/step_labels.hpp"

#include <catch2/catch.hpp>

#include "coordinator/symbols.hpp"

using namespace forerun;
using namespace forerun::prediction;

namespace {

constexpr Key task = 7;

json::Value parsed(const std::string& text) {
  return *json::parse(text);
}

Call call(const std::string& input) {
  return Call::make("task", *parsed(input).object());
}

/// Outputs of the task that have come.
void read(StepLabels& labels, const std::string& output) {
  const json::Value value = parsed(output);
  LastSaid said;
  labels.read(task, &value, said);
}

Key said_by(StepLabels& labels, const std::string& output) {
  const json::Value value = parsed(output);
  return labels.of_output(task, &value);
}

}  // namespace

TEST_CASE("a field is a label until it has taken too many values", "[step_labels]") {
  LabelField few;
  for (Key i = 0; i < 1'000; ++i) {
    few.learn(i / 2 % 40);
  }
  CHECK(few.is_label);
  LabelField many;
  for (Key i = 0; i < 1'000; ++i) {
    many.learn(i / 2 % 60);
  }
  CHECK_FALSE(many.is_label);
  many.learn(1);
  CHECK(many.values.empty());
}

TEST_CASE("a field that always takes another value is no label, however few there were",
          "[step_labels]") {
  LabelField field;
  for (Key i = 0; i < 11; ++i) {
    field.learn(i);
  }
  CHECK(field.is_label);
  field.learn(11);
  CHECK_FALSE(field.is_label);
}

TEST_CASE("outputs say the same where only fields without labels differ", "[step_labels]") {
  StepLabels labels(1'000, true, false);
  for (int i = 0; i < 40; ++i) {
    read(labels, R"({"state":")" + std::string(i % 2 == 0 ? "open" : "shut") + R"(","id":)" +
                     std::to_string(i) + "}");
  }
  CHECK(labels.fields() == 2);
  CHECK(said_by(labels, R"({"state":"open","id":1})") ==
        said_by(labels, R"({"state":"open","id":99})"));
  CHECK(said_by(labels, R"({"state":"open","id":1})") !=
        said_by(labels, R"({"state":"shut","id":1})"));
}

TEST_CASE("of a list it is said whether it is empty, has one or several", "[step_labels]") {
  StepLabels labels(1'000, true, false);
  CHECK(said_by(labels, "[]") != said_by(labels, "[1]"));
  CHECK(said_by(labels, "[1]") != said_by(labels, "[1,2]"));
  CHECK(said_by(labels, "[1,2]") == said_by(labels, "[3,4,5]"));
}

TEST_CASE("a step without output says that it failed, without labels too", "[step_labels]") {
  StepLabels labels(1'000, true, true);
  StepLabels none(1'000, false, true);
  CHECK(labels.of_output(task, nullptr) == failed_symbol);
  CHECK(none.of_output(task, nullptr) == failed_symbol);
  CHECK(said_by(none, R"({"state":"open"})") == said_by(none, R"({"state":"shut"})"));
  CHECK(none.seen(1, call(R"({"a":1})"), true).input_labels == 0);
}

TEST_CASE("asking what a step says teaches nothing", "[step_labels]") {
  StepLabels labels(1'000, true, true);
  labels.seen(1, call(R"({"a":1})"), false);
  said_by(labels, R"({"state":"open"})");
  CHECK(labels.fields() == 0);
  labels.seen(1, call(R"({"a":1})"), true);
  CHECK(labels.fields() == 1);
}

TEST_CASE("an output is compared only where fields are chosen", "[step_labels]") {
  StepLabels choosing(1'000, true, true), other(1'000, true, false);
  const json::Value value = parsed(R"({"state":"open"})");
  LastSaid said;
  other.read(task, &value, said);
  CHECK_FALSE(said.is_compared);
  choosing.read(task, nullptr, said);
  CHECK_FALSE(said.is_compared);
  choosing.read(task, &value, said);
  CHECK(said.is_compared);
}

TEST_CASE("a step is told with its labels", "[step_labels]") {
  StepLabels labels(1'000, true, true);
  SeenStep step = labels.seen(1, call(R"({"mode":"fast"})"), true);
  CHECK(labels.text_of(step, true, false) == R"(task with mode "fast")");
  step.output_labels = failed_symbol;
  CHECK(labels.text_of(step, false, true) == "task failing");
  step.output = *Output::parse(R"({"rows":[1,2],"ok":true})");
  CHECK(labels.text_of(step, false, true) == "task returning ok true, rows with several");
  CHECK(labels.text_of(step, false, false) == "task");
}
