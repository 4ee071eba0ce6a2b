#include "coordinator/prediction_tenant.hpp"

#include <algorithm>

#include "base/sha256.hpp"

namespace forerun::prediction {

namespace {

/// So many of a tenant's steps and ends teach how to rank; after them one in lessons_every does.
constexpr std::uint64_t lessons_full = 50'000;
constexpr std::uint64_t lessons_every = 16;

/// From the name alone, so that a tenant's answers do not depend on who else is there; from a
/// cryptographic hash, so that nobody can choose a name that reaches another's history.
Key tenant_key(const std::string& name) {
  const Digest digest = sha256(std::string_view(name));
  Key key = 0;
  for (std::size_t i = 0; i < sizeof key; ++i) {
    key = key << 8U | digest.bytes[i];
  }
  return key;
}

}  // namespace

bool Tenant::is_lesson() const {
  return steps <= lessons_full || steps % lessons_every == 0;
}

Tenant& Tenants::take(const std::string& name) {
  auto found = tenants_.find(name);
  if (found == tenants_.end()) {
    if (tenants_.size() >= tenants_max_) {
      tenants_.erase(std::min_element(
          tenants_.begin(), tenants_.end(),
          [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
    }
    found = tenants_.emplace(name, Tenant{}).first;
    const auto forgotten = forgotten_.find(name);
    found->second.key =
        mix(tenant_key(name), forgotten == forgotten_.end() ? 0 : forgotten->second);
  }
  found->second.used = ++uses_;
  return found->second;
}

const Tenant* Tenants::find(std::string_view name) const {
  const auto known = tenants_.find(name);
  return known == tenants_.end() ? nullptr : &known->second;
}

void Tenants::forget(std::string_view name) {
  if (const auto known = tenants_.find(name); known != tenants_.end()) {
    forgotten_[known->first] += 1;
    tenants_.erase(known);
  }
}

}  // namespace forerun::prediction
