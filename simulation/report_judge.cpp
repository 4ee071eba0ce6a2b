#include "simulation/report_judge.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <variant>

#include "speculation/call.hpp"

namespace forerun::simulation {
namespace {

constexpr std::size_t predictions_max = 4;  ///< What the coordinator's settings ask for.

bool is_null(const json::Value* value) {
  return value == nullptr || value->is_null();
}

bool flag_in(const json::Value& value, std::string_view name) {
  const json::Value* found = value.find(name);
  return found != nullptr && found->boolean() != nullptr && *found->boolean();
}

json::Value value_of(const std::string& canonical) {
  return canonical.empty() ? json::Value() : json::parse(canonical).value_or(json::Value());
}

/// How many steps a page has of a session with so many.
std::size_t shown_of(const SessionPage& page, std::size_t steps) {
  return page.first >= steps ? 0 : std::min<std::size_t>(page.count, steps - page.first);
}

}  // namespace

std::string text_in(const json::Value& value, std::string_view name) {
  const json::Value* found = value.find(name);
  return found == nullptr || found->string() == nullptr ? std::string() : *found->string();
}

std::uint64_t number_in(const json::Value& value, std::string_view name) {
  const json::Value* found = value.find(name);
  return found == nullptr || found->number() == nullptr
             ? 0
             : static_cast<std::uint64_t>(*found->number());
}

const json::Array& list_in(const json::Value& value, std::string_view name) {
  static const json::Array none;
  const json::Value* found = value.find(name);
  return found == nullptr || found->array() == nullptr ? none : *found->array();
}

EffectId effect_in(const json::Value& value) {
  return {RunId::parse(text_in(value, "run_id")).value_or(RunId{}),
          StepNumber{static_cast<std::uint32_t>(number_in(value, "step"))},
          static_cast<std::uint32_t>(number_in(value, "index"))};
}

void ReportJudge::session(const SessionView& view, const SessionPage& page) {
  const std::string place = "run " + to_string(view.run_id) + " is shown: ";
  const auto known = env_.auditor.sessions().find(view.run_id);
  if (known == env_.auditor.sessions().end() || view.next_step > known->second.commits.size() ||
      (view.ended && !env_.auditor.ended_sessions().contains(view.run_id))) {
    fail(Rule::durable_first, place + std::to_string(view.next_step) + " steps" +
                                  (view.ended ? " and its end" : "") + ", which are not durable");
    return;
  }
  if (view.context != known->second.context || view.first != page.first ||
      view.state != known->second.states[view.next_step]) {
    fail(Rule::one_decision, place + "its context, its state after step " +
                                 std::to_string(view.next_step) + " or its page is another one");
  }
  if (view.steps.size() != shown_of(page, view.next_step)) {
    fail(Rule::one_decision, place + std::to_string(view.steps.size()) + " of " +
                                 std::to_string(view.next_step) + " steps, asked for " +
                                 std::to_string(page.count) + " from " +
                                 std::to_string(page.first));
  }
  for (std::size_t i = 0; i < view.steps.size(); ++i) {
    if (view.steps[i].run_id != view.run_id || view.steps[i].step != page.first + i) {
      fail(Rule::one_decision, place + "step " + std::to_string(view.steps[i].step) + " at place " +
                                   std::to_string(i) + " of a page from " +
                                   std::to_string(page.first));
    }
    env_.auditor.answered(view.steps[i]);
  }
}

void ReportJudge::explanation(const RunId& run_id, const SessionPage& page,
                              const json::Value& report) {
  const std::string place = "run " + to_string(run_id) + " is explained: ";
  const auto known = env_.auditor.sessions().find(run_id);
  if (known == env_.auditor.sessions().end()) {
    fail(Rule::durable_first, place + "it is not durable");
    return;
  }
  const Auditor::Session& session = known->second;
  const json::Array& steps = list_in(report, "steps");
  if (text_in(report, "run_id") != to_string(run_id) ||
      text_in(report, "context") != session.context ||
      flag_in(report, "ended") != env_.auditor.ended_sessions().contains(run_id) ||
      number_in(report, "next_step") != session.commits.size() ||
      number_in(report, "first") != page.first ||
      steps.size() != shown_of(page, session.commits.size())) {
    fail(Rule::one_decision, place + "asked for " + std::to_string(page.count) + " steps from " +
                                 std::to_string(page.first) + " of " +
                                 std::to_string(session.commits.size()) + ", got " +
                                 json::canonical(report));
    return;
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    expect_step(place, session, page.first + static_cast<std::uint32_t>(i), steps[i]);
  }
  expect_discards(place, session, page, report);
}

void ReportJudge::expect_step(const std::string& place, const Auditor::Session& session,
                              std::uint32_t step, const json::Value& shown) {
  const Seq seq = session.commits[step];
  const auto entry = entry_of(env_.auditor.leaf(seq));
  std::optional<Entry> before;
  if (step > 0) {
    before = *entry_of(env_.auditor.leaf(session.commits[step - 1]));
  }
  const auto* commit = std::get_if<CommitEntry>(&entry->body);
  json::Object expected;
  expected.set("step", std::uint64_t{step});
  expected.set("seq", seq.value);
  expected.set("epoch", entry->epoch.value);
  expected.set("task", commit->task);
  expected.set("input_hash", to_hex(commit->input_hash));
  expected.set("chain", to_hex(commit->chain));
  expected.set("chain_before", before
                                   ? json::Value(to_hex(std::get<CommitEntry>(before->body).chain))
                                   : json::Value());
  expected.set("decision_hash", to_hex(commit->decision_hash()));
  expected.set("origin", std::string(to_string(commit->origin)));
  expected.set("winner",
               commit->winner ? json::Value(commit->branch_names[*commit->winner]) : json::Value());
  for (const json::Member& member : expected) {
    const json::Value* found = shown.find(member.name);
    if (found == nullptr || *found != member.value) {
      fail(Rule::one_decision, place + "step " + std::to_string(step) + ": " + member.name +
                                   ": found " +
                                   (found == nullptr ? "none" : json::canonical(*found)) +
                                   ", expected " + json::canonical(member.value));
      return;
    }
  }
  const json::Value* input = shown.find("input");
  if (is_null(input) || input->object() == nullptr ||
      Call::make(commit->task, *input->object()).hash() != commit->input_hash) {
    fail(Rule::one_decision, place + "step " + std::to_string(step) + ": its input is another one");
  }
  const json::Array& branches = list_in(shown, "branches");
  if (branches.size() != commit->branch_names.size() ||
      (commit->winner &&
       (branches[*commit->winner].find("output") == nullptr ||
        *branches[*commit->winner].find("output") != value_of(env_.auditor.output(seq))))) {
    fail(Rule::one_decision,
         place + "step " + std::to_string(step) + ": its branches or its output are others");
  }
}

/// A page has the discards since the step before it, up to its last step; the last page, all; one
/// behind the last step, none.
void ReportJudge::expect_discards(const std::string& place, const Auditor::Session& session,
                                  const SessionPage& page, const json::Value& report) {
  const std::size_t steps = session.commits.size();
  const std::size_t before = std::min<std::size_t>(page.first, steps);
  const std::size_t end = before + shown_of(page, steps);
  const std::uint64_t from = before == 0 ? 0 : session.commits[before - 1].value;
  const std::uint64_t until =
      end == steps ? std::numeric_limits<std::uint64_t>::max() : session.commits[end - 1].value;
  const bool is_beyond = page.first > 0 && page.first >= steps;
  std::string expected;
  for (const Seq seq : session.discards) {
    expected +=
        !is_beyond && seq.value >= from && seq.value < until ? " " + to_string(seq) : std::string();
  }
  std::string found;
  for (const json::Value& discard : list_in(report, "discards")) {
    const Seq seq{number_in(discard, "seq")};
    found += " " + to_string(seq);
    std::optional<Entry> entry;
    if (seq.value < env_.auditor.size()) {
      entry = *entry_of(env_.auditor.leaf(seq));
    }
    const auto* body = entry ? std::get_if<DiscardEntry>(&entry->body) : nullptr;
    if (body == nullptr || body->speculation.value != number_in(discard, "speculation") ||
        body->task != text_in(discard, "task") ||
        to_string(body->cause) != text_in(discard, "cause")) {
      fail(Rule::one_decision, place + "entry " + to_string(seq) + " is no such discard");
      return;
    }
  }
  if (found != expected) {
    fail(Rule::one_decision, place + "discards: found entries" + found + ", expected" + expected);
  }
}

void ReportJudge::predictions(const RunId& run_id, std::uint32_t confirmed, bool is_idle,
                              const json::Value& report) {
  const std::string place = "predictions of run " + to_string(run_id) + ": ";
  const json::Value* after = report.find("after_step");
  const std::uint64_t steps = is_null(after) ? 0 : number_in(report, "after_step") + 1;
  if (text_in(report, "run_id") != to_string(run_id) || steps < confirmed ||
      (is_idle && (steps != confirmed || !list_in(report, "running").empty()))) {
    fail(Rule::one_decision, place + std::to_string(confirmed) + " steps were answered, got " +
                                 json::canonical(report));
    return;
  }
  const json::Array& list = list_in(report, "predictions");
  for (const json::Value& each : list) {
    const json::Value* input = each.find("input");
    const json::Value* probability = each.find("probability");
    if (is_null(input) || input->object() == nullptr ||
        to_hex(Call::make(text_in(each, "task"), *input->object()).hash()) !=
            text_in(each, "input_hash") ||
        is_null(probability) || *probability->number() < 0 || *probability->number() > 1) {
      fail(Rule::one_decision,
           place + "a call with another hash, or no probability: " + json::canonical(each));
    }
  }
  if (list.size() > predictions_max) {
    fail(Rule::one_decision, place + std::to_string(list.size()) + ", expected at most " +
                                 std::to_string(predictions_max));
  }
}

void ReportJudge::status(const json::Value& report, const PublicKey& key, std::size_t nodes) {
  const json::Value* ledger = report.find("ledger");
  LedgerHead head;
  head.size = number_in(*ledger, "size");
  head.epoch = Epoch{number_in(*ledger, "epoch")};
  if (head.size > env_.auditor.size()) {
    fail(Rule::durable_first,
         "the status names " + std::to_string(head.size) + " entries before they are durable");
    return;
  }
  head.root = env_.auditor.root(head.size);
  SignedHead signed_head{head, {}, key};
  const auto signature = signature_from_hex(text_in(*ledger, "signature"));
  if (text_in(*ledger, "root") != to_hex(head.root) || !signature ||
      (signed_head.signature = *signature, !verify_head(signed_head))) {
    fail(Rule::one_ledger, "the status: the head of " + std::to_string(head.size) +
                               " entries is another one, or not signed");
  }
  const json::Array& seats = list_in(report, "nodes");
  if (seats.size() > nodes) {
    fail(Rule::assertion, "the status shows " + std::to_string(seats.size()) + " of " +
                              std::to_string(nodes) + " nodes");
  }
}

void ReportJudge::effects(const json::Value& report, const std::set<EffectId>& waited) {
  const json::Array& list = list_in(report, "effects");
  std::set<EffectId> shown;
  std::size_t parked = 0;
  for (const json::Value& each : list) {
    const EffectId id = effect_in(each);
    const std::string place = "effect " + text_in(each, "key") + " is shown: ";
    shown.insert(id);
    const bool is_parked = text_in(each, "state") == "parked";
    parked += is_parked ? 1 : 0;
    if (env_.auditor.has_ended(id)) {
      fail(Rule::effects, place + "it has ended");
      continue;
    }
    const auto kept = env_.auditor.effects().find(id);
    if (kept == env_.auditor.effects().end()) {
      fail(Rule::durable_first, place + "it is not durable");
    } else if (kept->second.key != text_in(each, "key") ||
               kept->second.effect != json::canonical(*each.find("effect"))) {
      fail(Rule::effects, place + "another one is kept");
    }
  }
  if (number_in(report, "parked") != parked ||
      number_in(report, "waiting") + parked != list.size() || number_in(report, "left_out") != 0) {
    fail(Rule::effects, "effects: the sums are not those of what is shown");
  }
  for (const EffectId& id : waited) {
    const auto kept = env_.auditor.effects().find(id);
    if (kept != env_.auditor.effects().end() && !shown.contains(id) &&
        !env_.auditor.is_delivered(kept->second.key) && !env_.auditor.may_be_dropped(id)) {
      fail(Rule::effects, "effect " + kept->second.key + " is not shown, and was never delivered");
    }
  }
}

}  // namespace forerun::simulation
