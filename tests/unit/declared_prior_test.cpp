// What a catalog says of its tasks, before any of them was called.
#include <algorithm>
#include <catch2/catch.hpp>

#include "coordinator/prediction_graph.hpp"
#include "coordinator/remembered_predictions.hpp"
#include "coordinator/task_names.hpp"
#include "speculation/catalog.hpp"
#include "tests/support/run_of.hpp"

using namespace forerun;

namespace {

using test::run;

json::Object object(const std::string& text) {
  return *json::parse(text)->object();
}

Call call(const std::string& task, const std::string& input) {
  return Call::make(task, object(input));
}

std::optional<Output> output(const std::string& text) {
  return *Output::parse(text);
}

using Names = std::vector<std::string>;

/// find_order, then ship_order or refund, then close, then nothing.
DeclaredTasks shop() {
  return {
      {"close", "", object("{}"), Names{}, false},
      {"find_order", "", object(R"({"email":"ann@shop.example"})"), Names{"ship_order", "refund"},
       true},
      {"refund", "", object(R"({"order_id":"A-17"})"), Names{"close"}, false},
      {"ship_order", "", object(R"({"order_id":"A-17"})"), Names{"close"}, false},
  };
}

struct Graph {
  PredictionGraph graph;
  explicit Graph(const DeclaredTasks& tasks = shop(), const PredictionSettings& settings = {})
      : graph(settings) {
    graph.declare(tasks);
  }
  std::vector<Prediction> next(const RunId& id) const { return graph.predict(id, {}); }
};

std::size_t place_of(const std::vector<Prediction>& made, const std::string& task) {
  const auto at = std::find_if(made.begin(), made.end(),
                               [&](const Prediction& each) { return each.call.task() == task; });
  return static_cast<std::size_t>(at - made.begin());
}

/// The probability of the task's likeliest call; 0: it is not expected.
double stated(const std::vector<Prediction>& made, const std::string& task) {
  const std::size_t at = place_of(made, task);
  return at < made.size() ? made[at].probability : 0;
}

std::string written(const std::vector<Prediction>& made) {
  std::string text;
  for (const Prediction& each : made) {
    text += each.call.canonical();
    json::append_number(text, each.probability);
    text += '\n';
  }
  return text;
}

}  // namespace

TEST_CASE("what a catalog says follows is predicted before any history, with its arguments",
          "[declared]") {
  Graph shop;
  const RunId id = run(1);
  shop.graph.text(id, "t", "My mail is bob@home.example, where is it?");
  auto made = shop.next(id);
  REQUIRE_FALSE(made.empty());
  CHECK(made.front().call == call("find_order", R"({"email":"bob@home.example"})"));
  CHECK(made.front().reasons.back() == "never called; the catalog tells of it");

  shop.graph.observe(id, "t", made.front().call, output(R"({"order_id":"B-22","state":"open"})"));
  made = shop.next(id);
  REQUIRE(made.size() >= 2);
  CHECK(made[0].call == call("ship_order", R"({"order_id":"B-22"})"));
  CHECK(made[1].call == call("refund", R"({"order_id":"B-22"})"));
  CHECK(made[0].probability > made[1].probability);
  CHECK(made[0].probability + made[1].probability < 1);

  // And beyond what is only imagined.
  const ImaginedStep refunded{made[1].call, output("true")};
  made = shop.graph.predict(id, {.beyond = std::span(&refunded, 1)});
  REQUIRE_FALSE(made.empty());
  CHECK(made.front().call == call("close", "{}"));

  shop.graph.observe(id, "t", call("close", "{}"), output("null"));
  CHECK(shop.graph.end_probability(id, {}) > 0.5);
}

TEST_CASE("without the idea, or without a word of the catalog, nothing is expected", "[declared]") {
  PredictionSettings settings;
  settings.without = Idea::declared;
  Graph without(shop(), settings);
  Graph nothing(DeclaredTasks{});
  Graph no_example({{"find_order", "", {}, Names{"refund"}, true}, {"refund", "", {}, {}, false}});
  for (Graph* each : {&without, &nothing, &no_example}) {
    each->graph.text(run(1), "t", "My mail is bob@home.example.");
    CHECK(each->next(run(1)).empty());
    each->graph.observe(run(1), "t", call("find_order", R"({"email":"bob@home.example"})"),
                        output(R"({"order_id":"B-22"})"));
    CHECK(stated(each->next(run(1)), "refund") == 0);
  }
}

