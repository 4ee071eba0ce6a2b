#include "speculation/client_api.hpp"

namespace forerun {

RequestFailed session_has_ended(const RunId& run_id) {
  return {Refusal::conflict, "session " + to_string(run_id) + " has ended: open another one", {}};
}

RequestFailed key_came_with_another() {
  return {Refusal::key_reused, "Idempotency-Key: it came with another request before", {}};
}

RequestFailed session_ended_within(const RunId& run_id, std::uint32_t steps, std::uint32_t of) {
  return {Refusal::conflict,
          "session " + to_string(run_id) + " has ended with " + std::to_string(steps) + " of the " +
              std::to_string(of) + " steps of this Idempotency-Key",
          {}};
}

}  // namespace forerun
