#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coordinator/prediction_hash.hpp"

namespace forerun::prediction {

/// How important each call's form is in one tenant's history: PageRank (Brin and Page 1998) over
/// what followed what, with damping 0.85. It is what is known of a form where no context is.
/// Computed anew each time a quarter more has been learned, so in constant time a step. Bounded.
class Importance {
public:
  static constexpr std::size_t nodes_max = 1'024;
  static constexpr std::size_t followers_max = 16;  ///< Of one form; the rarest goes.

  void learn(Key from, Key to);
  /// 1: as important as the average form, or unknown.
  double of(Key form) const;

private:
  struct Node {
    double rank = 1;
    std::vector<std::pair<std::uint32_t, double>> followers{};
  };
  std::uint32_t node_of(Key form);
  void compute();

  std::vector<Node> nodes_;
  BoundedTable<std::uint32_t> by_form_{nodes_max};
  std::uint64_t learned_ = 0;
  std::uint64_t due_ = 64;
};

}  // namespace forerun::prediction