TEST_CASE("a parameter that nothing in the session fits keeps its call from being made up",
          "[declared]") {
  Graph shop;
  shop.graph.text(run(1), "t", "please help");
  CHECK(shop.next(run(1)).empty());
  shop.graph.observe(run(1), "t", call("find_order", R"({"email":"b@c.example"})"),
                     output(R"({"order_id":7})"));  // A number, where the example has a text.
  CHECK(stated(shop.next(run(1)), "ship_order") == 0);
  CHECK(stated(shop.next(run(1)), "refund") == 0);
}

TEST_CASE("numbers and flags that nothing fits are the example's own", "[declared]") {
  Graph graph({{"find", "", object(R"({"city":"Bern","limit":10,"open":true})"), {}, true}});
  graph.graph.text(run(1), "t", "Anything in Basel today?");
  const auto made = graph.next(run(1));
  REQUIRE_FALSE(made.empty());
  CHECK(made.front().call == call("find", R"({"city":"Basel","limit":10,"open":true})"));
  graph.graph.text(run(2), "t", "The first 25 in Basel");
  CHECK(graph.next(run(2)).front().call ==
        call("find", R"({"city":"Basel","limit":25,"open":true})"));
}

TEST_CASE("history outweighs what the catalog says", "[declared]") {
  Graph shop;
  const Call found = call("find_order", R"({"email":"a@b.example"})");
  std::uint64_t sessions = 0;
  const auto open = [&] {
    const RunId id = run(++sessions);
    const std::string order = "C-" + std::to_string(100 + sessions);
    shop.graph.text(id, "t", "a@b.example");
    shop.graph.observe(id, "t", found, output(R"({"order_id":")" + order + "\"}"));
    return std::pair(id, order);
  };
  for (int i = 0; i < 12; ++i) {
    const auto [id, order] = open();
    shop.graph.observe(id, "t", call("refund", R"({"order_id":")" + order + "\"}"), output("true"));
    shop.graph.observe(id, "t", call("close", "{}"), output("null"));
    shop.graph.end(id);
  }
  const auto [id, order] = open();
  const auto made = shop.next(id);
  REQUIRE_FALSE(made.empty());
  CHECK(made.front().call == call("refund", R"({"order_id":")" + order + "\"}"));
  CHECK(made.front().probability > 0.7);
  CHECK((made.size() == 1 || made[1].probability < 0.1));
}

TEST_CASE("a catalog that is wrong is soon believed less", "[declared]") {
  Graph shop;
  double first = 0;
  double last = 0;
  for (std::uint64_t i = 1; i <= 12; ++i) {
    // Sessions that never do what the catalog says.
    shop.graph.text(run(i), "t", std::string(i, 'a') + "@b.example");
    last = stated(shop.next(run(i)), "find_order");
    first = i == 1 ? last : first;
    shop.graph.observe(run(i), "t", call("other" + std::to_string(i), "{}"), output("1"));
    shop.graph.end(run(i));
  }
  CHECK(first > 0.2);
  CHECK(last < first / 2);
}

TEST_CASE("descriptions say which task a text is about", "[declared]") {
  const DeclaredTasks tasks = {
      {"t1", "Tells when a parcel arrives", {}, {}, false},
      {"t2", "Gives the money back for an order", {}, {}, false},
      {"t3", "Changes the address of a customer", {}, {}, false},
  };
  const auto ranked = [&](const PredictionSettings& settings, const std::string& text) {
    Graph graph(tasks, settings);
    std::uint64_t sessions = 0;
    for (int i = 0; i < 9; ++i) {
      // Known from few calls, with texts that tell nothing.
      const RunId id = run(++sessions);
      graph.graph.text(id, "t", "hello");
      graph.graph.observe(id, "t", call("t" + std::to_string(1 + i % 3), "{}"), output("1"));
      graph.graph.end(id);
    }
    const RunId id = run(++sessions);
    graph.graph.text(id, "t", text);
    return graph.next(id);
  };
  PredictionSettings without;
  without.without = Idea::descriptions;
  const std::pair<std::string, std::string> asked[] = {
      {"When will my parcel arrive?", "t1"},
      {"I want my money back", "t2"},
      {"My address changed", "t3"},
  };
  for (const auto& [text, task] : asked) {
    const auto with = ranked({}, text);
    REQUIRE(with.size() == 3);
    CHECK(with.front().call.task() == task);
    const auto plain = ranked(without, text);
    CHECK(with[0].probability > with[1].probability);
    CHECK(plain.front().probability == plain.back().probability);
    CHECK(written(plain) == written(ranked(without, "so it is then")));
  }
}

