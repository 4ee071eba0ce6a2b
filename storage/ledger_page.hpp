#pragma once

#include <cstddef>

#include "speculation/client_api.hpp"
#include "storage/store.hpp"

namespace forerun {

/// Entries from `from` on with what lies beside them, at most `count` and as many as one page
/// holds. Where the store cannot be read the page ends: who asked sees an entry missing, which is
/// what an audit must find.
LedgerPage read_ledger_page(CoordinatorStore& store, Seq from, std::size_t count,
                            const SignedHead& head);

}  // namespace forerun
