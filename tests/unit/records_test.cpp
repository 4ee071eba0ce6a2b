#include "coordinator/records.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "base/prng.hpp"
#include "coordinator/prediction_graph.hpp"

using namespace forerun;
using namespace forerun::prediction;

namespace {

const char* const parcels = R"({"parcels":[
    {"to":"Bern","weight":2,"way":"road"},
    {"to":"Rome","weight":5,"way":"air"},
    {"to":"Oslo","weight":2,"way":"road"}]})";

Call call_of(const char* task, const std::string& input) {
  return Call::make(task, *json::parse(input)->object());
}

SeenStep step_of(const Call& call) {
  return SeenStep{call, std::nullopt, hash_text(call.task()), hash_input(call.input()), 0, 0};
}

/// A memory that has the list, and has sent these.
SessionMemory memory_with(const std::vector<std::string>& sent) {
  SessionMemory memory{MemoryLimits{}};
  memory.add_call(step_of(call_of("list", "{}")));
  memory.add_output(Output::make(*json::parse(parcels)), 0);
  for (const std::string& input : sent) {
    memory.add_call(step_of(call_of("send", input)));
    memory.add_output(Output::make(json::Value(true)), 0);
  }
  return memory;
}

/// Each parameter's values as JSON, the likeliest first, with shares that fall by half.
Values values_with(const std::vector<std::vector<const char*>>& texts,
                   std::vector<json::Value>& kept) {
  kept.reserve(64);
  Values values;
  for (const auto& of_one : texts) {
    std::vector<Candidate>& candidates = values.of.emplace_back();
    double share = 0.5;
    for (const char* text : of_one) {
      kept.push_back(*json::parse(text));
      Candidate candidate;
      candidate.value = &kept.back();
      candidate.hash = hash_value(kept.back());
      candidate.share = share;
      share /= 2;
      candidates.push_back(candidate);
    }
  }
  return values;
}

Form form_of(const char* task, const char* input) {
  Form form;
  form.name(task, hash_text(task), *json::parse(input)->object());
  return form;
}

const char* const bern = R"({"to":"Bern","way":"road","weight":2})";
const char* const rome = R"({"to":"Rome","way":"air","weight":5})";
const char* const oslo = R"({"to":"Oslo","way":"road","weight":2})";

/// What is said of one way to fill, found by its input.
Together said_of(const Records& records, const Form& form, const Values& values,
                 const char* input) {
  const Fillings all(form, values, calls_per_form_max);
  std::vector<Filling> fillings(all.begin(), all.end());
  const std::vector<Filling> more = records.fillings(all);
  fillings.insert(fillings.end(), more.begin(), more.end());
  const Key wanted = hash_input(*json::parse(input)->object());
  for (const Filling& filling : fillings) {
    if (filling.input_hash == wanted) {
      return records.together(filling);
    }
  }
  FAIL(input << " is not among the ways to fill");
  return {};
}

}  // namespace

TEST_CASE("arguments that stand in one object are seen together, and in which place", "[records]") {
  const Form form = form_of("send", bern);
  std::vector<json::Value> kept;
  const Values values = values_with(
      {{"\"Rome\"", "\"Oslo\"", "\"Bern\""}, {"\"road\"", "\"air\""}, {"5", "2"}}, kept);
  {
    const SessionMemory memory = memory_with({});
    const Records records(memory, form, values);
    const Together first = said_of(records, form, values, bern);
    CHECK(first.count == 3);
    CHECK(first.is_next);
    CHECK_FALSE(first.is_previous);
    CHECK(said_of(records, form, values, oslo).is_previous);
    CHECK_FALSE(said_of(records, form, values, rome).is_next);
    CHECK(said_of(records, form, values, R"({"to":"Rome","way":"road","weight":5})").count == 2);
  }
  {
    const SessionMemory memory = memory_with({rome});
    const Records records(memory, form, values);
    CHECK(said_of(records, form, values, oslo).is_next);
    CHECK(said_of(records, form, values, bern).is_previous);
    CHECK_FALSE(said_of(records, form, values, rome).is_next);
  }
}

