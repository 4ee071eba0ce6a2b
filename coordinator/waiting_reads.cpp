#include "coordinator/waiting_reads.hpp"

#include <utility>

namespace forerun {
namespace {

/// Reads take milliseconds, so there is room again soon.
constexpr Duration retry_soon_after_reads = std::chrono::seconds(1);

std::string tenant_of(const WaitingReads::Read& read) {
  const auto* session = std::get_if<ServeSession>(&read);
  return session != nullptr ? session->tenant : std::string();
}

}  // namespace

std::optional<ClientResponse> WaitingReads::put(Read read) {
  std::string tenant = tenant_of(read);
  const auto own = tenants_.find(tenant);
  if (size_ >= limits_.all || (own != tenants_.end() && own->second.size() >= limits_.of_tenant)) {
    const RequestId id = std::visit([](const auto& request) { return request.request; }, read);
    return ClientResponse{
        id, RequestFailed{Refusal::overloaded,
                          "store: too many reads wait, expected at most " +
                              std::to_string(limits_.of_tenant) + " of a tenant and " +
                              std::to_string(limits_.all) + " in all: ask again later",
                          retry_soon_after_reads}};
  }
  ++size_;
  if (own != tenants_.end()) {
    own->second.push_back(std::move(read));
    return std::nullopt;
  }
  turns_.push_back(tenant);
  tenants_[std::move(tenant)].push_back(std::move(read));
  return std::nullopt;
}

std::optional<WaitingReads::Read> WaitingReads::take() {
  if (turns_.empty()) {
    return std::nullopt;
  }
  std::string tenant = std::move(turns_.front());
  turns_.pop_front();
  const auto own = tenants_.find(tenant);
  std::optional<Read> read = std::move(own->second.front());
  own->second.pop_front();
  --size_;
  if (own->second.empty()) {
    tenants_.erase(own);
  } else {
    turns_.push_back(std::move(tenant));
  }
  return read;
}

}  // namespace forerun
