#pragma once

#include <span>
#include <string_view>

#include "base/result.hpp"
#include "speculation/planted.hpp"

namespace forerun::simulation {

struct Plant {
  Bug bug = Bug::none;
  std::string_view name;
  std::string_view what;  ///< What is wrong with it in.
};

/// All bugs that can be planted, in the order of the table in docs/simulation.md.
std::span<const Plant> plants();
/// Errors: not_found, naming the plants that there are.
Result<Plant> plant_from(std::string_view name);

}  // namespace forerun::simulation
