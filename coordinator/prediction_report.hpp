#pragma once

#include <string>

#include "base/json.hpp"
#include "coordinator/predictor.hpp"

namespace forerun {

/// A prediction for people and scripts (docs/http.md).
json::Object report_of(const Prediction& prediction);

/// What `GET …/predictions` or `forerun predict` says, as lines to read.
std::string predictions_text(const json::Value& report);

}  // namespace forerun
