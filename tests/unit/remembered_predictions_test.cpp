#include <catch2/catch.hpp>
#include <memory>

#include "coordinator/remembered_predictions.hpp"
#include "tests/support/run_of.hpp"

using namespace forerun;

namespace {

using test::run;

Call call_of(const char* task) {
  return Call::make(task, {});
}

Output output_of(double number) {
  return Output::make(json::Value(number));
}

/// Counts what it is asked, and says what it is told to.
struct Scripted final : Predictor {
  void text(const RunId&, std::string_view, std::string_view) override {}
  void observe(const RunId&, std::string_view, const Call&, const std::optional<Output>&) override {
  }
  void end(const RunId&) override {}
  void set_learning(bool) override {}
  std::vector<Prediction> predict(const RunId&, const Question& question) const override {
    ++asked;
    std::vector<Prediction> answer;
    for (const auto& [task, probability] : says) {
      if (probability >= question.probability_min && answer.size() < question.limit) {
        answer.push_back({call_of(task), probability, {}, 1, {}});
      }
    }
    return answer;
  }
  std::vector<std::pair<const char*, double>> says = {{"likely", 0.6}, {"unlikely", 0.1}};
  mutable std::size_t asked = 0;
};

struct Fixture {
  Scripted* inner = nullptr;
  RememberedPredictions predictor{[this] {
    auto made = std::make_unique<Scripted>();
    inner = made.get();
    return made;
  }()};
  std::vector<ImaginedStep> beyond;

  std::size_t ask(const RunId& session, double probability_min = 0.5) {
    Question question;
    question.beyond = beyond;
    question.probability_min = probability_min;
    return predictor.predict(session, question).size();
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "one place is asked for once, also when what was imagined has happened",
                 "[remembered_predictions]") {
  predictor.text(run(1), "t", "hello");
  beyond = {{call_of("a"), output_of(1)}};
  CHECK(ask(run(1)) == 1);
  CHECK(ask(run(1)) == 1);
  CHECK(inner->asked == 1);
  predictor.observe(run(1), "t", call_of("a"), output_of(1));
  beyond.clear();
  CHECK(ask(run(1)) == 1);
  CHECK(inner->asked == 1);
}

TEST_CASE_METHOD(Fixture, "another output, an open one, a failure and a text are other places",
                 "[remembered_predictions]") {
  predictor.text(run(1), "t", "hello");
  beyond = {{call_of("a"), output_of(1)}};
  ask(run(1));
  beyond = {{call_of("a"), output_of(2)}};
  ask(run(1));
  beyond = {{call_of("a"), {}}};
  ask(run(1));
  CHECK(inner->asked == 3);
  beyond.clear();
  predictor.observe(run(1), "t", call_of("a"), {});
  ask(run(1));
  CHECK(inner->asked == 4);
  predictor.text(run(1), "t", "more");
  ask(run(1));
  CHECK(inner->asked == 5);
}

TEST_CASE_METHOD(Fixture, "what is too improbable now is kept for when it is not",
                 "[remembered_predictions]") {
  predictor.text(run(1), "t", "hello");
  CHECK(ask(run(1), 0.5) == 1);
  CHECK(ask(run(1), 0.09) == 2);
  CHECK(inner->asked == 1);
  CHECK(ask(run(1), 0.01) == 2);  // Less than what is kept: asked again.
  CHECK(inner->asked == 2);
}

TEST_CASE_METHOD(Fixture, "an answer serves until a good part more is learned",
                 "[remembered_predictions]") {
  predictor.text(run(1), "t", "hello");
  ask(run(1));
  for (std::uint64_t i = 0; i < RememberedPredictions::steps_min; ++i) {
    predictor.observe(run(2), "t", call_of("a"), output_of(1));
  }
  ask(run(1));
  CHECK(inner->asked == 1);
  predictor.observe(run(2), "t", call_of("a"), output_of(1));
  ask(run(1));
  CHECK(inner->asked == 2);

  predictor.set_learning(false);
  for (std::uint64_t i = 0; i < 100; ++i) {
    predictor.observe(run(2), "t", call_of("a"), output_of(1));
  }
  ask(run(1));
  CHECK(inner->asked == 2);
}

TEST_CASE_METHOD(Fixture, "one session's answers are not another's, and wishes are asked each time",
                 "[remembered_predictions]") {
  predictor.text(run(1), "t", "hello");
  predictor.text(run(2), "t", "hello");
  ask(run(1));
  ask(run(2));
  CHECK(inner->asked == 2);
  Question question;
  question.probability_min = 0.5;
  question.wants = [](const std::string& task) { return task != "likely"; };
  CHECK(predictor.predict(run(1), question).empty());
  CHECK(inner->asked == 2);
}
