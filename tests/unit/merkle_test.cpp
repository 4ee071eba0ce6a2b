#include "speculation/merkle.hpp"

#include <catch2/catch.hpp>

using namespace forerun;

TEST_CASE("every proof of every small tree verifies, and no other root does", "[merkle]") {
  const auto leaf = [](std::uint64_t i) { return merkle::leaf_hash(std::to_string(i)); };
  merkle::Frontier frontier;
  for (std::uint64_t size = 1; size <= 20; ++size) {
    frontier.append(leaf(size - 1));
    const Digest root = merkle::root(leaf, size);
    REQUIRE(frontier.root() == root);
    for (std::uint64_t i = 0; i < size; ++i) {
      const auto proof = merkle::inclusion_proof(leaf, i, size);
      REQUIRE(merkle::verify_inclusion(leaf(i), i, size, proof, root));
      REQUIRE_FALSE(merkle::verify_inclusion(leaf(i + 1), i, size, proof, root));
      const auto growth = merkle::consistency_proof(leaf, i + 1, size);
      REQUIRE(merkle::verify_consistency(i + 1, size, growth, merkle::root(leaf, i + 1), root));
      REQUIRE_FALSE(merkle::verify_consistency(i + 1, size, growth, leaf(99), root));
    }
  }
}
