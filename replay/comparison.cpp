#include "replay/comparison.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "base/json.hpp"

namespace forerun {
namespace {

std::string shown(const std::optional<Digest>& digest) {
  return digest ? to_hex(*digest) : "null";
}

template <class T, class Write>
std::string shown_list(const std::vector<T>& list, Write&& write) {
  std::string text = "[";
  for (const T& item : list) {
    text += (text.size() > 1 ? "," : "") + write(item);
  }
  return text + "]";
}

std::string shown(const std::vector<std::string>& names) {
  return shown_list(names, [](const std::string& name) { return name; });
}

std::string shown(const std::vector<std::optional<bool>>& validities) {
  return shown_list(validities, [](const std::optional<bool>& valid) {
    return std::string(!valid ? "null" : *valid ? "true" : "false");
  });
}

std::string shown(const std::vector<std::size_t>& indices) {
  return shown_list(indices, [](std::size_t index) { return std::to_string(index); });
}

std::string shown(const std::optional<std::size_t>& winner) {
  return winner ? std::to_string(*winner) : "-1";
}

/// Whether each branch's task was run again for this step.
std::vector<bool> runs_of(const RecordedStep& recorded, const RecordedStep& replayed,
                          const std::set<JournalKey>& ran) {
  std::vector<bool> runs;
  const CommitEntry& entry = replayed.entry;
  for (std::size_t i = 0; i < entry.branch_names.size(); ++i) {
    // An equal call of the session may have been run where this step's time-out was not.
    const auto same = std::find(recorded.entry.branch_names.begin(),
                                recorded.entry.branch_names.end(), entry.branch_names[i]);
    const std::size_t at = static_cast<std::size_t>(same - recorded.entry.branch_names.begin());
    const bool is_by_engine = same != recorded.entry.branch_names.end() &&
                              is_engine_cause(recorded.entry.branch_causes[at].value_or(""));
    runs.push_back(!is_by_engine && recorded.call &&
                   ran.contains({to_string(entry.run_id), entry.branch_names[i],
                                 sha256(recorded.call->canonical_input())}));
  }
  return runs;
}

class Comparer {
public:
  Comparer(const RecordedSessions& replayed, const std::set<JournalKey>& ran,
           const ReplayAnswers& answers, const std::map<RunId, std::string>& errors)
      : ran_(ran), answers_(answers), errors_(errors) {
    for (const RecordedSession& session : replayed.sessions) {
      replayed_.emplace(session.run_id, &session);
    }
  }

  void add(const RecordedSession& session) {
    const auto found = replayed_.find(session.run_id);
    const std::size_t replayed = found == replayed_.end() ? 0 : found->second->steps.size();
    const std::size_t compared = std::min({session.steps.size(), session.replayable, replayed});
    for (std::size_t i = 0; i < session.steps.size(); ++i) {
      ComparedDecision decision;
      decision.recorded = &session.steps[i];
      if (i < compared) {
        compare(decision, found->second->steps[i], i);
      }
      result_.decisions.push_back(std::move(decision));
      ++result_.decision_count;
    }
    if (compared < session.steps.size()) {
      const auto error = errors_.find(session.run_id);
      const std::string why = compared < session.replayable && error != errors_.end()
                                  ? error->second
                              : session.stopped_by.empty() ? "the replay ended before it"
                                                           : session.stopped_by;
      result_.not_replayed.push_back({to_string(session.run_id),
                                      to_string(session.steps[compared].entry.step),
                                      session.steps.size() - compared, why});
    }
  }

  void add(const BrokenDecision& broken) {
    ++result_.decision_count;
    result_.not_replayed.push_back(
        {broken.run_id, broken.step, 1, "entry " + to_string(broken.seq) + " does not hold"});
    result_.differences.push_back({broken.run_id,
                                   broken.step,
                                   "?",
                                   "entry " + to_string(broken.seq),
                                   "an entry that does not hold",
                                   {broken.problem.message}});
  }

  ReplayComparison take() { return std::move(result_); }

private:
  void compare(ComparedDecision& decision, const RecordedStep& replayed, std::size_t index) {
    const CommitEntry& expected = decision.recorded->entry;
    const CommitEntry& found = replayed.entry;
    decision.replayed = &replayed;
    decision.was_run = runs_of(*decision.recorded, replayed, ran_);
    for (std::size_t i = 0; i < decision.was_run.size(); ++i) {
      decision.is_executed |= decision.was_run[i] && found.branch_validities[i].has_value();
    }
    ++(decision.is_executed ? result_.executed : result_.as_recorded);
    ++(found.origin == Origin::hit        ? result_.hits
       : found.origin == Origin::late_hit ? result_.late_hits
                                          : result_.misses);
    decision.differing = differing_fields(expected, found);
    const auto answers = answers_.find(found.run_id);
    if (answers != answers_.end() && index < answers->second.size() &&
        answers->second[index] != found.output_hash) {
      decision.differing.push_back("answer to the client: expected the output " +
                                   shown(found.output_hash) + ", found " +
                                   shown(answers->second[index]));
    }
    if (!decision.differing.empty()) {
      result_.differences.push_back({to_string(expected.run_id), to_string(expected.step),
                                     expected.task, to_hex(expected.decision_hash()),
                                     to_hex(found.decision_hash()), decision.differing});
    }
  }

  const std::set<JournalKey>& ran_;
  const ReplayAnswers& answers_;
  const std::map<RunId, std::string>& errors_;
  std::map<RunId, const RecordedSession*> replayed_;
  ReplayComparison result_;
};

}  // namespace

std::size_t ReplayComparison::not_replayed_count() const {
  std::size_t count = 0;
  for (const NotReplayed& each : not_replayed) {
    count += each.decisions;
  }
  return count;
}

std::vector<std::string> differing_fields(const CommitEntry& expected, const CommitEntry& found) {
  std::vector<std::string> fields;
  const auto check = [&fields](const char* name, const std::string& a, const std::string& b) {
    if (a != b) {
      fields.push_back(std::string(name) + ": expected " + a + ", found " + b);
    }
  };
  check("task", expected.task, found.task);
  check("input_hash", to_hex(expected.input_hash), to_hex(found.input_hash));
  check("branch_names", shown(expected.branch_names), shown(found.branch_names));
  check("branch_validities", shown(expected.branch_validities), shown(found.branch_validities));
  check("select", std::string(to_string(expected.select)), std::string(to_string(found.select)));
  check("seed_chain", to_hex(expected.chain), to_hex(found.chain));
  check("arrival_order", shown(expected.arrival_order), shown(found.arrival_order));
  check("winning_branch_index", shown(expected.winner), shown(found.winner));
  check("output_hash", shown(expected.output_hash), shown(found.output_hash));
  check("writes_hash", shown(expected.writes_hash), shown(found.writes_hash));
  check("effects_hash", shown(expected.effects_hash), shown(found.effects_hash));
  FORERUN_ASSERT(!fields.empty() || expected.decision_hash() == found.decision_hash());
  return fields;
}

ReplayComparison compare_replay(const RecordedSessions& recorded, const RecordedSessions& replayed,
                                const std::set<JournalKey>& ran, const ReplayAnswers& answers,
                                const std::map<RunId, std::string>& errors) {
  Comparer comparer(replayed, ran, answers, errors);
  for (const RecordedSession& session : recorded.sessions) {
    comparer.add(session);
  }
  for (const BrokenDecision& broken : recorded.broken) {
    comparer.add(broken);
  }
  return comparer.take();
}

}  // namespace forerun
