#pragma once

#include "speculation/client_api.hpp"
#include "storage/store.hpp"

namespace forerun {

/// What the store knows of a session. Of no such session, and of another tenant's, it says that
/// there is none; another tenant's steps are not even read, since the time that takes would tell of
/// them.
ResponseBody read_session(CoordinatorStore& store, const ServeSession& request);

}  // namespace forerun
