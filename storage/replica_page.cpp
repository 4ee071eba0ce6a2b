#include "storage/replica_page.hpp"

#include <utility>

namespace forerun {
namespace {

/// Reached by the last entry of a page, which may be as large as a call; together they fit a frame.
constexpr std::size_t page_bytes = frame_bytes_max / 4;

}  // namespace

Entries read_replica_page(ReplicaStore& store, Seq from, const std::optional<SignedHead>& head) {
  Entries page{from, {}, head};
  auto rows = store.read(from, fetch_entries_max);
  if (!rows) {
    return page;
  }
  std::size_t bytes = 0;
  for (StoredEntry& row : *rows) {
    bytes += row.leaf.size() + row.call.size();
    page.records.push_back({std::move(row.leaf), std::move(row.call)});
    if (bytes >= page_bytes) {
      break;
    }
  }
  return page;
}

}  // namespace forerun
