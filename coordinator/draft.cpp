#include "coordinator/draft.hpp"

namespace forerun::prediction {

bool comes_before(const Draft& a, const Draft& b) {
  if (a.joint() != b.joint()) {
    return a.joint() > b.joint();
  }
  if (a.premise.has_value() != b.premise.has_value()) {
    return !a.premise.has_value();
  }
  if (a.form->task != b.form->task) {
    return a.form->task < b.form->task;
  }
  if (a.input_hash != b.input_hash) {
    return a.input_hash < b.input_hash;
  }
  return a.premise_key < b.premise_key;
}

}  // namespace forerun::prediction
