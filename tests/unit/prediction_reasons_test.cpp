// The reasons of a prediction: that the numbers they name are those that led to what is stated.
#include "coordinator/prediction_reasons.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <regex>

#include "base/prng.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/prediction_graph.hpp"
#include "tests/support/run_of.hpp"

using namespace forerun;
using namespace forerun::prediction;
using Catch::Matchers::Contains;

namespace {

using test::run;

Call call(const std::string& task, const std::string& input = "{}") {
  return Call::make(task, *json::parse(input)->object());
}

void take(PredictionGraph& graph, const RunId& id, const std::string& task,
          const std::string& input = "{}", const std::string& output = "{}") {
  graph.observe(id, "t", call(task, input), *Output::parse(output));
}

/// What follows: a task by the last label, an argument by the first output.
void random_steps(PredictionGraph& graph, const RunId& id, Prng& prng, std::uint64_t length) {
  const std::string document = "\"D-" + std::to_string(prng.below(900)) + "\"";
  std::string label = "a";
  for (std::uint64_t i = 0; i < length; ++i) {
    const std::string task = i == 0 ? "open" : "work_" + (prng.chance(0.8) ? label : "z");
    label = std::string(1, static_cast<char>('a' + prng.below(3)));
    take(graph, id, task, R"({"document":)" + document + R"(,"mode":"m"})",
         R"({"label":")" + label + R"(","document":)" + document + "}");
  }
}

std::vector<Prediction> explained(const PredictionGraph& graph, const RunId& id) {
  Question question;
  question.explains = true;
  return graph.predict(id, question);
}

/// All numbers that the pattern's group finds, in the order of the lines.
std::vector<double> numbers(const std::vector<std::string>& lines, const std::string& pattern) {
  std::vector<double> found;
  const std::regex regex(pattern);
  for (const std::string& line : lines) {
    for (std::sregex_iterator at(line.begin(), line.end(), regex), end; at != end; ++at) {
      found.push_back(std::stod((*at)[1]));
    }
  }
  return found;
}

std::vector<std::string> starting(const std::vector<std::string>& lines, const std::string& word) {
  std::vector<std::string> found;
  for (const std::string& line : lines) {
    if (line.rfind(word, 0) == 0) {
      found.push_back(line);
    }
  }
  return found;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += line + '\n';
  }
  return text;
}

constexpr double rounding = 0.06;  ///< Of percentages with one digit.

/// That whoever follows the lines gets to what is stated.
void check_followed(const Prediction& prediction) {
  const std::vector<std::string>& lines = prediction.reasons;
  INFO(joined(lines));
  REQUIRE(lines.size() <= reasons_max);
  REQUIRE(lines.size() >= 4);
  const auto summary = numbers({lines.front()}, "(?:contexts|arguments|ranked|stated) ([0-9.]+) %");
  REQUIRE(summary.size() == 4);
  CHECK(summary[3] == Approx(prediction.probability * 100).margin(rounding));

  const auto contexts = starting(lines, "context: ");
  if (!contexts.empty()) {
    const auto shares = numbers(contexts, R"(\(([0-9.]+) %\), weighs)");
    const auto weights = numbers(contexts, ", weighs ([0-9.]+) %");
    REQUIRE(shares.size() == contexts.size());
    REQUIRE(weights.size() == contexts.size());
    double said = 0;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      said += shares[i] * weights[i] / 100;
    }
    const auto more = numbers(contexts, "more weigh ([0-9.]+) %");
    if (!more.empty()) {
      said += more.front() * numbers(contexts, "and say ([0-9.]+) %").front() / 100;
    }
    const double all = numbers(contexts, "; all say ([0-9.]+) %").front();
    CHECK(said == Approx(all).margin(0.3));
    const auto true_share = numbers(contexts, ", ([0-9.]+) % by how such came true");
    CHECK((true_share.empty() ? all : true_share.front()) == Approx(summary[0]).margin(rounding));
  }

  double arguments = 1;
  for (const double share : numbers(lines, "= [a-z][^:;]*(?:: [a-z]+)?: ([0-9.]+) %")) {
    arguments *= share / 100;
  }
  CHECK(arguments * 100 == Approx(summary[1]).margin(0.2));

  const auto ranker = starting(lines, "ranker: ");
  REQUIRE(ranker.size() == 1);
  CHECK(numbers(ranker, "ranker: ([0-9.]+) %").front() ==
        Approx(summary[0] * summary[1] / 100).margin(0.2));
  CHECK(numbers(ranker, "becomes ([0-9.]+) %").front() == summary[2]);
  const double odds = numbers(ranker, "odds ([0-9.e+-]+) to 1").front();
  const auto factors = numbers(ranker, " x ([0-9.e+-]+)");
  REQUIRE(factors.size() == forces_told + 1);
  double product = 1;
  for (const double factor : factors) {
    product *= factor;
  }
  CHECK(product == Approx(odds).epsilon(0.03));
  CHECK(100 * odds / (1 + odds) == Approx(summary[2]).margin(0.3));

  const auto calibration = starting(lines, "calibration: ");
  REQUIRE(calibration.size() == 1);
  const auto from = numbers(calibration, "calibration: ([0-9.]+) %");
  const auto to = numbers(calibration, "(?:stated|stays) ([0-9.]+) %$");
  REQUIRE(to.size() == 1);
  CHECK(from.front() == summary[2]);
  CHECK(to.front() == summary[3]);
  if (const auto by = numbers(calibration, "by x ([0-9.e+-]+)"); !by.empty()) {
    const double before =
        numbers(calibration, "([0-9.]+) %, [0-9.]+ % by x").empty()
            ? numbers(calibration, "([0-9.]+) % as no surer[^,]*, [0-9.]+ % by").front()
            : numbers(calibration, "([0-9.]+) %, [0-9.]+ % by x").front();
    const double after = numbers(calibration, "([0-9.]+) % by x").front();
    CHECK(before * by.front() == Approx(after).margin(0.6));
  }

  double all = summary[2];
  for (const double rival : numbers(starting(lines, "instead, as ranked: "), "([0-9.]+) %")) {
    all += rival;
  }
  CHECK(all == Approx(100).margin(0.4));
}

}  // namespace

