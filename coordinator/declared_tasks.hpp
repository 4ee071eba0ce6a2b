#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"

namespace forerun {

class Catalog;

/// What a catalog says of a task or race, for predictions before any history.
struct DeclaredTask {
  std::string name;
  std::string description;
  std::optional<json::Object> example;  ///< Its members are the parameters that a call gives.
  /// What usually follows, the likeliest first; an empty list: the session's end. None: not said.
  std::optional<std::vector<std::string>> next;
  bool starts = false;  ///< Sessions usually begin with it.
};

/// By name, ascending.
using DeclaredTasks = std::vector<DeclaredTask>;

/// Of those tasks and races of which the catalog says anything. A race's calls look like those of
/// its first branch that has an example.
DeclaredTasks declared_tasks(const Catalog& catalog);

}  // namespace forerun
