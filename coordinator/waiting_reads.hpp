#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "coordinator/machine.hpp"

namespace forerun {

/// Answers that the store owes to clients, in the order in which they are read: tenants take turns,
/// and of one tenant the first asked is the first read. Pure.
class WaitingReads {
public:
  using Read = std::variant<ServeSession, ServeLedger>;
  struct Limits {
    std::size_t of_tenant = 64;  ///< Pages of the ledger, which is no tenant's, count as one's.
    std::size_t all = 1024;
  };
  explicit WaitingReads(Limits limits) : limits_(limits) {}
  WaitingReads() : WaitingReads(Limits{}) {}

  /// The refusal when there is no room for it.
  std::optional<ClientResponse> put(Read read);
  /// Empty when none waits.
  std::optional<Read> take();

private:
  Limits limits_;
  std::size_t size_ = 0;
  std::map<std::string, std::deque<Read>> tenants_;  ///< None is empty.
  std::deque<std::string> turns_;                    ///< The same tenants, the next one first.
};

}  // namespace forerun
