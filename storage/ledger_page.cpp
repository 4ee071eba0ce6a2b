#include "storage/ledger_page.hpp"

namespace forerun {

LedgerPage read_ledger_page(CoordinatorStore& store, Seq from, std::size_t count,
                            const SignedHead& head) {
  LedgerPage page{from, {}, head};
  std::size_t bytes = 0;
  while (page.rows.size() < count && bytes < ledger_page_bytes_max) {
    const auto rows = store.read(Seq{from.value + page.rows.size()}, 1, true);
    if (!rows || rows->empty()) {
      break;
    }
    const StoredEntry& row = rows->front();
    bytes += row.leaf.size() + row.call.size() + row.output.size() + row.writes.size() +
             row.effects.size();
    if (bytes > ledger_page_bytes_max && !page.rows.empty()) {
      break;
    }
    page.rows.push_back({row.leaf, row.call, row.output, row.writes, row.effects});
  }
  return page;
}

}  // namespace forerun
