#pragma once

#include <functional>
#include <string>

#include "speculation/stored_ledger_check.hpp"
#include "storage/store.hpp"

namespace forerun {

/// What a store gave back after its ledger was judged.
struct CheckedRecovery {
  CoordinatorRecovery recovery;
  StoredLedgerCheck ledger;
};

/// CoordinatorStore::recover(), and then whether the entries are those that were written. Whoever
/// signs for what a store holds calls this first: a damaged disk would make a signed fork.
/// `directory` is the data directory's name for messages, `key` the one that is to sign. Errors:
/// verification, "DIR/ledger.db: entry N: …: found …, expected …: what to do"; refused when another
/// key signs its last term; io.
Result<CheckedRecovery> recover_checked(CoordinatorStore& store, const std::string& directory,
                                        const PublicKey& key,
                                        const std::function<void(const StoredEntry&)>& visit);

}  // namespace forerun
