#include "backtest/recorded_admission.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/formatted.hpp"
#include "coordinator/prediction_report.hpp"

namespace forerun {
namespace {

AdmissionSettings with_full_budget() {
  AdmissionSettings settings;
  settings.bucket_first = settings.bucket_max;
  return settings;
}

json::Object undecided(const char* decision, const std::string& because, double confidence) {
  json::Object admission;
  admission.set("decision", decision);
  admission.set("because", because);
  admission.set("confidence", confidence);
  return admission;
}

}  // namespace

RecordedAdmission::RecordedAdmission(std::optional<Catalog> catalog)
    : catalog_(std::move(catalog)), settings_(with_full_budget()), budget_(settings_) {}

void RecordedAdmission::learn(const TraceSession& session, std::size_t until) {
  for (std::size_t i = 0; i < std::min(until, session.steps.size()); ++i) {
    const TraceStep& step = session.steps[i];
    if (step.latency) {
      latencies_.learn(step.call.task(), *step.latency);
    }
    if (step.think && !step.beside_previous) {
      gaps_.learn(i == 0 ? start_of_session : session.steps[i - 1].call.task(), *step.think);
    }
  }
}

json::Object RecordedAdmission::judge(const std::string& task, double confidence,
                                      const std::string& after) const {
  std::vector<std::string> branches = {task};
  if (catalog_) {
    const auto plan = catalog_->plan(task);
    if (!plan) {
      return undecided("waits", "no such task", confidence);
    }
    if (plan->is_write()) {
      return undecided("waits", "writes", confidence);
    }
    branches = plan->names;
  }
  if (latencies_.empty() || gaps_.empty()) {
    return undecided("unknown",
                     std::string("no ") + (latencies_.empty() ? "latency_ms" : "think_ms") +
                         " is recorded, so what it would hide is not known",
                     confidence);
  }
  Candidate candidate;
  candidate.confidence = confidence;
  candidate.has_free_slot = candidate.has_idle_slot = true;
  for (const std::string& branch : branches) {
    candidate.expected += expected_of(latencies_.of(branch));
  }
  candidate.hidden =
      hidden_of(candidate.expected, gaps_.of(after.empty() ? start_of_session : after));
  candidate.at_stake = candidate.hidden;
  const Verdict verdict = admit(settings_, budget_, candidate);
  json::Object admission;
  admission.set("decision", verdict == Verdict::start ? "may start" : "waits");
  admission.set("because",
                verdict == Verdict::start ? json::Value() : json::Value(to_string(verdict)));
  admission.set("confidence", confidence);
  admission.set("confidence_min",
                confidence_min(settings_, budget_, candidate.expected, candidate.reserved));
  set_times(admission, settings_, budget_, candidate);
  return admission;
}

std::string RecordedAdmission::assumes() const {
  const double spent = settings_.price_max / (1 + settings_.price_max);
  return "default settings, an idle slot and a full budget (with one almost spent at least " +
         percent(spent) + " is worth it)" +
         (catalog_ ? "" : "; without a catalog, that every task only reads");
}

}  // namespace forerun
