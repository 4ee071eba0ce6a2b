#include "speculation/merkle.hpp"

#include <bit>

#include "base/assert.hpp"

namespace forerun::merkle {
namespace {

/// The largest power of two below n. @pre n > 1.
std::uint64_t split(std::uint64_t n) {
  return std::bit_floor(n - 1);
}

Digest range_root(const LeafHashes& leaves, std::uint64_t from, std::uint64_t size) {
  if (size == 1) {
    return leaves(from);
  }
  const std::uint64_t k = split(size);
  return node_hash(range_root(leaves, from, k), range_root(leaves, from + k, size - k));
}

void inclusion(const LeafHashes& leaves, std::uint64_t from, std::uint64_t size,
               std::uint64_t index, std::vector<Digest>& proof) {
  if (size == 1) {
    return;
  }
  const std::uint64_t k = split(size);
  if (index < k) {
    inclusion(leaves, from, k, index, proof);
    proof.push_back(range_root(leaves, from + k, size - k));
  } else {
    inclusion(leaves, from + k, size - k, index - k, proof);
    proof.push_back(range_root(leaves, from, k));
  }
}

void consistency(const LeafHashes& leaves, std::uint64_t from, std::uint64_t size,
                 std::uint64_t first, bool whole, std::vector<Digest>& proof) {
  if (first == size) {
    if (!whole) {
      proof.push_back(range_root(leaves, from, size));
    }
    return;
  }
  const std::uint64_t k = split(size);
  if (first <= k) {
    consistency(leaves, from, k, first, whole, proof);
    proof.push_back(range_root(leaves, from + k, size - k));
  } else {
    consistency(leaves, from + k, size - k, first - k, false, proof);
    proof.push_back(range_root(leaves, from, k));
  }
}

}  // namespace

Digest leaf_hash(std::string_view leaf) {
  return sha256_concat(0, as_bytes_of(leaf), {});
}
Digest node_hash(const Digest& left, const Digest& right) {
  return sha256_concat(1, left.bytes, right.bytes);
}
Digest empty_root() {
  return sha256(std::string_view());
}

void Frontier::append(const Digest& leaf) {
  Digest node = leaf;
  for (std::uint64_t bits = size_; (bits & 1U) != 0; bits >>= 1U) {
    node = node_hash(peaks_.back(), node);
    peaks_.pop_back();
  }
  peaks_.push_back(node);
  ++size_;
}

Digest Frontier::root() const {
  if (peaks_.empty()) {
    return empty_root();
  }
  Digest node = peaks_.back();
  for (std::size_t i = peaks_.size() - 1; i-- > 0;) {
    node = node_hash(peaks_[i], node);
  }
  return node;
}

Digest root(const LeafHashes& leaves, std::uint64_t size) {
  return size == 0 ? empty_root() : range_root(leaves, 0, size);
}

std::vector<Digest> inclusion_proof(const LeafHashes& leaves, std::uint64_t index,
                                    std::uint64_t size) {
  FORERUN_ASSERT(index < size);
  std::vector<Digest> proof;
  inclusion(leaves, 0, size, index, proof);
  return proof;
}

std::vector<Digest> consistency_proof(const LeafHashes& leaves, std::uint64_t first,
                                      std::uint64_t size) {
  FORERUN_ASSERT(first <= size);
  std::vector<Digest> proof;
  if (first != 0 && first != size) {
    consistency(leaves, 0, size, first, true, proof);
  }
  return proof;
}

bool verify_inclusion(const Digest& leaf, std::uint64_t index, std::uint64_t size,
                      std::span<const Digest> proof, const Digest& root) {
  if (index >= size) {
    return false;
  }
  std::uint64_t fn = index;
  std::uint64_t sn = size - 1;
  Digest r = leaf;
  for (const Digest& p : proof) {
    if (sn == 0) {
      return false;
    }
    if ((fn & 1U) != 0 || fn == sn) {
      r = node_hash(p, r);
      while ((fn & 1U) == 0 && fn != 0) {
        fn >>= 1U;
        sn >>= 1U;
      }
    } else {
      r = node_hash(r, p);
    }
    fn >>= 1U;
    sn >>= 1U;
  }
  return sn == 0 && r == root;
}

bool verify_consistency(std::uint64_t first, std::uint64_t second, std::span<const Digest> proof,
                        const Digest& first_root, const Digest& second_root) {
  if (first > second) {
    return false;
  }
  if (first == second) {
    return proof.empty() && first_root == second_root;
  }
  if (first == 0) {
    return proof.empty() && first_root == empty_root();
  }
  std::vector<Digest> path(proof.begin(), proof.end());
  if (std::has_single_bit(first)) {
    path.insert(path.begin(), first_root);
  }
  if (path.empty()) {
    return false;
  }
  std::uint64_t fn = first - 1;
  std::uint64_t sn = second - 1;
  while ((fn & 1U) != 0) {
    fn >>= 1U;
    sn >>= 1U;
  }
  Digest fr = path.front();
  Digest sr = path.front();
  for (std::size_t i = 1; i < path.size(); ++i) {
    if (sn == 0) {
      return false;
    }
    if ((fn & 1U) != 0 || fn == sn) {
      fr = node_hash(path[i], fr);
      sr = node_hash(path[i], sr);
      while ((fn & 1U) == 0 && fn != 0) {
        fn >>= 1U;
        sn >>= 1U;
      }
    } else {
      sr = node_hash(sr, path[i]);
    }
    fn >>= 1U;
    sn >>= 1U;
  }
  return sn == 0 && fr == first_root && sr == second_root;
}

}  // namespace forerun::merkle
