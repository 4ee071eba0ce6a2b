#include "replay/report.hpp"

#include <algorithm>
#include <cstdio>

#include "speculation/tie_break.hpp"

namespace forerun {
namespace {

constexpr std::size_t text_shown_max = 160;

std::string cut(const std::string& text) {
  return text.size() <= text_shown_max ? text : json::clean_text(text, text_shown_max) + "…";
}

json::Value text_list(const std::vector<std::string>& list) {
  json::Array array;
  for (const std::string& item : list) {
    array.emplace_back(item);
  }
  return array;
}

/// The branches in the order in which the rule looks at them, by name.
std::vector<std::string> ranked_names(const CommitEntry& entry) {
  std::vector<std::size_t> order = rank(entry.select, entry.chain, entry.branch_names);
  if (entry.select == SelectRule::first) {
    order = entry.arrival_order;
  }
  std::vector<std::string> names;
  for (const std::size_t index : order) {
    names.push_back(entry.branch_names[index]);
  }
  return names;
}

std::string winner_of(const CommitEntry& entry) {
  return entry.winner ? entry.branch_names[*entry.winner] : "none";
}

json::Value flag_or_null(const std::optional<bool>& flag) {
  return flag ? json::Value(*flag) : json::Value();
}

/// What the story tells of a step: the replayed decision, or the recorded one if there is none.
const CommitEntry& told(const ComparedDecision& decision) {
  return decision.replayed != nullptr ? decision.replayed->entry : decision.recorded->entry;
}

std::string how(const ComparedDecision& decision, std::size_t branch) {
  if (decision.replayed == nullptr) {
    return "not replayed";
  }
  return decision.was_run[branch]                             ? "run again"
         : decision.replayed->entry.branch_validities[branch] ? "as recorded"
                                                              : "not needed";
}

json::Value story_step(const ComparedDecision& decision) {
  const CommitEntry& entry = told(decision);
  json::Object step;
  step.set("step", std::uint64_t{entry.step.value});
  step.set("task", entry.task);
  step.set("input",
           decision.recorded->call ? json::Value(decision.recorded->call->input()) : json::Value());
  step.set("select", std::string(to_string(entry.select)));
  step.set("seed", seed_text(entry.chain));
  step.set("seed_chain", to_hex(entry.chain));
  step.set("rank", text_list(ranked_names(entry)));
  json::Array branches;
  for (std::size_t i = 0; i < entry.branch_names.size(); ++i) {
    json::Object branch;
    branch.set("name", entry.branch_names[i]);
    branch.set("valid", flag_or_null(entry.branch_validities[i]));
    branch.set("cause",
               entry.branch_causes[i] ? json::Value(*entry.branch_causes[i]) : json::Value());
    branch.set("how", how(decision, i));
    branches.emplace_back(std::move(branch));
  }
  step.set("branches", std::move(branches));
  step.set("winner", entry.winner ? json::Value(winner_of(entry)) : json::Value());
  step.set("origin", std::string(to_string(entry.origin)));
  step.set("recorded_hash", to_hex(decision.recorded->entry.decision_hash()));
  step.set("replayed_hash", decision.replayed != nullptr
                                ? json::Value(to_hex(entry.decision_hash()))
                                : json::Value());
  step.set("differing", text_list(decision.differing));
  return step;
}

std::string rank_rule(const CommitEntry& entry) {
  switch (entry.select) {
    case SelectRule::ranked:
      return "by SHA-256(chain, name)";
    case SelectRule::ordered:
      return "as declared";
    case SelectRule::seeded:
      return "the valid one at seed mod count";
    case SelectRule::first:
      return "as recorded to arrive";
  }
  return {};
}

std::string story_step_text(const ComparedDecision& decision) {
  const CommitEntry& entry = told(decision);
  const auto& output =
      decision.replayed != nullptr ? decision.replayed->output : decision.recorded->output;
  std::string text = "step " + to_string(entry.step) + "  " + entry.task;
  text += decision.recorded->call
              ? "  " + cut(std::string(decision.recorded->call->canonical_input())) + "\n"
              : "  (its input was erased)\n";
  text += "  seed      " + seed_text(entry.chain) + "  " + std::string(to_string(entry.select));
  if (entry.branch_names.size() > 1) {
    text += " (" + rank_rule(entry) + "):";
    for (const std::string& name : ranked_names(entry)) {
      text += " " + name;
    }
  }
  text += "\n";
  for (std::size_t i = 0; i < entry.branch_names.size(); ++i) {
    const auto& valid = entry.branch_validities[i];
    text += "  branch    " + entry.branch_names[i] + "  " +
            (!valid   ? "null"
             : *valid ? "true"
                      : "false") +
            "  " + how(decision, i);
    text += entry.branch_causes[i] ? ": " + cut(*entry.branch_causes[i]) + "\n" : "\n";
  }
  text += "  winner    " + winner_of(entry);
  text += (output ? "  " + cut(output->canonical()) : std::string()) + "  (" +
          std::string(to_string(entry.origin)) + ")\n";
  text += "  recorded  " + to_hex(decision.recorded->entry.decision_hash()) + "\n";
  text += "  replayed  " +
          (decision.replayed == nullptr
               ? std::string("not replayed")
               : to_hex(entry.decision_hash()) + (decision.differing.empty() ? "  equal" : "")) +
          "\n";
  for (const std::string& field : decision.differing) {
    text += "  DIFFERS   " + field + "\n";
  }
  return text;
}

void add_row(std::string& text, const char* name, const std::string& value) {
  std::string row = "  " + std::string(name);
  row.resize(std::max<std::size_t>(row.size() + 1, 17), ' ');
  text += row + value + "\n";
}

}  // namespace

json::Value to_json(const ReplayReport& report) {
  const ReplayComparison& compared = report.compared;
  json::Object object;
  object.set("decisions", std::uint64_t{compared.decision_count});
  object.set("executed", std::uint64_t{compared.executed});
  object.set("as_recorded", std::uint64_t{compared.as_recorded});
  object.set("not_replayed", std::uint64_t{compared.not_replayed_count()});
  object.set("differences", std::uint64_t{compared.differences.size()});
  object.set("head_holds", report.head_problem.empty());
  object.set("sessions", std::uint64_t{report.sessions});
  object.set("nodes", std::uint64_t{report.nodes});
  object.set("nodes_live", std::uint64_t{report.nodes_live});
  object.set("workers", std::uint64_t{report.workers});
  object.set("slots", std::uint64_t{report.slots});
  object.set("speculation", report.is_speculating ? "on" : "off");
  object.set("hits", std::uint64_t{compared.hits});
  object.set("late_hits", std::uint64_t{compared.late_hits});
  object.set("misses", std::uint64_t{compared.misses});
  object.set("seconds", report.seconds);
  json::Array differing;
  for (const DecisionDifference& each : compared.differences) {
    if (differing.size() == replay_named_max) {
      break;
    }
    json::Object item;
    item.set("run_id", each.run_id);
    item.set("step", each.step);
    item.set("task", each.task);
    item.set("expected", each.expected);
    item.set("found", each.found);
    item.set("fields", text_list(each.fields));
    differing.emplace_back(std::move(item));
  }
  object.set("differing", std::move(differing));
  if (report.has_story) {
    json::Array story;
    for (const ComparedDecision& decision : compared.decisions) {
      story.push_back(story_step(decision));
    }
    object.set("story", std::move(story));
  }
  return object;
}

std::string story_of(const ReplayComparison& compared) {
  std::string text;
  for (const ComparedDecision& decision : compared.decisions) {
    text += story_step_text(decision) + "\n";
  }
  return text;
}

std::string to_table(const ReplayReport& report) {
  const ReplayComparison& compared = report.compared;
  std::string text = report.has_story ? story_of(compared) : "";
  text += "replayed " + report.subject + "\n\n";
  add_row(text, "sessions", std::to_string(report.sessions));
  add_row(text, "cluster",
          std::to_string(report.nodes) + " nodes (" + std::to_string(report.nodes_live) +
              " live at the end), " + std::to_string(report.workers) + " workers each, " +
              std::to_string(report.slots) + " slots a worker, speculation " +
              (report.is_speculating ? "on" : "off"));
  add_row(text, "decisions", std::to_string(compared.decision_count));
  add_row(text, "executed",
          std::to_string(compared.executed) + "  by running deterministic pure tasks again");
  add_row(text, "as recorded", std::to_string(compared.as_recorded));
  add_row(text, "not replayed", std::to_string(compared.not_replayed_count()));
  add_row(text, "answers",
          std::to_string(compared.hits) + " hits, " + std::to_string(compared.late_hits) +
              " late hits, " + std::to_string(compared.misses) + " misses");
  add_row(text, "differences", std::to_string(compared.differences.size()));
  return text;
}

std::vector<std::string> findings(const ReplayComparison& compared) {
  std::vector<std::string> lines;
  for (const NotReplayed& each : compared.not_replayed) {
    if (lines.size() == replay_named_max) {
      lines.push_back("not replayed: further ones are only counted");
      break;
    }
    lines.push_back("not replayed: run " + each.run_id + " from step " + each.from_step + " (" +
                    std::to_string(each.decisions) +
                    (each.decisions == 1 ? " decision): " : " decisions): ") + each.why);
  }
  for (const DecisionDifference& each : compared.differences) {
    if (lines.size() >= 2 * replay_named_max) {
      lines.push_back("difference: further ones are only counted");
      break;
    }
    std::string line = "difference: run " + each.run_id + " step " + each.step + " (" + each.task +
                       "): expected " + each.expected + ", found " + each.found;
    for (const std::string& field : each.fields) {
      line += "; " + field;
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

int exit_code(const ReplayReport& report, bool has_errors) {
  const ReplayComparison& compared = report.compared;
  if (!compared.differences.empty() || !report.head_problem.empty()) {
    return 5;
  }
  const bool nothing = compared.executed + compared.as_recorded == 0 && compared.decision_count > 0;
  return has_errors || nothing ? 1 : 0;
}

}  // namespace forerun
