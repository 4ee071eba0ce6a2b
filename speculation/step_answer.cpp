#include "speculation/step_answer.hpp"

#include <utility>
#include <variant>

#include "speculation/ledger_audit.hpp"

namespace forerun {

StepAnswer step_answer_of(const CommitEntry& commit, const Digest& decision_hash, Seq seq,
                          std::string output) {
  StepAnswer answer;
  answer.run_id = commit.run_id;
  answer.step = commit.step.value;
  answer.task = commit.task;
  answer.failed = !commit.winner;
  answer.output = std::move(output);
  answer.branch_names = commit.branch_names;
  answer.causes = commit.branch_causes;
  if (commit.winner) {
    answer.winner = commit.branch_names[*commit.winner];
  }
  answer.origin = commit.origin;
  if (commit.hit) {
    answer.saved = commit.hit->saved;
    answer.confidence = commit.hit->confidence;
  }
  answer.seed = seed_text(commit.chain);
  answer.decision_hash = decision_hash;
  answer.seq = seq;
  return answer;
}

Result<StepAnswer> step_answer_of(const StoredEntry& stored) {
  const auto entry = entry_of(stored.leaf);
  if (!entry) {
    return tl::unexpected<Error>(entry.error());
  }
  const auto* commit = std::get_if<CommitEntry>(&entry->body);
  if (commit == nullptr) {
    return fail(Errc::invalid, "entry " + to_string(stored.seq) + ": not a commit");
  }
  if (const auto wrong = wrong_text(*commit, {{}, stored.output, {}, {}})) {
    return fail(Errc::verification, "entry " + to_string(stored.seq) + ": " + *wrong);
  }
  return step_answer_of(*commit, commit->decision_hash(), stored.seq, stored.output);
}

Result<SessionView> session_view_of(const SessionRow& row, std::uint32_t first,
                                    std::span<const StoredEntry> commits) {
  SessionView view{row.run_id,    row.context, row.mode, row.ended,
                   row.next_step, first,       {},       row.state};
  for (const StoredEntry& commit : commits) {
    auto answer = step_answer_of(commit);
    if (!answer) {
      return tl::unexpected<Error>(answer.error());
    }
    view.steps.push_back(std::move(*answer));
  }
  return view;
}

}  // namespace forerun
