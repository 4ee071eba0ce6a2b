#include "coordinator/rechecks.hpp"

#include <algorithm>
#include <utility>

#include "base/hex.hpp"
#include "coordinator/share.hpp"

namespace forerun {
namespace {

std::string shown(const RunAnswer& answer) {
  std::string text = answer.output ? to_hex(*answer.output) : "a failure";
  text += answer.writes ? " with writes " + to_hex(*answer.writes) : "";
  text += answer.effects ? " with effects " + to_hex(*answer.effects) : "";
  return text;
}

std::string place_of(const Rerun& rerun) {
  return "entry " + to_string(rerun.seq) + ", task " + rerun.task->name;
}

}  // namespace

bool Rechecks::draws(const RunId& run_id, StepNumber step, const std::string& task) const {
  if (settings_.share <= 0 || not_deterministic_.contains(task)) {
    return false;
  }
  return is_in_share(sha256(to_hex(secret_) + to_string(run_id) + "/" + to_string(step)),
                     settings_.share);
}

void Rechecks::add(Rerun rerun) {
  if (reruns_.waiting() < waiting_max) {
    reruns_.add(std::move(rerun));
  } else {
    ++passed_over_;
  }
}

Rechecks::Verdicts Rechecks::judge() {
  Verdicts verdicts;
  std::set<Seq> judged;
  for (const Rerun& rerun : reruns_.all()) {
    const Rerun* third = reruns_.third_of(rerun);
    if (!rerun.is_third && rerun.state == Rerun::State::ended &&
        (third == nullptr || third->state == Rerun::State::ended)) {
      judge(rerun, verdicts);
      judged.insert(rerun.seq);
    }
  }
  std::erase_if(reruns_.all(),
                [&judged](const Rerun& rerun) { return judged.contains(rerun.seq); });
  return verdicts;
}

/// A failure proves nothing: what a node lacks, its neighbour may have.
void Rechecks::judge(const Rerun& rerun, Verdicts& verdicts) {
  if (rerun.says_nothing || !rerun.answer.output) {
    ++undecided_;
    return;
  }
  if (rerun.answer == rerun.recorded) {
    ++agreed_;
    return;
  }
  ++differed_;
  const Rerun* third = reruns_.verdict_of(rerun);
  if (third == nullptr || !third->answer.output) {
    ++undecided_;
    verdicts.log.push_back("recheck: " + place_of(rerun) + ": node " + rerun.recorded_node +
                           " answered " + shown(rerun.recorded) + ", node " + rerun.node + " " +
                           shown(rerun.answer) + ", and no third node could decide");
  } else if (third->answer == rerun.answer) {
    if (rerun.recorded_on) {
      blame(*rerun.recorded_on, rerun.recorded_node, rerun, verdicts);
    }
  } else if (third->answer == rerun.recorded) {
    blame(*rerun.ran_on, rerun.node, rerun, verdicts);
  } else {
    distrust(rerun.task->name, "three nodes gave three answers to " + place_of(rerun), verdicts);
  }
}

void Rechecks::blame(const NodeId& node, const std::string& name, const Rerun& rerun,
                     Verdicts& verdicts) {
  const std::string& task = rerun.task->name;
  const bool is_known = lies_.contains(node);
  if (not_deterministic_.contains(task) || (!is_known && lies_.size() >= suspects_max)) {
    return;
  }
  const auto other = std::find_if(lies_.begin(), lies_.end(), [&](const auto& suspect) {
    return suspect.first != node && !liars_.contains(suspect.first) &&
           suspect.second.contains(task);
  });
  if (other != lies_.end()) {
    distrust(task, "two nodes in turn stood alone with their answers", verdicts);
    return;
  }
  const bool is_recorded = rerun.recorded_on == node;
  verdicts.log.push_back("recheck: " + place_of(rerun) + ": node " + name + " answered " +
                         shown(is_recorded ? rerun.recorded : rerun.answer) + ", two other nodes " +
                         shown(is_recorded ? rerun.answer : rerun.recorded));
  ++lies_[node][task];
  std::uint32_t lies = 0;
  for (const auto& [each, count] : lies_[node]) {
    lies += count;
  }
  if (lies >= settings_.lies_max && liars_.insert(node).second) {
    verdicts.liars.push_back(node);
  }
}

void Rechecks::distrust(const std::string& task, const std::string& why, Verdicts& verdicts) {
  if (!not_deterministic_.insert(task).second) {
    return;
  }
  for (auto& [node, by_task] : lies_) {
    by_task.erase(task);
  }
  std::erase_if(lies_, [](const auto& suspect) { return suspect.second.empty(); });
  verdicts.log.push_back("recheck: task " + task + ": " + why +
                         ": it is not deterministic, or more than one node lies; it is not run "
                         "again any more. Say `deterministic = false` in the catalog, or compare "
                         "the nodes with `forerun verify --sample`");
}

json::Value Rechecks::report() const {
  json::Object lies;
  for (const auto& [node, by_task] : lies_) {
    std::uint64_t count = 0;
    for (const auto& [task, each] : by_task) {
      count += each;
    }
    lies.set(node.name, count);
  }
  json::Array tasks;
  for (const std::string& task : not_deterministic_) {
    tasks.emplace_back(task);
  }
  json::Object report;
  report.set("share", settings_.share);
  report.set("agreed", agreed_);
  report.set("differed", differed_);
  report.set("undecided", undecided_);
  report.set("passed_over", passed_over_);
  report.set("lies", std::move(lies));
  report.set("not_deterministic", std::move(tasks));
  return report;
}

}  // namespace forerun
