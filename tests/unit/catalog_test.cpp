#include "speculation/catalog.hpp"

#include <catch2/catch.hpp>
#include <functional>

using namespace forerun;
using namespace std::chrono_literals;

namespace {

Task exec(std::string name, Effect effect = Effect::pure) {
  Task task;
  task.name = std::move(name);
  task.effect = effect;
  task.command = {"./run", task.name};
  return task;
}

/// The parts of a catalog that holds; each test changes one.
struct Parts {
  std::vector<Task> tasks{exec("fraud_fast"), exec("fraud_llm"), exec("order_lookup", Effect::read),
                          exec("refund", Effect::write)};
  std::vector<Race> races{
      Race{"fraud",
           {"fraud_fast", "fraud_llm"},
           SelectRule::ordered,
           {{"fraud_fast", "/confidence", ValidCondition::Test::at_least, 0.9}}}};
  std::vector<Pool> pools{Pool{"llm", 10}};

  Result<Catalog> make() const { return Catalog::make(tasks, races, pools); }
};

json::Value value(std::string_view text) {
  return json::parse(text).value();
}

}  // namespace

TEST_CASE("a race's name is answered by its branches, a task's by itself", "[catalog]") {
  const Catalog catalog = Parts().make().value();
  const CallPlan race = catalog.plan("fraud").value();
  REQUIRE(race.names == std::vector<std::string>{"fraud_fast", "fraud_llm"});
  REQUIRE(race.select == SelectRule::ordered);
  REQUIRE(race.race != nullptr);
  REQUIRE(race.tasks[1] == catalog.task("fraud_llm"));
  REQUIRE_FALSE(race.is_write());
  const CallPlan task = catalog.plan("refund").value();
  REQUIRE(task.names == std::vector<std::string>{"refund"});
  REQUIRE(task.race == nullptr);
  REQUIRE(task.is_write());
}

TEST_CASE("an unknown name is answered with the nearest one", "[catalog]") {
  const Catalog catalog = Parts().make().value();
  REQUIRE(catalog.plan("order_lokup").error().code == Errc::not_found);
  REQUIRE(catalog.plan("order_lokup").error().message ==
          "catalog: no task or race \"order_lokup\"; did you mean \"order_lookup\"?");
  REQUIRE(catalog.plan("frauds").error().message ==
          "catalog: no task or race \"frauds\"; did you mean \"fraud\"?");
  REQUIRE(catalog.plan("weather").error().message == "catalog: no task or race \"weather\"");
}

