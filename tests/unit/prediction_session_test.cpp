#include "coordinator/prediction_session.hpp"

#include <catch2/catch.hpp>

#include "coordinator/prediction_tenant.hpp"
#include "tests/support/run_of.hpp"

using namespace forerun;

namespace {

using test::run;

prediction::Sessions sessions_within(std::size_t sessions, std::size_t bytes) {
  return prediction::Sessions({sessions, bytes, {}});
}

}  // namespace

TEST_CASE("the session that was used least recently goes", "[prediction_session]") {
  prediction::Sessions sessions = sessions_within(2, SIZE_MAX);
  sessions.add(run(1), 1, "t");
  sessions.add(run(2), 1, "t");
  CHECK(sessions.use(run(1)) != nullptr);
  sessions.count_bytes(sessions.add(run(3), 1, "t"));
  CHECK(sessions.size() == 2);
  CHECK(sessions.find(run(1)) != nullptr);
  CHECK(sessions.find(run(2)) == nullptr);
}

TEST_CASE("sessions go while they hold too many bytes, but for the one in use",
          "[prediction_session]") {
  prediction::Sessions sessions = sessions_within(10, 1);
  for (std::uint64_t i = 0; i < 3; ++i) {
    prediction::Session& session = sessions.add(run(i), 1, "t");
    session.memory.add_text("some words that are kept");
    sessions.count_bytes(session);
  }
  CHECK(sessions.size() == 1);
  CHECK(sessions.find(run(2)) != nullptr);
  CHECK(sessions.bytes() > 0);
  sessions.erase(run(2));
  sessions.erase(run(2));
  CHECK(sessions.bytes() == 0);
}

TEST_CASE("all sessions of a tenant are erased, and no other", "[prediction_session]") {
  prediction::Sessions sessions = sessions_within(10, SIZE_MAX);
  sessions.add(run(1), 1, "t");
  sessions.add(run(2), 2, "u");
  sessions.add(run(3), 1, "t");
  sessions.erase_all_of("t");
  CHECK(sessions.size() == 1);
  CHECK(sessions.find(run(2)) != nullptr);
}

TEST_CASE("what stands beside a session's steps keeps their numbers", "[prediction_session]") {
  prediction::Sessions sessions = sessions_within(1, SIZE_MAX);
  prediction::Session& session = sessions.add(run(1), 1, "t");
  session.forms = {0, 1, 2, 3, 4, 5};
  session.turn_from = 5;
  session.forget({1, 3});
  CHECK(session.forms == std::vector<prediction::Key>{0, 4, 5});
  CHECK(session.turn_from == 2);
  session.turn_from = 1;
  session.forget({0, 2});
  CHECK(session.turn_from == 0);
}

TEST_CASE("a forgotten tenant comes back under another key", "[prediction_tenant]") {
  prediction::Tenants tenants(2);
  const prediction::Key key = tenants.take("t").key;
  CHECK(tenants.take("u").key != key);
  tenants.forget("t");
  CHECK(tenants.find("t") == nullptr);
  CHECK(tenants.take("t").key != key);
}

TEST_CASE("a tenant whose room was needed comes back under its own key", "[prediction_tenant]") {
  prediction::Tenants tenants(2);
  const prediction::Key key = tenants.take("t").key;
  tenants.take("u");
  tenants.take("v");
  CHECK(tenants.find("t") == nullptr);
  CHECK(tenants.find("u") != nullptr);
  CHECK(tenants.size() == 2);
  CHECK(tenants.take("t").key == key);
}
