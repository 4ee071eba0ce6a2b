#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "coordinator/known_nodes.hpp"
#include "speculation/durable.hpp"
#include "speculation/ids.hpp"
#include "speculation/protocol.hpp"

namespace forerun {

/// Which key each worker belongs to: the one that it joined with first. An allowed node cannot take
/// another one's worker, alive or not. A key that is no longer allowed leaves its workers to the
/// next key of the same operator's name, so that keys can be renewed. Pure.
class WorkerOwners {
public:
  static constexpr std::size_t workers_per_key_max = 4096;  ///< Ever; each data folder has its own.

  void restore(const OwnerRow& row);
  /// Why a node of this key must not join with these workers; nothing when it may.
  std::optional<std::string> refusal(std::span<const WorkerOffer> workers, const NodeId& node,
                                     const KnownNodes& known) const;
  /// It joined: what is to be kept, if that is news. @pre refusal() said nothing.
  std::optional<OwnerRow> joined(const WorkerId& worker, const NodeId& node,
                                 const KnownNodes& known);

private:
  struct Owner {
    NodeId node;
    std::string name;  ///< The operator's; empty: not told.
  };
  static bool is_renewed(const Owner& owner, const NodeId& node, const KnownNodes& known);
  std::map<WorkerId, Owner> owners_;
  std::map<NodeId, std::size_t> counts_;
};

}  // namespace forerun
