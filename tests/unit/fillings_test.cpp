#include "coordinator/fillings.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "coordinator/draft.hpp"

using namespace forerun;
using namespace forerun::prediction;

namespace {

Form form_with(const std::string& input) {
  Form form;
  form.name("task", hash_text("task"), *json::parse(input)->object());
  return form;
}

/// Of each parameter the shares of its values, whose hashes are their numbers from 1.
Values values_with(const std::vector<std::vector<double>>& shares) {
  Values values;
  for (const std::vector<double>& of_one : shares) {
    std::vector<Candidate>& candidates = values.of.emplace_back();
    for (const double share : of_one) {
      Candidate candidate;
      candidate.share = share;
      candidate.hash = candidates.size() + 1;
      candidates.push_back(candidate);
    }
  }
  return values;
}

}  // namespace

TEST_CASE("a form without parameters is filled in one way", "[fillings]") {
  const Form form = form_with("{}");
  const Fillings fillings(form, {}, calls_per_form_max);
  REQUIRE(fillings.end() - fillings.begin() == 1);
  CHECK(fillings.front().share == 1);
  CHECK(fillings.front().input_hash == hash_input({}));
}

TEST_CASE("fillings are the best of all combinations, best first", "[fillings]") {
  const Form form = form_with(R"({"a":1,"b":2,"c":3})");
  const std::vector<std::vector<double>> shares = {{0.5, 0.3, 0.2}, {0.9, 0.05}, {0.4, 0.35, 0.25}};
  std::vector<double> all;
  for (const double a : shares[0]) {
    for (const double b : shares[1]) {
      for (const double c : shares[2]) {
        all.push_back(a * b * c);
      }
    }
  }
  std::sort(all.begin(), all.end(), std::greater<>());
  const Fillings fillings(form, values_with(shares), calls_per_form_max);
  REQUIRE(fillings.end() - fillings.begin() == calls_per_form_max);
  for (std::size_t i = 0; i < calls_per_form_max; ++i) {
    const Filling& filling = fillings.begin()[i];
    CHECK(filling.share == Approx(all[i]));
    double share = 1;
    for (std::size_t parameter = 0; parameter < shares.size(); ++parameter) {
      share *= shares[parameter][filling.chosen[parameter]];
    }
    CHECK(filling.share == Approx(share));
  }
}

TEST_CASE("of equal fillings the one with earlier values comes first", "[fillings]") {
  const Form form = form_with(R"({"a":1,"b":2})");
  const Fillings fillings(form, values_with({{0.5, 0.5}, {0.5, 0.5}}), 4);
  std::vector<std::pair<int, int>> chosen;
  for (const Filling& filling : fillings) {
    chosen.emplace_back(filling.chosen[0], filling.chosen[1]);
  }
  CHECK(chosen == std::vector<std::pair<int, int>>{{0, 0}, {0, 1}, {1, 0}, {1, 1}});
}

TEST_CASE("a filling has the hash of the input that it makes", "[fillings]") {
  const json::Value input = *json::parse(R"({"a":"x","b":7})");
  const Form form = form_with(R"({"a":"x","b":7})");
  Values values = values_with({{1}, {1}});
  values.of[0][0].hash = hash_value(*input.object()->find("a"));
  values.of[1][0].hash = hash_value(*input.object()->find("b"));
  CHECK(Fillings(form, values, 1).front().input_hash == hash_input(*input.object()));
}

TEST_CASE("a form's key names its task and its parameters, not their values", "[call_form]") {
  const auto key = [](const char* task, const char* input) {
    return form_key_of(hash_text(task), *json::parse(input)->object());
  };
  CHECK(key("t", R"({"a":1})") == key("t", R"({"a":"other"})"));
  CHECK(key("t", R"({"a":1})") != key("t", R"({"b":1})"));
  CHECK(key("t", R"({"a":1})") != key("u", R"({"a":1})"));
  CHECK(key("t", "{}") != key("t", R"({"a":1})"));
}

TEST_CASE("a form's recent calls count more, its calls are never forgotten", "[call_form]") {
  Form form;
  for (int i = 0; i < 1'000; ++i) {
    form.count(i % 2 == 0);
  }
  CHECK(form.seen == 1'000);
  CHECK(form.tries <= 128);
  CHECK(form.repeats / form.tries == Approx(0.5).margin(0.05));
}

TEST_CASE("drafts are in an order of their own, whatever they came in", "[draft]") {
  Form a, b;
  a.task = "a";
  b.task = "b";
  std::vector<Draft> drafts(5);
  drafts[0].form = &b;
  drafts[0].probability = 0.5;
  drafts[1].form = &a;
  drafts[1].probability = 0.5;
  drafts[2].form = &a;  // As likely, under a premise.
  drafts[2].probability = 1;
  drafts[2].premise = *Output::parse("1");
  drafts[2].premise_probability = 0.5;
  drafts[3].form = &b;
  drafts[3].probability = 0.6;
  drafts[4].form = &a;
  drafts[4].probability = 0.5;
  drafts[4].input_hash = 1;
  const auto sorted = [](std::vector<Draft> some) {
    std::sort(some.begin(), some.end(), comes_before);
    std::vector<std::tuple<std::string, Key, bool>> told;
    for (const Draft& each : some) {
      told.emplace_back(each.form->task, each.input_hash, each.premise.has_value());
    }
    return told;
  };
  const auto told = sorted(drafts);
  CHECK(told ==
        std::vector<std::tuple<std::string, Key, bool>>{
            {"b", 0, false}, {"a", 0, false}, {"a", 1, false}, {"b", 0, false}, {"a", 0, true}});
  std::reverse(drafts.begin(), drafts.end());
  CHECK(sorted(drafts) == told);
}