TEST_CASE("a catalog that does not hold is refused with its place", "[catalog]") {
  struct Change {
    std::function<void(Parts&)> apply;
    std::string message;
  };
  using Test = ValidCondition::Test;
  const auto change = GENERATE(values<Change>({
      {[](Parts& p) { p.races[0].branches[1] = "fraud_lm"; },
       "race.fraud.branches: no task \"fraud_lm\"; did you mean \"fraud_llm\"?"},
      {[](Parts& p) { p.races[0].branches[1] = "fraud_fast"; },
       "race.fraud.branches: \"fraud_fast\" twice, expected each task once"},
      {[](Parts& p) { p.races[0].branches[1] = "refund"; },
       "race.fraud.branches: \"refund\" has effect \"write\", expected \"pure\" or \"read\": a "
       "write runs once"},
      {[](Parts& p) { p.races[0].branches.pop_back(); },
       "race.fraud.branches: 1 branches, expected 2 to 16"},
      {[](Parts& p) { p.races[0].name = "refund"; },
       "race.refund: named like a task, expected a name of its own"},
      {[](Parts& p) { p.tasks.push_back(p.tasks[0]); }, "task.fraud_fast: named twice"},
      {[](Parts& p) { p.races[0].valid[0].branch = "fraud_fats"; },
       "race.fraud.valid: the race has no branch \"fraud_fats\"; did you mean \"fraud_fast\"?"},
      {[](Parts& p) { p.races[0].valid[0].pointer = "confidence"; },
       "race.fraud.valid: pointer \"confidence\": expected RFC 6901, as in \"/confidence\""},
      {[](Parts& p) { p.races[0].valid[0].operand = "high"; },
       "race.fraud.valid: at_least: expected a number"},
      {[](Parts& p) { p.races[0].valid[0].test = Test::one_of; },
       "race.fraud.valid: one_of: expected a list of values"},
      {[](Parts& p) { p.races[0].valid[0].test = Test::exists; },
       "race.fraud.valid: exists: expected true or false"},
      {[](Parts& p) { p.tasks[0].pool = "lm"; }, "task.fraud_fast.pool: no pool \"lm\""},
      {[](Parts& p) { p.tasks[0].pool = "lllm"; },
       "task.fraud_fast.pool: no pool \"lllm\"; did you mean \"llm\"?"},
      {[](Parts& p) { p.pools[0].in_flight_max = 0; },
       "pool.llm.max_in_flight: 0, expected at least 1"},
      {[](Parts& p) { p.tasks[0].command.clear(); },
       "task.fraud_fast.command: empty, expected a program and its arguments"},
      {[](Parts& p) { p.tasks[0].executor = ExecutorKind::world; },
       "task.fraud_fast.command: only for executor \"exec\", found \"world\""},
      {[](Parts& p) { p.tasks[2].reads = {{"order/{order_id"}}; },
       "task.order_lookup.reads: \"order/{order_id\": expected text with fields in braces, as in "
       "\"order/{order_id}\""},
      {[](Parts& p) { p.tasks[0].reads = {{"order"}}; },
       "task.fraud_fast.reads: a \"pure\" task reads nothing, expected effect \"read\" or "
       "\"write\""},
      {[](Parts& p) { p.tasks[2].writes = {{"order"}}; },
       "task.order_lookup.writes: only a task with effect \"write\" writes, found \"read\""},
      {[](Parts& p) { p.tasks[2].reads = std::vector<std::string>(33, "x"); },
       "task.order_lookup.reads: 33 tags, expected at most 32"},
      {[](Parts& p) { p.tasks[0].timeout = 0ms; },
       "task.fraud_fast.timeout_ms: expected more than 0 and at most 24 hours"},
      {[](Parts& p) {
         p.tasks[0].flow.next = {{"order_lookup", "refnd"}};
       },
       "task.fraud_fast.next: no task or race \"refnd\"; did you mean \"refund\"?"},
      {[](Parts& p) { p.races[0].flow.next = {{"nowhere_at_all"}}; },
       "race.fraud.next: no task or race \"nowhere_at_all\""},
      {[](Parts& p) {
         p.tasks[0].flow.next = {{"refund", "fraud", "refund"}};
       },
       "task.fraud_fast.next: \"refund\" twice, expected each name once"},
      {[](Parts& p) { p.tasks[0].flow.next = std::vector<std::string>(33, "refund"); },
       "task.fraud_fast.next: 33 names, expected at most 32"},
      {[](Parts& p) { p.tasks[0].name = ""; }, "task.: a name of 0 bytes, expected 1 to 256"},
  }));
  Parts parts;
  change.apply(parts);
  const auto made = parts.make();
  REQUIRE_FALSE(made);
  REQUIRE(made.error().message == change.message);
}

TEST_CASE("a node receives every field of the catalog", "[catalog]") {
  Parts parts;
  parts.tasks[2].reads = {{"order/{order_id}", "stock"}};
  parts.tasks[3].writes = std::vector<std::string>{};
  parts.tasks[3].idempotent = true;
  parts.tasks[3].scope = HazardScope::session;
  parts.tasks[1].pool = "llm";
  parts.tasks[1].deterministic = false;
  parts.tasks[1].sandbox = false;
  parts.tasks[1].timeout = 1234567us;
  parts.tasks[1].age_max = 1us;
  parts.tasks[1].description = "asks \"a model\"";
  parts.tasks[1].flow = {{{"fraud", "refund"}}, true};
  parts.tasks[1].example = *value(R"({"a":{"b":[1]}})").object();
  parts.races[0].flow.next = std::vector<std::string>{};
  Task native;
  native.name = "total";
  native.executor = ExecutorKind::native;
  parts.tasks.push_back(native);
  parts.races[0].valid.push_back(
      {"fraud_llm", "/a~1b", ValidCondition::Test::one_of, value(R"(["x",{"y":1}])")});
  const Catalog catalog = parts.make().value();
  const std::string text = json::canonical(catalog.to_json());
  const Catalog read = Catalog::from_json(json::parse(text, catalog_wire_limits).value()).value();
  REQUIRE(json::canonical(read.to_json()) == text);
  REQUIRE(read.task("total")->function == "total");
  REQUIRE(read.task("refund")->writes->empty());
  REQUIRE_FALSE(read.task("refund")->reads);
  REQUIRE(read.task("refund")->scope == HazardScope::session);
  REQUIRE(read.task("fraud_llm")->timeout == 1234567us);
  REQUIRE(read.task("fraud_llm")->age_max == 1us);
  REQUIRE_FALSE(read.task("fraud_llm")->sandbox);
  REQUIRE(read.races().at("fraud").valid[1].operand == value(R"(["x",{"y":1}])"));
  REQUIRE(read.pool("llm")->in_flight_max == 10);
  REQUIRE(read.task("fraud_llm")->flow.next == std::vector<std::string>{"fraud", "refund"});
  REQUIRE(read.task("fraud_llm")->flow.starts);
  REQUIRE(read.task("fraud_llm")->example == parts.tasks[1].example);
  REQUIRE(read.races().at("fraud").flow.next->empty());
  REQUIRE_FALSE(read.task("refund")->flow.next);
  REQUIRE_FALSE(read.task("refund")->example);
}

