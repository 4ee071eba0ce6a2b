#include "simulation/rule.hpp"

#include "base/assert.hpp"

namespace forerun::simulation {

std::string_view to_string(Rule rule) {
  switch (rule) {
    case Rule::one_decision:
      return "one decision a step";
    case Rule::one_ledger:
      return "one ledger";
    case Rule::recomputed_winner:
      return "recomputed winner";
    case Rule::durable_first:
      return "durable first";
    case Rule::serial_equivalence:
      return "serial equivalence";
    case Rule::effects:
      return "effects of commits alone";
    case Rule::run_ids:
      return "run IDs once";
    case Rule::acknowledged_kept:
      return "acknowledged is kept";
    case Rule::settled_once:
      return "settled once";
    case Rule::accounted:
      return "all accounted for";
    case Rule::all_ends:
      return "all ends";
    case Rule::assertion:
      return "assertion";
  }
  FORERUN_ASSERT(false);
}

}  // namespace forerun::simulation
