#pragma once

#include <optional>

#include "speculation/protocol.hpp"
#include "storage/store.hpp"

namespace forerun {

/// Entries of a replica from `from` on, as many as one message holds. Where the store cannot be
/// read the page ends: who asked asks another node.
Entries read_replica_page(ReplicaStore& store, Seq from, const std::optional<SignedHead>& head);

}  // namespace forerun
