#include "coordinator/known_nodes.hpp"

#include <catch2/catch.hpp>

#include "coordinator/worker_owners.hpp"

using namespace forerun;

namespace {

const NodeId one{"n1"};
const NodeId two{"n2"};
const WorkerId worker{Uuid{{1}}};

}  // namespace

TEST_CASE("a node is absent from its loss until it is back", "[known_nodes]") {
  KnownNodes nodes;
  nodes.joined(one);
  CHECK(nodes.absent({}).empty());
  nodes.lost(one, "first", "silent");
  REQUIRE(nodes.absent({}).size() == 1);
  CHECK(nodes.absent({})[0].name == "first");
  CHECK(nodes.absent({})[0].why == "silent");
  nodes.joined(one);
  CHECK(nodes.absent({}).empty());
}

TEST_CASE("whose key was taken off, or whose data came back under another, is not missed",
          "[known_nodes]") {
  KnownNodes nodes;
  nodes.allow({{one, "first"}, {two, "second"}});
  nodes.lost(one, "first", "silent");
  nodes.lost(two, "second", "silent");
  nodes.replaced(two);
  CHECK(nodes.absent({}).size() == 1);
  nodes.allow({{two, "second"}});
  CHECK(nodes.absent({}).empty());
  nodes.lost(one, "first", "unreachable");
  CHECK(nodes.absent({}).empty());
}

TEST_CASE("a key that has not joined is missed only while workers of earlier terms are",
          "[known_nodes]") {
  KnownNodes nodes;
  nodes.allow({{one, "first"}, {two, "second"}});
  nodes.joined(one);
  CHECK(nodes.absent({}).empty());
  const std::vector<AbsentNode> absent = nodes.absent(std::vector<WorkerId>{worker});
  REQUIRE(absent.size() == 1);
  CHECK(absent[0].id == two);
  CHECK(absent[0].why.find(to_string(worker)) != std::string::npos);
  nodes.joined(two);
  CHECK(nodes.absent(std::vector<WorkerId>{worker}).empty());
}

TEST_CASE("a key joins with a bounded number of workers in its life", "[known_nodes]") {
  KnownNodes known;
  known.allow({{one, "first"}, {two, "second"}});
  WorkerOwners owners;
  const auto offer = [](std::size_t number) {
    Uuid uuid;
    uuid.bytes[0] = static_cast<std::uint8_t>(number >> 8U);
    uuid.bytes[1] = static_cast<std::uint8_t>(number);
    return WorkerOffer{WorkerId{uuid}, 1, 0};
  };
  for (std::size_t i = 0; i < WorkerOwners::workers_per_key_max; ++i) {
    CHECK(owners.joined(offer(i).worker, one, known));
  }
  const std::vector<WorkerOffer> known_one{offer(0)};
  const std::vector<WorkerOffer> another{offer(0), offer(WorkerOwners::workers_per_key_max)};
  CHECK_FALSE(owners.joined(offer(0).worker, one, known));  // No news.
  CHECK_FALSE(owners.refusal(known_one, one, known));
  CHECK(owners.refusal(another, one, known));
  CHECK(owners.refusal(known_one, two, known));
  CHECK_FALSE(owners.refusal(std::vector<WorkerOffer>{another[1]}, two, known));
}

TEST_CASE("a worker's key is kept with its operator's name once that is told", "[known_nodes]") {
  KnownNodes known;
  WorkerOwners owners;
  const std::vector<WorkerOffer> offers{{worker, 1, 0}};
  REQUIRE(owners.joined(worker, one, known));
  // Nobody has told who may join, so no key is known to be gone.
  CHECK(owners.refusal(offers, two, known));
  known.allow({{two, ""}});
  CHECK(owners.refusal(offers, two, known));
  known.allow({{one, "first"}});
  const auto row = owners.joined(worker, one, known);
  REQUIRE(row);
  CHECK(row->name == "first");
  known.allow({{two, "first"}});
  CHECK_FALSE(owners.refusal(offers, two, known));
}