TEST_CASE("one parameter alone, and values of no object, stand with nothing", "[records]") {
  const SessionMemory memory = memory_with({});
  std::vector<json::Value> kept;
  const Form one = form_of("send", R"({"to":"Bern"})");
  const Values of_one = values_with({{"\"Bern\""}}, kept);
  const Records alone(memory, one, of_one);
  CHECK(alone.together(Fillings(one, of_one, 1).front()).count == 0);
  const Form two = form_of("send", R"({"a":1,"b":2})");
  const Values of_two = values_with({{"77"}, {"78"}}, kept);
  const Records none(memory, two, of_two);
  const Fillings fillings(two, of_two, calls_per_form_max);
  CHECK(none.together(fillings.front()).count == 0);
  CHECK(none.fillings(fillings).empty());
}

TEST_CASE("what stands together is tried where shares alone would not", "[records]") {
  const SessionMemory memory = memory_with({});
  const Form form = form_of("send", bern);
  std::vector<json::Value> kept;
  // The right values are the last of each parameter.
  const Values values = values_with({{"\"x1\"", "\"x2\"", "\"x3\"", "\"x4\"", "\"Rome\""},
                                     {"\"y1\"", "\"y2\"", "\"y3\"", "\"y4\"", "\"air\""},
                                     {"91", "92", "93", "94", "5"}},
                                    kept);
  const Fillings best(form, values, calls_per_form_max);
  const Key wanted = hash_input(*json::parse(rome)->object());
  CHECK(std::none_of(best.begin(), best.end(),
                     [&](const Filling& each) { return each.input_hash == wanted; }));
  const std::vector<Filling> more = Records(memory, form, values).fillings(best);
  REQUIRE_FALSE(more.empty());
  CHECK(more.size() <= Records::fillings_max);
  CHECK(std::any_of(more.begin(), more.end(),
                    [&](const Filling& each) { return each.input_hash == wanted; }));
  double share = 1;
  for (const auto& candidates : values.of) {
    share *= candidates[4].share;
  }
  const auto found = std::find_if(more.begin(), more.end(),
                                  [&](const Filling& each) { return each.input_hash == wanted; });
  CHECK(found->share == Approx(share));
}

TEST_CASE("a list is worked through element by element, forwards or backwards", "[records]") {
  for (const bool is_backwards : {false, true}) {
    PredictionGraph graph;
    Prng prng(5);
    RunId id;
    std::size_t asked = 0;
    std::size_t right = 0;
    for (int n = 0; n < 120; ++n) {
      ++id.counter;
      // Values come again and again, so that none of them alone tells which element is meant.
      json::Array list;
      for (std::uint64_t i = 2 + prng.below(4); i > 0; --i) {
        json::Object element;
        element.set("sku", std::string(1, static_cast<char>('A' + prng.below(6))) + "1");
        element.set("count", static_cast<double>(1 + prng.below(5)));
        element.set("from", prng.below(2) == 0 ? "north" : "south");
        list.push_back(std::move(element));
      }
      std::vector<json::Value> order(list.begin(), list.end());
      if (is_backwards) {
        std::reverse(order.begin(), order.end());
      }
      json::Object output;
      output.set("items", std::move(list));
      graph.observe(id, "t", Call::make("order", {}), Output::make(json::Value(std::move(output))));
      for (const json::Value& element : order) {
        const Call call = Call::make("reserve", *element.object());
        const std::vector<Prediction> made = graph.predict(id, {});
        asked += n >= 60 ? 1 : 0;
        right += n >= 60 && !made.empty() && made.front().call == call ? 1 : 0;
        graph.observe(id, "t", call, Output::make(json::Value(true)));
      }
      graph.end(id);
    }
    INFO((is_backwards ? "backwards: " : "forwards: ") << right << " of " << asked);
    CHECK(static_cast<double>(right) >= 0.8 * static_cast<double>(asked));
  }
}
