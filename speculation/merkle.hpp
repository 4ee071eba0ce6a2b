#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sha256.hpp"

/// The Merkle tree of RFC 9162 §2.1 with SHA-256: leaf hash 0x00 ‖ leaf, node hash 0x01 ‖ left ‖
/// right.
namespace forerun::merkle {

Digest leaf_hash(std::string_view leaf);
Digest node_hash(const Digest& left, const Digest& right);
/// SHA-256 of the empty string.
Digest empty_root();

/// The right edge of a tree: enough to append and to know the root, in O(log n) memory.
class Frontier {
public:
  Frontier() = default;
  void append(const Digest& leaf);
  std::uint64_t size() const { return size_; }
  Digest root() const;

private:
  std::uint64_t size_ = 0;
  std::vector<Digest> peaks_;  ///< Roots of the perfect subtrees, largest first.
};

/// Gives the leaf hash at an index; used for proofs over a store.
using LeafHashes = std::function<Digest(std::uint64_t index)>;

/// MTH of the first `size` leaves.
Digest root(const LeafHashes& leaves, std::uint64_t size);
/// PATH(index, D[size]) of §2.1.3.1. @pre index < size.
std::vector<Digest> inclusion_proof(const LeafHashes& leaves, std::uint64_t index,
                                    std::uint64_t size);
/// PROOF(first, D[size]) of §2.1.4.1; empty when first == size or first == 0. @pre first <= size.
std::vector<Digest> consistency_proof(const LeafHashes& leaves, std::uint64_t first,
                                      std::uint64_t size);

/// §2.1.3.2.
bool verify_inclusion(const Digest& leaf, std::uint64_t index, std::uint64_t size,
                      std::span<const Digest> proof, const Digest& root);
/// §2.1.4.2.
bool verify_consistency(std::uint64_t first, std::uint64_t second, std::span<const Digest> proof,
                        const Digest& first_root, const Digest& second_root);

}  // namespace forerun::merkle
