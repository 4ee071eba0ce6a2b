#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "speculation/ids.hpp"

namespace forerun {

/// Which workers have answered a tenant's calls of a resident task, and so have its process up. A
/// guess that only placement uses: processes come and go on nodes without a word. Bounded: a pair
/// of tenant and task beyond pairs_max is not known. Pure.
class WarmWorkers {
public:
  static constexpr std::size_t pairs_max = 2048;

  void answered(std::string_view tenant, std::string_view task, const WorkerId& worker);
  void lost(const WorkerId& worker);
  /// Null: nobody has.
  const std::set<WorkerId>* of(std::string_view tenant, std::string_view task) const;

private:
  std::map<std::pair<std::string, std::string>, std::set<WorkerId>> workers_;
};

}  // namespace forerun
