#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/sha256.hpp"
#include "speculation/ids.hpp"

namespace forerun {

/// Idempotency keys of requests that open sessions, by tenant. When there are too many, the tenant
/// that has the most loses its oldest: no tenant pushes out another one's that has fewer. Pure.
class OpeningKeys {
public:
  struct Known {
    Digest hash;                  ///< Of the request.
    std::optional<RunId> run_id;  ///< Empty while it is being opened.
  };
  explicit OpeningKeys(std::size_t keys_max) : keys_max_(keys_max) {}

  /// Null for one that is not known, or not any more.
  const Known* find(const std::string& tenant, const std::string& key) const;
  void put(const std::string& tenant, const std::string& key, Known known);
  std::size_t size() const { return size_; }

private:
  struct Tenant {
    std::map<std::string, Known> keys;
    std::deque<std::string> order;  ///< The same keys, oldest first.
  };
  void forget_one();

  std::size_t keys_max_;
  std::size_t size_ = 0;
  std::map<std::string, Tenant> tenants_;
  std::set<std::pair<std::size_t, std::string>> by_size_;
};

}  // namespace forerun
