#include "client/run_report.hpp"

#include <cstdio>

namespace forerun {
namespace {

struct Totals {
  std::size_t steps = 0, hits = 0, late_hits = 0, misses = 0, failed = 0, differences = 0;
  std::size_t failed_sessions = 0;
  double ms = 0, saved_ms = 0;
  double mean_ms() const { return steps == 0 ? 0 : ms / static_cast<double>(steps); }
};

Totals totals_of(const RunReport& report) {
  Totals totals;
  for (const RanSession& session : report.sessions) {
    totals.failed_sessions += session.error ? 1 : 0;
    for (const RanStep& step : session.steps) {
      ++totals.steps;
      ++(step.origin == "hit"        ? totals.hits
         : step.origin == "late_hit" ? totals.late_hits
                                     : totals.misses);
      totals.failed += step.failed ? 1 : 0;
      totals.differences += step.differs ? 1 : 0;
      totals.ms += step.ms;
      totals.saved_ms += step.saved_ms;
    }
  }
  return totals;
}

std::vector<std::string> errors_of(const RunReport& report) {
  std::vector<std::string> errors;
  for (const RanSession& session : report.sessions) {
    if (session.error && errors.size() < run_errors_shown_max) {
      errors.push_back("session \"" + session.name + "\": " + session.error->message);
    }
  }
  return errors;
}

json::Value to_json(const RanSession& session, bool compares) {
  json::Array steps;
  for (const RanStep& step : session.steps) {
    json::Object item;
    item.set("step", std::uint64_t{step.step});
    item.set("task", step.task);
    item.set("status", step.failed ? "failed" : "ok");
    item.set("origin", step.origin);
    item.set("ms", step.ms);
    item.set("saved_ms", step.saved_ms);
    if (compares) {
      item.set("differs", step.differs);
    }
    steps.emplace_back(std::move(item));
  }
  json::Object body;
  body.set("session", session.name);
  body.set("run_id", session.run_id.empty() ? json::Value() : json::Value(session.run_id));
  body.set("steps", std::move(steps));
  body.set("error", session.error ? json::Value(session.error->message) : json::Value());
  return body;
}

}  // namespace

json::Value to_json(const RunReport& report) {
  const Totals totals = totals_of(report);
  json::Array errors;
  for (std::string& error : errors_of(report)) {
    errors.emplace_back(std::move(error));
  }
  json::Array runs;
  for (const RanSession& session : report.sessions) {
    runs.push_back(to_json(session, report.compares));
  }
  json::Object body;
  body.set("sessions", std::uint64_t{report.sessions.size()});
  body.set("failed_sessions", std::uint64_t{totals.failed_sessions});
  body.set("steps", std::uint64_t{totals.steps});
  body.set("hits", std::uint64_t{totals.hits});
  body.set("late_hits", std::uint64_t{totals.late_hits});
  body.set("misses", std::uint64_t{totals.misses});
  body.set("failed", std::uint64_t{totals.failed});
  body.set("mean_ms", totals.mean_ms());
  body.set("saved_ms", totals.saved_ms);
  body.set("differences",
           report.compares ? json::Value(std::uint64_t{totals.differences}) : json::Value());
  body.set("stopped", report.is_stopped);
  body.set("errors", std::move(errors));
  body.set("runs", std::move(runs));
  return body;
}

std::string to_text(const RunReport& report) {
  const Totals totals = totals_of(report);
  char line[256];
  std::snprintf(line, sizeof line,
                "%zu sessions, %zu steps: %zu hits, %zu late hits, %zu misses, %zu failed; %.1f ms "
                "a step, %.1f ms saved",
                report.sessions.size(), totals.steps, totals.hits, totals.late_hits, totals.misses,
                totals.failed, totals.mean_ms(), totals.saved_ms);
  std::string text = line;
  if (report.compares) {
    text += "; " + std::to_string(totals.differences) + " outputs differ from the recorded ones";
  }
  text += report.is_stopped ? "; stopped\n" : "\n";
  for (const std::string& error : errors_of(report)) {
    text += "error: " + error + "\n";
  }
  return text;
}

std::string to_text(const RanSession& session, const RanStep& step) {
  char figures[96];
  std::snprintf(figures, sizeof figures, "%-8s  %8.1f ms  saved %.1f ms", step.origin.c_str(),
                step.ms, step.saved_ms);
  return session.run_id + "  step " + std::to_string(step.step) + "  " + figures + "  " +
         step.task + (step.failed ? "  FAILED" : "") + (step.differs ? "  DIFFERS" : "") + "  (" +
         session.name + ")\n";
}

std::size_t differences_of(const RunReport& report) {
  return totals_of(report).differences;
}

}  // namespace forerun
