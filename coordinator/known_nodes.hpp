#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "speculation/ids.hpp"

namespace forerun {

/// A node that belongs to the cluster and is not in it.
struct AbsentNode {
  NodeId id;
  std::string name;
  std::string why;
};

/// Who belongs to the cluster: nodes that have joined in this term and whose key is still allowed;
/// and, as long as workers of earlier terms have not come back, every allowed key that has not
/// joined. Pure.
class KnownNodes {
public:
  static constexpr std::size_t absent_max = 4096;  ///< Beyond it the first by id is forgotten.

  /// The keys that may join, by operator's name. Who is not among them is forgotten.
  void allow(std::map<NodeId, std::string> names);
  void joined(const NodeId& node);
  void lost(const NodeId& node, const std::string& name, const std::string& why);
  /// Its data came back under another key.
  void replaced(const NodeId& node) { absent_.erase(node); }
  /// `unseen` are workers of earlier terms that have not joined in this one.
  std::vector<AbsentNode> absent(std::span<const WorkerId> unseen) const;
  /// Whether this key may join; true while nobody has told which may.
  bool is_allowed(const NodeId& node) const { return !allowed_ || allowed_->contains(node); }
  /// The operator's name of an allowed key, or null.
  const std::string* name_of(const NodeId& node) const;

private:
  std::optional<std::map<NodeId, std::string>> allowed_;  ///< Empty: not told.
  std::set<NodeId> joined_;                               ///< In this term.
  std::map<NodeId, AbsentNode> absent_;
};

}  // namespace forerun