TEST_CASE("a catalog from a newer coordinator is refused rather than half understood",
          "[catalog]") {
  json::Value wire = Parts().make().value().to_json();
  json::Object& task = *wire.object()->find("task")->object()->find("refund")->object();
  task.set("careful", true);
  REQUIRE(Catalog::from_json(wire).error().message ==
          "task.refund: has a field that this version does not know");
  task.set("effect", "mostly harmless");
  REQUIRE(Catalog::from_json(wire).error().message ==
          "task.refund: effect: \"mostly harmless\" is not known");
  REQUIRE(Catalog::from_json(json::Value()).error().message == "catalog: task: expected an object");
}

TEST_CASE("text that is not UTF-8 never reaches a node", "[catalog]") {
  Parts parts;
  parts.tasks[0].description = "\xFF";
  REQUIRE_FALSE(parts.make());
}

TEST_CASE("the nearest name is at most a third of the name away", "[catalog]") {
  const std::vector<std::string> names{"classify", "lookup", "lockup"};
  REQUIRE(nearest_name("clasify", names) == "classify");
  REQUIRE(nearest_name("loookup", names) == "lookup");
  REQUIRE(nearest_name("lokup", names) == "lookup");
  REQUIRE_FALSE(nearest_name("lk", names));
  REQUIRE_FALSE(nearest_name("refund", names));
}

TEST_CASE("a branch is valid when all of its conditions hold", "[catalog]") {
  using Test = ValidCondition::Test;
  const json::Value output =
      value(R"({"confidence":0.9,"label":"ok","items":[{"id":1}],"none":null})");
  const auto holds = [&](const std::string& pointer, Test test, json::Value operand) {
    const std::vector<ValidCondition> conditions{{"a", pointer, test, std::move(operand)},
                                                 {"b", "/missing", Test::exists, true}};
    return output_is_valid(conditions, "a", output);
  };
  CHECK(holds("/confidence", Test::at_least, 0.9));
  CHECK_FALSE(holds("/confidence", Test::at_least, 0.91));
  CHECK(holds("/confidence", Test::at_most, 0.9));
  CHECK_FALSE(holds("/confidence", Test::at_most, 0.89));
  CHECK_FALSE(holds("/label", Test::at_least, 0));
  CHECK(holds("/label", Test::equals, "ok"));
  CHECK_FALSE(holds("/label", Test::equals, "no"));
  CHECK(holds("/items/0", Test::equals, value(R"({"id":1})")));
  CHECK(holds("/label", Test::one_of, value(R"(["no","ok"])")));
  CHECK_FALSE(holds("/label", Test::one_of, value(R"(["no"])")));
  CHECK(holds("/none", Test::exists, true));
  CHECK_FALSE(holds("/nothing", Test::exists, true));
  CHECK(holds("/nothing", Test::exists, false));
  CHECK_FALSE(holds("/nothing", Test::equals, json::Value()));
}

TEST_CASE("pointers follow RFC 6901", "[catalog]") {
  const json::Value document = value(R"({"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"c":{"d":2}})");
  const auto at = [&](std::string_view pointer) {
    const json::Value* found = resolve_pointer(document, pointer);
    return found == nullptr ? std::string("nowhere") : json::canonical(*found);
  };
  CHECK(at("") == json::canonical(document));
  CHECK(at("/foo/1") == "\"baz\"");
  CHECK(at("/") == "0");
  CHECK(at("/a~1b") == "1");
  CHECK(at("/m~0n") == "8");
  CHECK(at("/c/d") == "2");
  for (const char* pointer :
       {"foo", "/foo/2", "/foo/01", "/foo/-", "/foo/-1", "/foo/", "/c/d/e", "/m~n", "/m~"}) {
    INFO(pointer);
    CHECK(at(pointer) == "nowhere");
  }
}
