#include "coordinator/known_nodes.hpp"

#include <catch2/catch.hpp>

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
