#include "storage/checked_recovery.hpp"

#include <utility>

#include "speculation/ledger_audit.hpp"

namespace forerun {
namespace {

constexpr std::size_t rows_at_once = 512;
constexpr const char* what_to_do =
    ": the file was damaged or changed, so nothing of it is signed; put back a copy of the whole "
    "folder (nodes that are ahead of it then start with --resync), or give --data a new one";

/// The first entry that is in itself wrong or not there; nothing when each one holds.
std::optional<std::string> first_wrong_entry(CoordinatorStore& store, const std::string& place) {
  LedgerAudit audit(place);
  for (;;) {
    const auto rows = store.read(Seq{audit.size()}, rows_at_once, true);
    if (!rows) {
      return place + ": " + rows.error().message;
    }
    if (rows->empty()) {
      return std::nullopt;
    }
    for (const StoredEntry& row : *rows) {
      if (const auto taken = audit.take(row.leaf, {row.call, row.output, row.writes, row.effects});
          !taken) {
        return taken.error().message;
      }
    }
  }
}

}  // namespace

Result<CheckedRecovery> recover_checked(CoordinatorStore& store, const std::string& directory,
                                        const PublicKey& key,
                                        const std::function<void(const StoredEntry&)>& visit) {
  const std::string place = directory + "/ledger.db";
  CheckedRecovery result;
  auto recovery = store.recover([&](const StoredEntry& entry) {
    result.ledger.take(entry);
    visit(entry);
  });
  const Result<void> held = recovery ? result.ledger.finish(*recovery, key)
                                     : Result<void>(tl::unexpected<Error>(recovery.error()));
  if (held) {
    result.recovery = std::move(*recovery);
    return result;
  }
  const bool is_damage =
      held.error().code == Errc::verification || held.error().code == Errc::invalid;
  if (!is_damage) {
    return fail(held.error().code, place + ": " + held.error().message);
  }
  const std::string found =
      first_wrong_entry(store, place).value_or(place + ": " + held.error().message);
  return fail(Errc::verification, found + what_to_do);
}

}  // namespace forerun