TEST_CASE("a task that was never called is named by its description", "[declared]") {
  Graph graph({{"track", "Tells where a parcel is", object(R"({"parcel":"P-1"})"), {}, false}});
  graph.graph.text(run(1), "t", "Where is my parcel P-77?");
  const auto made = graph.next(run(1));
  REQUIRE_FALSE(made.empty());
  CHECK(made.front().call == call("track", R"({"parcel":"P-77"})"));
  graph.graph.text(run(2), "t", "Nice weather, code X-9.");
  CHECK(graph.next(run(2)).empty());
}

TEST_CASE("what the catalog says is the same for every tenant, and no tenant's history shows",
          "[declared]") {
  Graph shop;
  Graph alone;
  for (std::uint64_t i = 1; i < 10; ++i) {
    shop.graph.text(run(i), "other", "a@b.example");
    shop.graph.observe(run(i), "other", call("find_order", R"({"email":"a@b.example"})"),
                       output(R"({"order_id":"S-1"})"));
    shop.graph.observe(run(i), "other", call("refund", R"({"order_id":"S-1"})"), output("1"));
    shop.graph.end(run(i));
  }
  for (Graph* each : {&shop, &alone}) {
    each->graph.text(run(100), "t", "bob@home.example");
    each->graph.observe(run(100), "t", call("find_order", R"({"email":"bob@home.example"})"),
                        output(R"({"order_id":"B-22"})"));
  }
  CHECK_FALSE(alone.next(run(100)).empty());
  CHECK(written(shop.next(run(100))) == written(alone.next(run(100))));
}

TEST_CASE("a catalog without such words changes no prediction", "[declared]") {
  Graph plain(DeclaredTasks{});
  Graph named({{"a", "", {}, {}, false}, {"b", "", object("{}"), {}, false}});
  for (Graph* each : {&plain, &named}) {
    for (std::uint64_t i = 1; i < 20; ++i) {
      each->graph.text(run(i), "t", "go on");
      each->graph.observe(run(i), "t", call("a", R"({"x":1})"), output("1"));
      each->graph.observe(run(i), "t", call("b", R"({"x":2})"), output("2"));
      each->graph.end(run(i));
    }
    each->graph.text(run(50), "t", "go on");
    each->graph.observe(run(50), "t", call("a", R"({"x":1})"), output("1"));
  }
  CHECK_FALSE(plain.next(run(50)).empty());
  CHECK(written(plain.next(run(50))) == written(named.next(run(50))));
}

TEST_CASE("remembered predictions pass on what the catalog says", "[declared]") {
  RememberedPredictions remembered(std::make_unique<PredictionGraph>());
  remembered.declare(shop());
  remembered.text(run(1), "t", "bob@home.example");
  REQUIRE_FALSE(remembered.predict(run(1), {}).empty());
}

TEST_CASE("a catalog's races stand for their branches", "[declared]") {
  Task fast;
  fast.name = "fast";
  fast.effect = Effect::read;
  fast.command = {"true"};
  fast.example = object(R"({"x":1})");
  Task slow = fast;
  slow.name = "slow";
  slow.flow.next = {{"both"}};
  Task silent = fast;
  silent.name = "silent";
  silent.example.reset();
  Race both{"both", {"fast", "slow"}, SelectRule::ranked, {}, {{{"fast"}}, true}};
  const DeclaredTasks declared =
      declared_tasks(Catalog::make({fast, slow, silent}, {both}, {}).value());
  REQUIRE(declared.size() == 3);
  CHECK(declared[0].name == "both");
  CHECK(declared[0].example == fast.example);
  CHECK(declared[0].starts);
  CHECK(declared[0].next == std::vector<std::string>{"fast"});
  CHECK(declared[2].next == std::vector<std::string>{"both"});
}

TEST_CASE("the next of a count is an idea of its own", "[declared]") {
  const auto made = [](const PredictionSettings& settings) {
    PredictionGraph graph(settings);
    for (std::uint64_t i = 1; i < 20; ++i) {
      for (std::uint64_t page = 10 * i; page < 10 * i + 4; ++page) {
        graph.observe(run(i), "t", call("read", R"({"page":)" + std::to_string(page) + "}"),
                      output("1"));
      }
      graph.end(run(i));
    }
    graph.observe(run(50), "t", call("read", R"({"page":777})"), output("1"));
    return graph.predict(run(50), {});
  };
  const Call next = call("read", R"({"page":778})");
  const auto names = [&next](const std::vector<Prediction>& all) {
    return std::any_of(all.begin(), all.end(),
                       [&](const Prediction& each) { return each.call == next; });
  };
  CHECK(names(made({})));
  PredictionSettings without;
  without.without = Idea::counts;
  CHECK_FALSE(names(made(without)));
}
