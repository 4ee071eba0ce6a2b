#include "coordinator/audit.hpp"

#include <algorithm>
#include <utility>

#include "base/hex.hpp"
#include "speculation/explanation.hpp"

namespace forerun {
namespace {

json::Value text_or_null(const std::string& text) {
  return text.empty() ? json::Value() : json::Value(text);
}

json::Value uuid_or_null(const std::optional<WorkerId>& worker) {
  return worker ? json::Value(to_string(*worker)) : json::Value();
}

json::Value head_value(const SignedHead& head) {
  return json::parse(head_json(head)).value_or(json::Value());
}

json::Value hash_or_null(const std::optional<Digest>& hash) {
  return hash ? json::Value(to_hex(*hash)) : json::Value();
}

/// Who answered what.
json::Object run_value(const Rerun& rerun) {
  json::Object run;
  run.set("worker", uuid_or_null(rerun.worker));
  run.set("node", json::clean_text(rerun.node, cause_bytes_max));
  run.set("output_hash", hash_or_null(rerun.answer.output));
  run.set("writes_hash", hash_or_null(rerun.answer.writes));
  run.set("effects_hash", hash_or_null(rerun.answer.effects));
  run.set("cause", text_or_null(rerun.cause));
  return run;
}

/// The one that the step's answer is; of a step without a valid branch its only one, when that is a
/// command that ended with a code of its own. Other failures may be the machine's or the moment's.
std::optional<std::size_t> answering_branch(const CommitEntry& commit) {
  if (commit.winner) {
    return commit.winner;
  }
  const bool is_told = commit.branch_names.size() == 1 &&
                       commit.branch_validities.front() == false && commit.branch_causes.front() &&
                       commit.branch_causes.front()->starts_with("exit code ");
  return is_told ? std::optional<std::size_t>(0) : std::nullopt;
}

}  // namespace

Audit::Audit(AuditNumber number, RequestId request, StartAudit body, SignedHead head, Instant now)
    : number_(number),
      request_(request),
      body_(std::move(body)),
      head_(head),
      deadline_(now + body_.deadline),
      sizes_(body_.sizes.empty() ? std::vector<std::uint64_t>{head.head.size} : body_.sizes),
      // Nobody knows the root before the ledger has this size.
      prng_(body_.seed.value_or(seed_of(head.head.root))) {}

void Audit::asked(const NodeSeat& seat) {
  nodes_[seat.id] = {seat.name, {}, {}};
}

bool Audit::awaits(const NodeId& node) const {
  const auto at = nodes_.find(node);
  return at != nodes_.end() && !at->second.answer && at->second.lost.empty();
}

void Audit::answered(const NodeId& node, const ReplicaAudited& answer) {
  if (awaits(node)) {
    nodes_.at(node).answer = answer;
  }
}

void Audit::lost(const NodeId& node, const std::string& why) {
  if (awaits(node)) {
    nodes_.at(node).lost = why;
  }
}

bool Audit::wants_more() const {
  return sampled_ < body_.sample && reruns_.waiting() < reruns_waiting_max &&
         drawn_ < std::min(head_.head.size, draws_max);
}

std::vector<Seq> Audit::draw() {
  std::vector<Seq> seqs;
  if (is_reading_ || !wants_more()) {
    return seqs;
  }
  const std::uint64_t end = std::min(head_.head.size, draws_max);
  while (seqs.size() < reads_at_once && drawn_ < end) {
    const std::uint64_t other = drawn_ + prng_.below(head_.head.size - drawn_);
    const auto value_at = [this](std::uint64_t place) {
      const auto at = swapped_.find(place);
      return at == swapped_.end() ? place : at->second;
    };
    const std::uint64_t chosen = value_at(other);
    swapped_[other] = value_at(drawn_);
    swapped_.erase(drawn_);  // Never looked at again.
    ++drawn_;
    seqs.push_back(Seq{chosen});
  }
  is_reading_ = true;
  return seqs;
}

void Audit::read(const std::vector<StoredEntry>& entries, const Catalog& catalog) {
  is_reading_ = false;
  for (const StoredEntry& entry : entries) {
    if (sampled_ < body_.sample) {
      take(entry, catalog);
    }
  }
}

void Audit::take(const StoredEntry& entry, const Catalog& catalog) {
  const auto read = entry_of(entry.leaf);
  const auto* commit = read ? std::get_if<CommitEntry>(&read->body) : nullptr;
  const auto branch = commit == nullptr ? std::nullopt : answering_branch(*commit);
  if (!branch || (commit->winner && entry.output.empty())) {
    return;
  }
  const Task* task = catalog.task(commit->branch_names[*branch]);
  auto call = Call::parse(entry.call);
  if (task == nullptr || !call || !may_be_rerun(*task, given_state(entry.story).has_value())) {
    return;
  }
  Rerun rerun;
  rerun.seq = entry.seq;
  rerun.call = std::move(*call);
  rerun.task = task;
  rerun.whose = to_string(commit->run_id);
  rerun.recorded_by = commit->workers[*branch];
  rerun.recorded = {commit->output_hash, commit->writes_hash, commit->effects_hash};
  reruns_.add(std::move(rerun));
  ++sampled_;
}

bool Audit::is_done() const {
  const bool is_answered = std::none_of(nodes_.begin(), nodes_.end(),
                                        [this](const auto& node) { return awaits(node.first); });
  return is_answered && !is_reading_ && !wants_more() && reruns_.has_ended();
}

json::Value Audit::report(const std::string& not_answered) const {
  json::Array nodes;
  for (const auto& [id, asked] : nodes_) {
    json::Object node;
    node.set("node", id.name);
    node.set("name", json::clean_text(asked.name, cause_bytes_max));
    node.set("answered", asked.answer.has_value());
    std::string problem =
        asked.lost.empty() ? "did not answer: " + not_answered : "was lost: " + asked.lost;
    if (asked.answer) {
      problem = asked.answer->problem;
      node.set("size", asked.answer->head.size);
      node.set("root", to_hex(asked.answer->head.root));
      node.set("epoch", asked.answer->head.epoch.value);
      node.set("signed_head",
               asked.answer->signed_head ? head_value(*asked.answer->signed_head) : json::Value());
      json::Array roots;
      for (const Digest& root : asked.answer->roots) {
        roots.emplace_back(to_hex(root));
      }
      node.set("roots", std::move(roots));
      node.set("recomputed", asked.answer->recomputed);
      node.set("not_recomputed", asked.answer->not_recomputed);
    }
    node.set("problem", text_or_null(json::clean_text(problem, cause_bytes_max)));
    nodes.emplace_back(std::move(node));
  }
  json::Array executed;
  std::uint64_t without_verdict = 0;
  for (const Rerun& rerun : reruns_.all()) {
    if (rerun.is_third) {
      continue;
    }
    if (rerun.state != Rerun::State::ended || rerun.says_nothing) {
      ++without_verdict;
      continue;
    }
    json::Object step = run_value(rerun);
    step.set("seq", rerun.seq.value);
    step.set("task", rerun.task->name);
    step.set("recorded_by", uuid_or_null(rerun.recorded_by));
    step.set("recorded_node", text_or_null(json::clean_text(rerun.recorded_node, cause_bytes_max)));
    const Rerun* third = reruns_.verdict_of(rerun);
    step.set("third", third == nullptr ? json::Value() : json::Value(run_value(*third)));
    executed.emplace_back(std::move(step));
  }
  json::Array sizes;
  for (const std::uint64_t size : sizes_) {
    sizes.emplace_back(size);
  }
  json::Object report;
  report.set("audit", to_string(number_));
  report.set("head", head_value(head_));
  report.set("sizes", std::move(sizes));
  report.set("nodes", std::move(nodes));
  report.set("re_executed", std::move(executed));
  report.set("without_verdict", without_verdict);
  return report;
}

}  // namespace forerun
