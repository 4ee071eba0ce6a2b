#pragma once

#include "base/result.hpp"
#include "speculation/history.hpp"
#include "storage/store.hpp"

namespace forerun {

/// Reads what ReadPast asks for and parses it, at most one page. Errors: io.
Result<PastRead> read_past(CoordinatorStore& store, const ReadPast& request);

}  // namespace forerun
