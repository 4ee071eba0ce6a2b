// Taught sessions: their form, which are kept, and in which order the past is read.
#include <catch2/catch.hpp>

#include "coordinator/history_book.hpp"
#include "speculation/history.hpp"

using namespace forerun;
using Catch::Matchers::Contains;

namespace {

Error refusal_of(const std::string& text) {
  const auto session = parse_history_text(text);
  REQUIRE_FALSE(session);
  return session.error();
}

HistoryEntry entry(const std::string& name, std::uint64_t bytes = 10, std::uint64_t at = 0,
                   const std::string& tenant = "t") {
  return {0, tenant, name, Seq{at}, 2, bytes, sha256(name)};
}

HistoryLimits limits_of(std::size_t sessions, std::uint64_t bytes = 1000) {
  HistoryLimits limits;
  limits.sessions_max = sessions;
  limits.bytes_max = bytes;
  return limits;
}

using Judgement = HistoryBook::Judgement;

}  // namespace

TEST_CASE("a taught session is read as a line of a trace is", "[history]") {
  const std::string line =
      R"({"session":"s","group":"g","context":"c","steps":[)"
      R"({"task":"a","input":{"x":1},"output":[2],"pre":["hello"],"latency_ms":3},)"
      R"({"task":"b","input":{}}]})";
  const auto session = parse_history_text(line);
  REQUIRE(session);
  CHECK(session->name == "s");
  CHECK(session->context == "c");
  REQUIRE(session->steps.size() == 2);
  CHECK(session->steps[0].texts == std::vector<std::string>{"hello"});
  CHECK(session->steps[0].output->canonical() == "[2]");
  CHECK_FALSE(session->steps[1].output);
  const std::string text = history_text(*session);
  CHECK(history_text(*parse_history_text(text)) == text);
}

TEST_CASE("a refusal names session, step and member", "[history]") {
  CHECK_THAT(refusal_of("[]").message, Contains("not an object"));
  CHECK_THAT(refusal_of(R"({"steps":[]})").message, Contains("member \"session\": missing"));
  CHECK_THAT(refusal_of(R"({"session":"s","steps":[]})").message,
             Contains("session \"s\": member \"steps\": 0 steps, expected 1 to 10000"));
  CHECK_THAT(
      refusal_of(R"({"session":"s","steps":[{"task":"a","input":{}},{"task":"b"}]})").message,
      Contains("session \"s\": step 1: member \"input\": missing, expected an object"));
  CHECK_THAT(refusal_of(R"({"session":"s","steps":[{"task":7,"input":{}}]})").message,
             Contains("session \"s\": step 0: member \"task\": of another type"));
  const std::string long_name(history_name_bytes_max + 1, 'x');
  CHECK(refusal_of(R"({"session":")" + long_name + R"(","steps":[]})").code == Errc::too_large);
  CHECK(refusal_of(R"({"session":"s","steps":[{"task":"a","input":{},"pre":[1]}]})").code ==
        Errc::invalid);
}

TEST_CASE("a session is taught once", "[history]") {
  HistoryBook book(limits_of(10));
  HistoryEntry first = entry("a");
  CHECK(book.judge("t", "a", first.hash, 10) == Judgement::is_new);
  CHECK(book.add(first).empty());
  CHECK(first.number == 1);
  CHECK(book.judge("t", "a", first.hash, 10) == Judgement::is_known);
  CHECK(book.judge("t", "a", sha256("other"), 10) == Judgement::is_another);
  CHECK(book.judge("other tenant", "a", first.hash, 10) == Judgement::is_new);
  CHECK(book.judge("t", "b", first.hash, 1001) == Judgement::is_too_large);
}

TEST_CASE("the oldest sessions of a tenant go first, by count and by bytes", "[history]") {
  HistoryBook book(limits_of(2, 25));
  HistoryEntry a = entry("a");
  HistoryEntry b = entry("b");
  HistoryEntry others = entry("a", 10, 0, "other tenant");
  HistoryEntry c = entry("c");
  CHECK(book.add(a).empty());
  CHECK(book.add(b).empty());
  CHECK(book.add(others).empty());
  CHECK(book.add(c) == std::vector<std::uint64_t>{a.number});
  CHECK(book.judge("t", "a", a.hash, 10) == Judgement::is_new);
  HistoryEntry large = entry("large", 20);
  CHECK(book.add(large) == std::vector<std::uint64_t>{b.number, c.number});
  CHECK(book.totals("t").sessions == 1);
  CHECK(book.totals("t").bytes == 20);
  CHECK(book.totals("t").steps == 2);
  CHECK(book.forget("t") == std::vector<std::uint64_t>{large.number});
  CHECK(book.totals("t").sessions == 0);
  CHECK(book.totals("other tenant").sessions == 1);
  HistoryEntry later = entry("a");
  book.add(later);
  CHECK(later.number > large.number);  // Numbers are not used again.
}

