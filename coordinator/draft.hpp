#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/call_form.hpp"
#include "speculation/call.hpp"

namespace forerun::prediction {

/// A prediction before its call is built.
struct Draft {
  const Form* form = nullptr;
  json::Object input;
  Key input_hash = 0;
  double probability = 0;
  std::optional<Output> premise;
  Key premise_key = 0;
  double premise_probability = 1;
  std::vector<std::string> reasons;

  double joint() const { return probability * premise_probability; }
};

/// A total order: equal histories give equal answers.
bool comes_before(const Draft& a, const Draft& b);

}  // namespace forerun::prediction
