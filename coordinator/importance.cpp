#include "coordinator/importance.hpp"

#include <algorithm>

namespace forerun::prediction {

namespace {

constexpr double damping = 0.85;
constexpr int rounds = 10;
constexpr std::uint32_t no_node = 0xffffffff;

}  // namespace

std::uint32_t Importance::node_of(Key form) {
  if (const std::uint32_t* known = by_form_.find(form)) {
    return *known;
  }
  if (nodes_.size() >= nodes_max) {
    return no_node;
  }
  const auto made = static_cast<std::uint32_t>(nodes_.size());
  nodes_.emplace_back();
  by_form_.touch(form) = made;
  return made;
}

void Importance::learn(Key from, Key to) {
  const std::uint32_t a = node_of(from);
  const std::uint32_t b = node_of(to);
  if (a == no_node || b == no_node) {
    return;
  }
  auto& followers = nodes_[a].followers;
  auto known = std::find_if(followers.begin(), followers.end(),
                            [&](const auto& each) { return each.first == b; });
  if (known == followers.end()) {
    if (followers.size() >= followers_max) {
      followers.erase(
          std::min_element(followers.begin(), followers.end(),
                           [](const auto& x, const auto& y) { return x.second < y.second; }));
    }
    known = followers.insert(followers.end(), {b, 0.0});
  }
  known->second += 1;
  if (++learned_ >= due_) {
    compute();
    due_ = learned_ + std::max<std::uint64_t>(64, learned_ / 4);
  }
}

void Importance::compute() {
  std::vector<double> next(nodes_.size());
  for (int round = 0; round < rounds; ++round) {
    std::fill(next.begin(), next.end(), 1 - damping);
    double lost = 0;  // Of forms that nothing follows: shared by all.
    for (const Node& node : nodes_) {
      double total = 0;
      for (const auto& [to, count] : node.followers) {
        total += count;
      }
      lost += node.followers.empty() ? node.rank : 0;
      for (const auto& [to, count] : node.followers) {
        next[to] += damping * node.rank * count / total;
      }
    }
    const double each = damping * lost / static_cast<double>(nodes_.size());
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      nodes_[i].rank = next[i] + each;
    }
  }
}

double Importance::of(Key form) const {
  const std::uint32_t* known = by_form_.find(form);
  return known == nullptr ? 1 : nodes_[*known].rank;
}

}  // namespace forerun::prediction