TEST_CASE("the past is read in the order in which it happened", "[history]") {
  HistoryLimits limits = limits_of(10);
  HistoryBook book(limits);
  PastReading reading(limits);
  // Entries 1, 2; taught a; entry 5; taught b and c.
  for (const std::uint64_t seq : {1, 2, 5}) {
    reading.commit(Seq{seq});
  }
  HistoryEntry a = entry("a", 10, 3);
  HistoryEntry b = entry("b", 10, 6);
  HistoryEntry c = entry("c", 10, 6);
  book.add(a);
  book.add(b);
  book.add(c);
  reading.begin(book, 6);
  CHECK(reading.left(book) == 9);
  CHECK_FALSE(reading.is_recovered(book));

  auto read = reading.next(book);
  REQUIRE(read);
  CHECK(read->from == Seq{1});
  CHECK(read->until == Seq{3});
  CHECK_FALSE(reading.next(book));  // One page at a time.
  reading.arrived({{}, {}, 0, Seq{2}});
  CHECK(reading.left(book) == 8);
  read = reading.next(book);
  CHECK(read->from == Seq{2});
  reading.arrived({{}, {}, 0, Seq{3}});

  read = reading.next(book);
  CHECK(read->first == a.number);
  CHECK(read->last == b.number);
  reading.arrived({{}, {}, read->last, {}});
  read = reading.next(book);
  CHECK(read->from == Seq{3});
  CHECK(read->until == Seq{6});
  reading.arrived({{}, {}, 0, Seq{6}});
  CHECK(reading.is_ledger_read());
  read = reading.next(book);
  CHECK(read->first == b.number);
  CHECK(read->last == c.number + 1);
  CHECK_FALSE(reading.is_recovered(book));
  reading.arrived({{}, {}, read->last, {}});
  CHECK(reading.is_recovered(book));
  CHECK(reading.left(book) == 0);
  CHECK_FALSE(reading.next(book));

  // What is taught from now on is read once it is durable.
  HistoryEntry d = entry("d", 10, 6);
  book.add(d);
  CHECK_FALSE(reading.next(book));
  reading.durable(book.next_number());
  read = reading.next(book);
  REQUIRE(read);
  CHECK(read->first == d.number);
}

TEST_CASE("only the latest steps are learned again", "[history]") {
  HistoryLimits limits = limits_of(10);
  limits.learn_again_steps_max = 3;
  HistoryBook book(limits);
  PastReading reading(limits);
  for (std::uint64_t seq = 1; seq <= 100; ++seq) {
    reading.commit(Seq{seq});
  }
  HistoryEntry old = entry("old", 10, 50);
  HistoryEntry young = entry("young", 10, 100);
  book.add(old);
  book.add(young);
  reading.begin(book, 101);
  // Entry 100, then two steps that were taught before it.
  CHECK(reading.left(book) == 3);
  auto read = reading.next(book);
  CHECK(read->first == young.number);
  reading.arrived({{}, {}, read->last, {}});
  read = reading.next(book);
  CHECK(read->from == Seq{100});
  reading.arrived({{}, {}, 0, Seq{101}});
  CHECK(reading.is_recovered(book));
}

TEST_CASE("with a limit of nothing, nothing is learned again", "[history]") {
  HistoryLimits limits = limits_of(10);
  limits.learn_again_steps_max = 0;
  HistoryBook book(limits);
  PastReading reading(limits);
  reading.commit(Seq{1});
  HistoryEntry old = entry("old");
  book.add(old);
  reading.begin(book, 2);
  CHECK(reading.is_recovered(book));
  CHECK_FALSE(reading.next(book));
  CHECK(reading.left(book) == 0);
}
