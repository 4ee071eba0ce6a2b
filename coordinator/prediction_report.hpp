#pragma once

#include <string>
#include <vector>

#include "base/json.hpp"
#include "coordinator/admission.hpp"
#include "coordinator/predictor.hpp"

namespace forerun {

/// A prediction for people and scripts (docs/http.md).
json::Object report_of(const Prediction& prediction);

json::Array report_of(const std::vector<ExpectedTask>& tasks);

/// The times and the price that admission weighs a candidate by, in its report.
void set_times(json::Object& admission, const AdmissionSettings& settings,
               const WasteBudget& budget, const Candidate& candidate);

/// What `GET …/predictions` or `forerun predict` says, as lines to read.
std::string predictions_text(const json::Value& report);

}  // namespace forerun
