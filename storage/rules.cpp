#include "storage/rules.hpp"

#include <string>

namespace forerun::store_rules {

Result<void> check_epoch(Epoch writer, Epoch seen) {
  if (writer < seen) {
    return fail(Errc::refused, "ledger: epoch: found " + to_string(writer) +
                                   ", expected at least " + to_string(seen));
  }
  return {};
}

Result<void> check_entries(std::span<const StoredEntry> entries, std::uint64_t size) {
  for (const StoredEntry& entry : entries) {
    if (entry.seq.value != size) {
      return fail(Errc::refused, "ledger: next entry: found " + to_string(entry.seq) +
                                     ", expected " + std::to_string(size));
    }
    if (entry.step && !entry.run_id) {
      return fail(Errc::invalid,
                  "ledger: entry " + to_string(entry.seq) + ": a step without a session");
    }
    ++size;
  }
  return {};
}

Result<void> check_batch(const CoordinatorBatch& batch, std::uint64_t size) {
  if (auto continued = check_entries(batch.entries, size); !continued) {
    return continued;
  }
  const std::uint64_t size_after = size + batch.entries.size();
  if (!batch.entries.empty() && (!batch.head || batch.head->size != size_after)) {
    return fail(Errc::invalid, "ledger: head of the batch from entry " + std::to_string(size) +
                                   ": found size " +
                                   (batch.head ? std::to_string(batch.head->size) : "none") +
                                   ", expected " + std::to_string(size_after));
  }
  return {};
}

Result<void> check_step(const RunId& run_id, StepNumber step, std::optional<std::uint32_t> last) {
  if (last && step.value <= *last) {
    return fail(Errc::refused, "ledger: session " + to_string(run_id) + ": step " +
                                   to_string(step) +
                                   " is committed already, expected the next one");
  }
  return {};
}

}  // namespace forerun::store_rules