TEST_CASE("what the contexts say, one by one, is what they say together", "[prediction_reasons]") {
  LearnedContexts contexts(100);
  Prng prng(7);
  const std::vector<Key> keys = {11, 12, 13, 14};
  for (int i = 0; i < 60; ++i) {
    contexts.teach(std::span(keys).first(1 + prng.below(4)), 100 + prng.below(4));
  }
  const std::vector<Likely> prior = {{101, 0.5}, {109, 0.3}};
  for (const std::span<const Likely> with : {std::span<const Likely>(), std::span(prior)}) {
    for (const Likely& each : contexts.likely(keys, with)) {
      double sum = 0;
      for (const LearnedContexts::Said& said : contexts.said_of(each.symbol, keys, with)) {
        sum += said.weight * said.followed / said.times;
      }
      CHECK(sum == Approx(each.probability));
    }
  }
  CHECK(contexts.said_of(100, std::vector<Key>{77}).empty());
}

TEST_CASE("reasons say each step in numbers", "[prediction_reasons]") {
  Account account;
  account.task = "b";
  account.place = "after a";
  account.contexts = {{"anywhere", 40, 4, 0.2}, {"after a", 4, 3, 0.3}, {"after a, a", 2, 2, 0.5}};
  account.blended = 0.745;
  account.expected = 0.7;
  account.arguments = {{"x", "constant", 0.9, 10, 9}};
  account.arguments_share = 0.9;
  account.ranked = 0.8;
  account.forces = {{"one", 2}, {"two", 0.25}, {"three", 1.1}, {"four", 16}};
  account.other_forces = 4 / (2 * 0.25 * 1.1 * 16);
  account.rivals = {{"c", 0.05}, {"none of these", 0.15}};
  account.calls = 9;
  account.allowed = 0.8;
  account.correction = 0.875;
  account.bin_from = 0.8;
  account.bin_to = 0.9;
  account.bin_due = 20;
  account.bin_came = 17;
  account.corrected = account.bounded = account.bounded_by_calls = account.stated = 0.7;
  const std::vector<std::string> lines = lines_of(account);
  REQUIRE(lines.size() == 7);
  CHECK(lines[0] == "b after a: contexts 70.0 %, arguments 90.0 %, ranked 80.0 %, stated 70.0 %");
  CHECK(lines[1] == "context: after a, a: 2 of 2 times (100.0 %), weighs 50.0 %");
  CHECK(lines[2] ==
        "context: after a: 3 of 4 times (75.0 %), weighs 30.0 %; 1 more weigh 20.0 % and say "
        "10.0 %; all say 74.5 %, 70.0 % by how such came true");
  CHECK(lines[3] == "x = constant: 90.0 %, right 9 of 10 times");
  CHECK(lines[4] ==
        "ranker: 63.0 % becomes 80.0 %: odds 4 to 1 = four x 16, two x 0.25, one x 2, all else x "
        "0.5");
  CHECK(lines[5] ==
        "calibration: 80.0 %, 70.0 % by x 0.875 as of those from 80 to 90 % 17 came and 20 were "
        "due, stated 70.0 %");
  CHECK(lines[6] == "instead, as ranked: none of these 15.0 %, c 5.0 %");

  account.bounded_by_calls = 0.93;
  account.stated = 0.8999;
  account.corrected = account.bounded = 0.93;
  account.sure_tries = 100;
  account.sure_came = 92;
  const std::string calibration = lines_of(account)[5];
  CHECK(calibration.substr(calibration.size() - 63) ==
        ", 90.0 % as of those so sure only 92 of 100 came, stated 90.0 %");
}

