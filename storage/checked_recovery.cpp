#include "storage/checked_recovery.hpp"

#include <limits>
#include <string>
#include <utility>

#include "speculation/client_api.hpp"
#include "speculation/ledger_audit.hpp"
#include "speculation/session_state.hpp"
#include "storage/store_file.hpp"

namespace forerun {
namespace {

constexpr std::size_t rows_at_once = 512;

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

Result<void> wrong_row(const std::string& where, const std::string& what) {
  return fail(Errc::verification, where + ": " + what);
}

Result<void> check_state(const RunId& run_id, const char* column, const std::string& text) {
  const auto state = SessionState::parse(text);
  return state ? Result<void>()
               : wrong_row("session " + to_string(run_id) + ": " + column, state.error().message);
}

/// Counts that no request can have.
bool is_range_wrong(std::uint32_t first, std::uint32_t count) {
  return count > calls_per_request_max || first > std::numeric_limits<std::uint32_t>::max() - count;
}

/// What a start reads beside the entries: no root covers it, and all of it was once well-formed.
Result<void> check_rows(const CoordinatorRecovery& recovery) {
  for (const SessionRow& row : recovery.sessions) {
    auto held = check_state(row.run_id, "state", row.state);
    if (held && !row.list_state.empty()) {
      held = check_state(row.run_id, "list_state", row.list_state);
    }
    if (!held) {
      return held;
    }
  }
  for (const KeyRow& row : recovery.keys) {
    if (is_range_wrong(row.first_step, row.step_count)) {
      return wrong_row("session " + to_string(row.run_id) + ": a key's steps",
                       "found " + std::to_string(row.step_count) + " from " +
                           std::to_string(row.first_step) + ", expected at most " +
                           std::to_string(calls_per_request_max));
    }
  }
  for (const IntentRow& row : recovery.intents) {
    const std::string where =
        "session " + to_string(row.run_id) + ": intent of step " + to_string(row.step);
    if (const auto call = Call::parse(row.call); !call) {
      return wrong_row(where, call.error().message);
    }
    if (is_range_wrong(row.first_step, row.step_count)) {
      return wrong_row(where, "found " + std::to_string(row.step_count) + " steps from " +
                                  std::to_string(row.first_step) + ", expected at most " +
                                  std::to_string(calls_per_request_max));
    }
  }
  return {};
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
  Result<void> held = recovery ? result.ledger.finish(*recovery, key)
                               : Result<void>(tl::unexpected<Error>(recovery.error()));
  if (held) {
    if (const auto rows = check_rows(*recovery); !rows) {
      return fail(Errc::verification, place + ": " + rows.error().message + damage_advice);
    }
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
  return fail(Errc::verification, found + damage_advice);
}

}  // namespace forerun
