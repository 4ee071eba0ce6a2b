#include "coordinator/open_past.hpp"

#include <catch2/catch.hpp>

#include "tests/support/run_of.hpp"

namespace forerun {
namespace {

using test::run;

StoredEntry taken(const RunId& run_id, std::uint32_t step) {
  StoredEntry entry;
  entry.run_id = run_id;
  entry.step = StepNumber{step};
  entry.call = R"({"input":{"n":)" + std::to_string(step) + R"(},"task":"t"})";
  entry.output = std::to_string(step);
  return entry;
}

SessionRow open_session(const RunId& run_id) {
  SessionRow row;
  row.run_id = run_id;
  row.tenant = "acme";
  row.context = "c";
  return row;
}

/// Every lesson that is left, as it would be read: "c", a text, or a step's output.
std::string all(OpenPast& past) {
  std::string told;
  while (const auto lesson = past.next()) {
    if (const auto* text = std::get_if<std::string>(&lesson->what)) {
      told += *text;
    } else {
      const auto& step = std::get<Lesson::Step>(lesson->what);
      told += step.output ? step.output->canonical() : "-";
    }
    told += ' ';
  }
  return told;
}

TEST_CASE("open sessions are learned again in their own order, texts among the steps",
          "[open_past]") {
  OpenPast past({});
  past.commit(taken(run(2), 0));
  past.commit(taken(run(1), 0));
  past.commit(taken(run(1), 1));
  past.commit(taken(run(3), 0));
  StoredEntry failed = taken(run(1), 2);
  failed.output.clear();
  past.commit(failed);
  StoredEntry erased = taken(run(1), 3);
  erased.call.clear();
  past.commit(erased);
  past.open(open_session(run(1)), {{run(1), StepNumber{1}, 0, "early"},
                                   {run(1), StepNumber{1}, 1, "also"},
                                   {run(1), StepNumber{4}, 2, "late"}});
  past.open(open_session(run(2)), {});
  past.settle();
  CHECK(past.steps() == 5);
  CHECK(past.contains(run(2)));
  CHECK_FALSE(past.contains(run(3)));
  // One session may be asked for out of turn.
  CHECK(std::get<std::string>(past.next(run(2))->what) == "c");
  CHECK(past.next(run(2)).has_value());
  CHECK_FALSE(past.next(run(2)));
  CHECK_FALSE(past.next(run(3)));
  CHECK(all(past) == "c 0 early also 1 - late ");
  CHECK(past.empty());
  CHECK(past.steps() == 0);
}

TEST_CASE("of all open sessions' steps the latest are kept, by number and by bytes",
          "[open_past]") {
  const std::size_t one = taken(run(1), 0).call.size() + 1;
  for (const OpenPast::Limits& limits :
       {OpenPast::Limits{3, 1U << 20U}, OpenPast::Limits{100, (3 * one) + 1}}) {
    OpenPast past(limits);
    for (std::uint32_t step = 0; step < 4; ++step) {
      past.commit(taken(run(1), step));
      past.commit(taken(run(2), step));
    }
    past.open(open_session(run(1)), {{run(1), StepNumber{1}, 0, "early"}});
    past.open(open_session(run(2)), {});
    past.settle();
    CHECK(past.steps() == 3);
    CHECK(all(past) == "c early 3 c 2 3 ");
  }
}

TEST_CASE("what a session does meanwhile is learned behind what it did before", "[open_past]") {
  OpenPast past({});
  past.commit(taken(run(1), 0));
  past.commit(taken(run(1), 1));
  past.open(open_session(run(1)), {{run(1), StepNumber{2}, 0, "late"}});
  past.settle();
  CHECK(past.next(run(1)).has_value());
  past.add({run(1), "acme", Lesson::Step{Call::make("t", {}), Output::make("new")}});
  past.add({run(1), "acme", std::string("newest")});
  CHECK(past.steps() == 3);
  CHECK(past.steps(run(1)) == 3);
  CHECK(past.steps(run(2)) == 0);
  CHECK(all(past) == "0 1 late \"new\" newest ");
  CHECK(past.steps() == 0);
  CHECK_FALSE(past.contains(run(1)));
}

TEST_CASE("one step of more than all may hold is not kept", "[open_past]") {
  OpenPast past({100, 10});
  past.commit(taken(run(1), 0));
  past.open(open_session(run(1)), {});
  past.settle();
  CHECK(all(past) == "c ");
}

}  // namespace
}  // namespace forerun