TEST_CASE("a call of many arguments and contexts is told in few lines", "[prediction_reasons]") {
  Account account;
  for (int i = 0; i < 12; ++i) {
    account.contexts.push_back({"c" + std::to_string(i), 2, 1, 1.0 / 12});
    account.arguments.push_back({"x" + std::to_string(i), "constant", 1, 0, 0});
    account.forces.push_back({"f" + std::to_string(i), 1.5});
    account.rivals.push_back({"r" + std::to_string(i), 0.02});
  }
  account.blended = account.expected = 0.5;
  CHECK(lines_of(account).size() == reasons_max);
}

TEST_CASE("the numbers of a prediction's reasons lead to its probability", "[prediction_reasons]") {
  PredictionGraph graph;
  Prng prng(3);
  std::uint64_t sessions = 0;
  std::size_t checked = 0;
  for (int i = 0; i < 60; ++i) {
    const RunId id = run(++sessions);
    graph.text(id, "t", "Work on it, flow-" + std::to_string(prng.below(3)));
    random_steps(graph, id, prng, prng.below(6));
    const std::vector<Prediction> told = explained(graph, id);
    const std::vector<Prediction> plain = graph.predict(id, {});
    REQUIRE(told.size() == plain.size());
    for (std::size_t n = 0; n < told.size(); ++n) {
      CHECK(told[n].call == plain[n].call);
      CHECK(told[n].probability == plain[n].probability);
      CHECK(plain[n].reasons.front() == told[n].reasons.front());
      CHECK(plain[n].reasons.size() == 1 + plain[n].call.input().size());
      check_followed(told[n]);
      ++checked;
    }
    graph.end(id);
  }
  CHECK(checked > 100);
}

TEST_CASE("reasons name the label that decided, and how often", "[prediction_reasons]") {
  PredictionGraph graph;
  std::uint64_t sessions = 0;
  const auto session = [&](const std::string& label) {
    const RunId id = run(++sessions);
    take(graph, id, "scan", R"({"document":")" + std::to_string(sessions) + "\"}",
         R"({"label":")" + label + R"(","id":)" + std::to_string(1000 + sessions) + "}");
    return id;
  };
  for (int i = 0; i < 40; ++i) {
    const std::string label = i % 2 == 0 ? "good" : "bad";
    const RunId id = session(label);
    take(graph, id, "file_" + label);
    graph.end(id);
  }
  const std::vector<Prediction> made = explained(graph, session("bad"));
  REQUIRE(made.front().call.task() == "file_bad");
  const std::string lines = joined(made.front().reasons);
  // The first five times every field took few values still, so that was another context.
  CHECK_THAT(lines, Contains(R"(scan returning label "bad": 15 of 15 times)"));
  CHECK_THAT(lines, !Contains("id 10"));  // No label: always another one.
  CHECK_THAT(joined(made.back().reasons), Contains("file_good"));
}

TEST_CASE("reasons name words of the text, past sessions and last calls that decided",
          "[prediction_reasons]") {
  PredictionGraph graph;
  std::uint64_t sessions = 0;
  const auto open = [&](int flow) {
    const RunId id = run(++sessions);
    graph.text(id, "t", "Please run flow-0" + std::to_string(flow) + " on this one.");
    return id;
  };
  for (int i = 0; i < 60; ++i) {
    const RunId id = open(i % 6);
    take(graph, id, "kind" + std::string(1, static_cast<char>('a' + i % 6)));
    graph.end(id);
  }
  const std::vector<Prediction> made = explained(graph, open(4));
  REQUIRE(made.front().call.task() == "kinde");
  const std::string ranker = starting(made.front().reasons, "ranker: ").front();
  CHECK_THAT(ranker, Contains(R"(words of the text ("flow-04")"));
  CHECK_THAT(ranker, Contains("past sessions with such texts (100.0 % did this here)"));
}

TEST_CASE("a premise says why the open output is expected", "[prediction_reasons]") {
  PredictionGraph graph;
  for (std::uint64_t i = 0; i < 12; ++i) {
    take(graph, run(i), "scan", "{}", R"({"label":"ok"})");
    take(graph, run(i), "use", R"({"label":"ok"})");
    graph.end(run(i));
  }
  graph.text(run(99), "t", "go");
  const ImaginedStep open{call("scan"), std::nullopt};
  Question question;
  question.beyond = std::span(&open, 1);
  question.explains = true;
  bool has_premise = false;
  for (const Prediction& each : graph.predict(run(99), question)) {
    if (each.premise) {
      has_premise = true;
      CHECK(each.reasons.size() <= reasons_max + 1);
      CHECK_THAT(each.reasons.back(), Contains("premise " + share_text(each.premise_probability)));
      CHECK_THAT(each.reasons.back(), Contains("returned it 12 of 12 times"));
    }
  }
  CHECK(has_premise);
}
