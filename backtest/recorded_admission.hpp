#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "base/json.hpp"
#include "base/time.hpp"
#include "coordinator/admission.hpp"
#include "coordinator/usual_times.hpp"
#include "files/traces.hpp"
#include "speculation/catalog.hpp"

namespace forerun {

/// What a coordinator's admission would make of a call that recorded sessions let expect: by its
/// rules with default settings, and by the times that were recorded. What a record does not hold is
/// assumed and said: a full budget, an idle slot, nothing else that runs; without a catalog, that
/// the task only reads. Pure.
class RecordedAdmission {
public:
  explicit RecordedAdmission(std::optional<Catalog> catalog);

  /// How long the session's first `until` steps ran, and when they were asked for.
  void learn(const TraceSession& session, std::size_t until);
  /// Of a call after a step of this task (empty: as the first): as `admission` of a coordinator's
  /// predictions (docs/http.md). Where no times are recorded the decision is
  /// `unknown` and `because` says what is missing.
  json::Object judge(const std::string& task, double confidence, const std::string& after) const;
  /// What it takes for given, for people.
  std::string assumes() const;

private:
  std::optional<Catalog> catalog_;
  AdmissionSettings settings_;
  WasteBudget budget_;
  UsualTimes latencies_;  ///< By task.
  UsualTimes gaps_;       ///< From the answer of a step of this task to the next call.
};

}  // namespace forerun
