#include <catch2/catch.hpp>
#include <utility>
#include <vector>

#include "coordinator/run_ids.hpp"
#include "tests/support/scripted_cluster.hpp"

using namespace forerun;
using namespace forerun::test;

namespace {

const WorkerId home{Uuid{{1}}};

void store(RunIdAllocator& run_ids, const RunIdAllocator::Reservation& reservation) {
  run_ids.stored_here(reservation.worker, reservation.mark);
  run_ids.stored_at_home(reservation.worker, reservation.mark);
}

}  // namespace

TEST_CASE("blocks of any size are followed by the next one", "[run_ids]") {
  const std::uint64_t block = GENERATE(1, 2, 3, 1024);
  RunIdAllocator run_ids(block);
  store(run_ids, run_ids.joined(home, 0).value());
  for (std::uint64_t counter = 1; counter <= 3 * block; ++counter) {
    const auto run_id = run_ids.take(home);
    REQUIRE(run_id);
    CHECK(run_id->counter == counter);
    if (const auto reservation = run_ids.refill(home)) {
      store(run_ids, *reservation);
    }
  }
}

TEST_CASE("the mark that a home was asked for is known until it has answered", "[run_ids]") {
  RunIdAllocator run_ids(4);
  CHECK_FALSE(run_ids.awaited_at_home(home));
  const auto reservation = run_ids.joined(home, 0);
  REQUIRE(reservation);
  CHECK(run_ids.awaited_at_home(home) == reservation->mark);
  run_ids.stored_at_home(home, reservation->mark);
  CHECK_FALSE(run_ids.awaited_at_home(home));
}

TEST_CASE("a question for run IDs that was lost is asked again while a session waits",
          "[run_ids][coordinator_machine]") {
  ScriptedCluster cluster;
  Join join;
  join.name = "node";
  join.instance = 1;
  join.workers = {{home, 1, 0}};
  const NodeId node{"n"};
  const ConnectionId connection{1};
  cluster.input(NodeSaid{connection, node, join});
  cluster.persist();
  cluster.sent.clear();  // Lost on the way.
  const auto asked = [&cluster] {
    std::vector<std::uint64_t> marks;
    for (const ToNode& message : std::exchange(cluster.sent, {})) {
      if (const auto* reserve = std::get_if<ReserveRunIds>(&message.message)) {
        marks.push_back(reserve->mark);
      }
    }
    return marks;
  };
  Heartbeat beat;
  beat.epoch = cluster.machine->epoch();
  cluster.input(NodeSaid{connection, node, beat});
  CHECK(asked().empty());  // Nobody waits for it.
  cluster.input(ClientRequest{RequestId{1}, "default", OpenSession{}});
  cluster.input(NodeSaid{connection, node, beat});
  const std::vector<std::uint64_t> marks = asked();
  REQUIRE(marks.size() == 1);
  cluster.input(NodeSaid{connection, node, MarkStored{home, marks.front()}});
  cluster.persist();
  REQUIRE(cluster.answer(RequestId{1}) != nullptr);
  CHECK(std::get<SessionOpened>(*cluster.answer(RequestId{1})).run_id.home == home);
}
