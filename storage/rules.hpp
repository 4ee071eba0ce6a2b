#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/result.hpp"
#include "speculation/durable.hpp"

/// What every store refuses, whatever it writes to.
namespace forerun::store_rules {

/// The epoch fence. Errors: refused when the store has seen a newer epoch than the writer's.
Result<void> check_epoch(Epoch writer, Epoch seen);
/// Errors: refused unless the entries continue a ledger of `size` entries without a gap; invalid
/// for a step that names no session.
Result<void> check_entries(std::span<const StoredEntry> entries, std::uint64_t size);
/// The same for a coordinator's batch; invalid when its head is not of the ledger with its entries.
Result<void> check_batch(const CoordinatorBatch& batch, std::uint64_t size);
/// A session's commits are in step order, so none comes twice. `last`: the latest that is stored.
/// Errors: refused.
Result<void> check_step(const RunId& run_id, StepNumber step, std::optional<std::uint32_t> last);

}  // namespace forerun::store_rules
