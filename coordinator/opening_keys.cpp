#include "coordinator/opening_keys.hpp"

#include <iterator>

namespace forerun {

const OpeningKeys::Known* OpeningKeys::find(const std::string& tenant,
                                            const std::string& key) const {
  const auto at = tenants_.find(tenant);
  if (at == tenants_.end()) {
    return nullptr;
  }
  const auto known = at->second.keys.find(key);
  return known == at->second.keys.end() ? nullptr : &known->second;
}

void OpeningKeys::put(const std::string& tenant, const std::string& key, Known known) {
  Tenant& own = tenants_[tenant];
  const auto [at, is_new] = own.keys.insert_or_assign(key, known);
  if (!is_new) {
    return;
  }
  by_size_.erase({own.order.size(), tenant});
  own.order.push_back(key);
  by_size_.emplace(own.order.size(), tenant);
  if (++size_ > keys_max_) {
    forget_one();
  }
}

void OpeningKeys::forget_one() {
  const auto largest = std::prev(by_size_.end());
  const std::string name = largest->second;
  by_size_.erase(largest);
  const auto at = tenants_.find(name);
  Tenant& tenant = at->second;
  tenant.keys.erase(tenant.order.front());
  tenant.order.pop_front();
  --size_;
  if (tenant.order.empty()) {
    tenants_.erase(at);
  } else {
    by_size_.emplace(tenant.order.size(), name);
  }
}

}  // namespace forerun
