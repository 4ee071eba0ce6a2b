#include "coordinator/prediction_report.hpp"

#include <algorithm>
#include <cstdio>

#include "base/formatted.hpp"

namespace forerun {
namespace {

constexpr double end_told_above = 0.5;
constexpr double task_told_above = 0.05;

double number_of(const json::Value& value, const char* member) {
  const json::Value* found = value.find(member);
  return found == nullptr || found->number() == nullptr ? 0 : *found->number();
}

/// The member as text, or nothing for null and what is not there.
std::string text_of(const json::Value& value, const char* member) {
  const json::Value* found = value.find(member);
  if (found == nullptr || found->is_null()) {
    return {};
  }
  return found->string() != nullptr ? *found->string() : json::canonical(*found);
}

std::string admission_line(const json::Value& admission) {
  std::string line = "     " + text_of(admission, "decision");
  const std::string because = text_of(admission, "because");
  line += because.empty() ? "" : ": " + because;
  if (admission.find("confidence_min") != nullptr) {
    line += " (confidence " + percent(number_of(admission, "confidence")) + ", at least " +
            percent(number_of(admission, "confidence_min")) + " is worth it";
    if (admission.find("price") != nullptr) {
      char text[128];
      std::snprintf(text, sizeof text, "; takes %.0f ms, hides %.0f ms; price %.2f, budget %.0f ms",
                    number_of(admission, "expected_ms"), number_of(admission, "hidden_ms"),
                    number_of(admission, "price"), number_of(admission, "budget_ms"));
      line += text;
    }
    line += ")";
  }
  return line + "\n";
}

bool has_call_of(const json::Value* calls, const std::string& task) {
  return calls != nullptr && calls->array() != nullptr &&
         std::any_of(calls->array()->begin(), calls->array()->end(),
                     [&task](const json::Value& each) { return text_of(each, "task") == task; });
}

/// Tasks that are expected, but not with which arguments. Where no call is named at least the
/// likeliest of them is told.
std::string tasks_text(const json::Value& report) {
  const json::Value* calls = report.find("predictions");
  const json::Value* tasks = report.find("tasks");
  std::string text;
  if (tasks == nullptr || tasks->array() == nullptr) {
    return text;
  }
  for (const json::Value& each : *tasks->array()) {
    const std::string task = text_of(each, "task");
    const double probability = number_of(each, "probability");
    std::string unfilled;
    if (const json::Value* names = each.find("unfilled"); names && names->array()) {
      for (const json::Value& name : *names->array()) {
        unfilled += (unfilled.empty() ? "" : ", ") + (name.string() ? *name.string() : "");
      }
    }
    const bool names_call = has_call_of(calls, task);
    const bool is_told = probability >= task_told_above || (text.empty() && !names_call);
    if (is_told && (!unfilled.empty() || !names_call)) {
      text += "task " + task + " is expected, " + percent(probability) +
              (unfilled.empty() ? ": no call of it is likely enough to be named"
                                : ": nothing that is known tells its " + unfilled) +
              "\n";
    }
  }
  return text;
}

/// What came there, where a record tells it.
std::string recorded_text(const json::Value& report) {
  const json::Value* recorded = report.find("recorded");
  if (recorded == nullptr || recorded->object() == nullptr) {
    return {};
  }
  const std::string place = text_of(*recorded, "rank");
  return "recorded: " + text_of(*recorded, "task") + " " + text_of(*recorded, "input") + "  (" +
         (place.empty() ? "not expected" : "rank " + place) + ")\n";
}

/// Why no call is named.
std::string nothing_text(const json::Value& report, const std::string& tasks) {
  if (!tasks.empty()) {
    return "no exact call is expected\n" + tasks;
  }
  const double end = number_of(report, "end_probability");
  return end >= end_told_above
             ? "nothing is expected: the session ends here, " + percent(end) + "\n"
             : "nothing is expected: what follows here was never seen\n";
}

}  // namespace

json::Object report_of(const Prediction& prediction) {
  json::Object report;
  json::Array reasons;
  for (const std::string& reason : prediction.reasons) {
    reasons.emplace_back(reason);
  }
  report.set("task", prediction.call.task());
  report.set("input", prediction.call.input());
  report.set("input_hash", to_hex(prediction.call.hash()));
  report.set("probability", prediction.probability);
  report.set("premise", prediction.premise ? prediction.premise->value() : json::Value());
  report.set("premise_probability",
             prediction.premise ? json::Value(prediction.premise_probability) : json::Value());
  report.set("reasons", std::move(reasons));
  return report;
}

json::Array report_of(const std::vector<ExpectedTask>& tasks) {
  json::Array report;
  for (const ExpectedTask& expected : tasks) {
    json::Array unfilled;
    for (const std::string& name : expected.unfilled) {
      unfilled.emplace_back(name);
    }
    json::Object task;
    task.set("task", expected.task);
    task.set("probability", expected.probability);
    task.set("unfilled", std::move(unfilled));
    report.emplace_back(std::move(task));
  }
  return report;
}

void set_times(json::Object& admission, const AdmissionSettings& settings,
               const WasteBudget& budget, const Candidate& candidate) {
  admission.set("expected_ms", milliseconds_of(candidate.expected));
  admission.set("hidden_ms", milliseconds_of(candidate.hidden));
  admission.set("price", price_of_waste(settings, budget, candidate.expected, candidate.reserved));
  admission.set("budget_ms", milliseconds_of(budget.level()));
}

std::string predictions_text(const json::Value& report) {
  const std::string run_id = text_of(report, "run_id");
  const std::string session = text_of(report, "session");
  const std::string after = text_of(report, "after_step");
  std::string text = "session " + (run_id.empty() ? session : run_id) + ", " +
                     (after.empty() ? "before its first step" : "after step " + after) + "\n";
  if (const json::Value* running = report.find("running"); running && running->array()) {
    for (const json::Value& step : *running->array()) {
      text += "  step " + text_of(step, "step") + " runs: " + text_of(step, "task") + "\n";
    }
  }
  if (const double left = number_of(report, "not_learned_yet"); left > 0) {
    text += "after a restart: " + text_of(report, "not_learned_yet") +
            " of its steps are still to be learned, and nothing runs ahead until they are\n";
  }
  const json::Value* list = report.find("predictions");
  const std::string tasks = tasks_text(report);
  const bool names_none = list == nullptr || list->array() == nullptr || list->array()->empty();
  if (names_none && number_of(report, "not_learned_yet") > 0) {
    return text;
  }
  if (names_none) {
    text += nothing_text(report, tasks);
    return text + recorded_text(report);
  }
  std::size_t rank = 0;
  for (const json::Value& each : *list->array()) {
    text += std::to_string(++rank) + ". " + percent(number_of(each, "probability")) + "  " +
            text_of(each, "task") + " " + text_of(each, "input") + "\n";
    if (const std::string premise = text_of(each, "premise"); !premise.empty()) {
      text += "     if what runs returns " + premise + " (" +
              percent(number_of(each, "premise_probability")) + ")\n";
    }
    if (const json::Value* reasons = each.find("reasons"); reasons && reasons->array()) {
      for (const json::Value& reason : *reasons->array()) {
        text += "     because " + (reason.string() ? *reason.string() : std::string()) + "\n";
      }
    }
    if (const json::Value* admission = each.find("admission")) {
      text += admission_line(*admission);
    }
  }
  text += tasks;
  if (const std::string assumes = text_of(report, "admission_assumes"); !assumes.empty()) {
    text += "admission assumes " + assumes + "\n";
  }
  return text + recorded_text(report);
}

}  // namespace forerun
