#include "backtest/recorded_admission.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/formatted.hpp"

namespace forerun {
namespace {

const std::string start_of_session = "start of a session";

AdmissionSettings with_full_budget() {
  AdmissionSettings settings;
  settings.bucket_first = settings.bucket_max;
  return settings;
}

/// An eighth of each new sample (RFC 6298 §2), like CoordinatorMachine::learn_latency().
template <class Times>
void smooth(Times& times, const std::string& name, Duration sample) {
  const auto [at, is_new] = times.try_emplace(name, sample);
  if (!is_new) {
    at->second += (sample - at->second) / 8;
  }
}

/// Of this name, else of all. @pre not empty
template <class Times>
Duration known_or_all(const Times& times, const std::string& name) {
  const auto found = times.find(name);
  return found == times.end() ? times.find(std::string())->second : found->second;
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
      smooth(latencies_, step.call.task(), *step.latency);
      smooth(latencies_, {}, *step.latency);
    }
    if (step.think && !step.beside_previous) {
      smooth(gaps_, i == 0 ? start_of_session : session.steps[i - 1].call.task(), *step.think);
      smooth(gaps_, {}, *step.think);
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
    candidate.expected += known_or_all(latencies_, branch) * 5 / 4;
  }
  candidate.hidden = std::min(candidate.expected * 4 / 5,
                              known_or_all(gaps_, after.empty() ? start_of_session : after));
  candidate.at_stake = candidate.hidden;
  const Verdict verdict = admit(settings_, budget_, candidate);
  json::Object admission;
  admission.set("decision", verdict == Verdict::start ? "may start" : "waits");
  admission.set("because",
                verdict == Verdict::start ? json::Value() : json::Value(to_string(verdict)));
  admission.set("confidence", confidence);
  admission.set("confidence_min",
                confidence_min(settings_, budget_, candidate.expected, candidate.reserved));
  admission.set("expected_ms", milliseconds_of(candidate.expected));
  admission.set("hidden_ms", milliseconds_of(candidate.hidden));
  admission.set("price",
                price_of_waste(settings_, budget_, candidate.expected, candidate.reserved));
  admission.set("budget_ms", milliseconds_of(budget_.level()));
  return admission;
}

std::string RecordedAdmission::assumes() const {
  const double spent = settings_.price_max / (1 + settings_.price_max);
  return "default settings, an idle slot and a full budget (with one almost spent at least " +
         percent(spent) + " is worth it)" +
         (catalog_ ? "" : "; without a catalog, that every task only reads");
}

}  // namespace forerun
