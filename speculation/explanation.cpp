#include "speculation/explanation.hpp"

#include <utility>
#include <variant>

#include "speculation/call.hpp"
#include "speculation/tie_break.hpp"

namespace forerun {
namespace {

constexpr std::size_t shown_bytes_max = 400;  ///< Of one input or output, for people.
constexpr std::size_t rank_digits_shown = 8;  ///< Of a rank's hash, likewise.

json::Value text_value(const std::string& canonical) {
  auto value = canonical.empty() ? Result<json::Value>(json::Value()) : json::parse(canonical);
  return value ? std::move(*value) : json::Value();
}

json::Value ms_or_null(const std::optional<Duration>& duration) {
  return duration ? json::Value(milliseconds_of(*duration)) : json::Value();
}

/// What was written down beside the entry: how a speculation began, what a race's branches
/// returned.
const json::Value* told(const json::Value& story, std::string_view name) {
  return story.object() == nullptr ? nullptr : story.find(name);
}
/// The same of one branch.
const json::Value* told(const json::Value& story, std::string_view name, std::string_view branch) {
  const json::Value* of_all = told(story, name);
  return of_all == nullptr ? nullptr : told(*of_all, branch);
}

json::Value branch_of(const CommitEntry& commit, std::size_t index, const StoredEntry& stored,
                      const json::Value& story) {
  json::Object branch;
  branch.set("name", commit.branch_names[index]);
  branch.set("worker", commit.workers[index] ? json::Value(to_string(*commit.workers[index]))
                                             : json::Value());
  branch.set("latency_ms", ms_or_null(commit.branch_latencies[index]));
  branch.set("rank_hash",
             commit.select == SelectRule::ranked && commit.branch_names.size() > 1
                 ? json::Value(to_hex(rank_hash(commit.chain, commit.branch_names[index])))
                 : json::Value());
  const std::optional<bool>& valid = commit.branch_validities[index];
  branch.set("valid", valid ? json::Value(*valid) : json::Value());
  branch.set("cause", commit.branch_causes[index] ? json::Value(*commit.branch_causes[index])
                                                  : json::Value());
  const json::Value* output = told(story, "outputs", commit.branch_names[index]);
  if (commit.winner == index) {
    branch.set("output", text_value(stored.output));
  } else {
    branch.set("output", output == nullptr ? json::Value() : *output);
  }
  if (const auto* second = told(story, "second_attempts", commit.branch_names[index])) {
    branch.set("second_attempt", *second);
  }
  return branch;
}

json::Value step_of(const CommitEntry& commit, const StoredEntry& stored,
                    const std::optional<ChainValue>& before) {
  const json::Value story = text_value(stored.story);
  const json::Value call = text_value(stored.call);
  json::Object step;
  step.set("step", std::uint64_t{commit.step.value});
  step.set("seq", stored.seq.value);
  step.set("epoch", stored.epoch.value);
  step.set("task", commit.task);
  const json::Value* input = told(call, "input");
  step.set("input", input == nullptr ? json::Value() : *input);
  step.set("input_hash", to_hex(commit.input_hash));
  json::Array branches;
  for (std::size_t i = 0; i < commit.branch_names.size(); ++i) {
    branches.push_back(branch_of(commit, i, stored, story));
  }
  step.set("branches", std::move(branches));
  step.set("select", std::string(to_string(commit.select)));
  step.set("chain_before", before ? json::Value(to_hex(*before)) : json::Value());
  step.set("chain", to_hex(commit.chain));
  step.set("seed", seed_text(commit.chain));
  json::Array order;
  for (const std::size_t index : commit.select == SelectRule::first
                                     ? commit.arrival_order
                                     : rank(commit.select, commit.chain, commit.branch_names)) {
    order.emplace_back(commit.branch_names[index]);
  }
  step.set("rank", std::move(order));
  step.set("winner",
           commit.winner ? json::Value(commit.branch_names[*commit.winner]) : json::Value());
  step.set("origin", std::string(to_string(commit.origin)));
  step.set("decision_hash", to_hex(commit.decision_hash()));
  step.set("wasted_ms", milliseconds_of(commit.wasted));
  if (commit.hit) {
    step.set("saved_ms", milliseconds_of(commit.hit->saved));
    step.set("confidence", commit.hit->confidence);
    step.set("depth", std::uint64_t{commit.hit->depth});
    step.set("speculation", std::uint64_t{commit.hit->speculation.value});
  }
  if (const json::Value* state = told(story, "state_hash")) {
    step.set("state_hash", *state);
  }
  if (!stored.writes.empty()) {
    step.set("writes", text_value(stored.writes));
  }
  if (!stored.effects.empty()) {
    step.set("effects", text_value(stored.effects));
  }
  if (const json::Value* foresight = told(story, "foresight")) {
    step.set("foresight", *foresight);
  }
  return step;
}

json::Value discard_of(const DiscardEntry& discard, const StoredEntry& stored) {
  const json::Value story = text_value(stored.story);
  json::Object item;
  item.set("seq", stored.seq.value);
  item.set("speculation", std::uint64_t{discard.speculation.value});
  item.set("task", discard.task);
  item.set("input_hash", to_hex(discard.input_hash));
  item.set("cause", std::string(to_string(discard.cause)));
  item.set("confidence", discard.confidence);
  item.set("depth", std::uint64_t{discard.depth});
  item.set("wasted_ms", milliseconds_of(discard.wasted));
  json::Array workers;
  for (const WorkerId& worker : discard.workers) {
    workers.emplace_back(to_string(worker));
  }
  item.set("workers", std::move(workers));
  if (const json::Value* foresight = told(story, "foresight")) {
    item.set("foresight", *foresight);
  }
  return item;
}

/// Only what the store knows of it without reading it.
json::Value unreadable(const StoredEntry& stored, const std::string& problem) {
  json::Object step;
  step.set("step", stored.step ? json::Value(std::uint64_t{stored.step->value}) : json::Value());
  step.set("seq", stored.seq.value);
  step.set("problem", problem);
  return step;
}

/// Which text in the store is not the one that was decided; empty: none. An erased one is empty.
std::string changed_text(const CommitEntry& commit, const StoredEntry& stored) {
  struct Text {
    const char* name;
    const std::string& text;
    std::optional<Digest> hash;
  };
  for (const Text& each : {Text{"call", stored.call, commit.input_hash},
                           Text{"output", stored.output, commit.output_hash},
                           Text{"writes", stored.writes, commit.writes_hash},
                           Text{"effects", stored.effects, commit.effects_hash}}) {
    if (!each.text.empty() && sha256(each.text) != each.hash) {
      return "its " + std::string(each.name) + " in the store: found hash " +
             to_hex(sha256(each.text)) + ", expected " + (each.hash ? to_hex(*each.hash) : "none") +
             ": the store was changed";
    }
  }
  return {};
}

// ---- for people
// -----------------------------------------------------------------------------------

std::string shown(const json::Value* value) {
  if (value == nullptr) {
    return "-";
  }
  if (const std::string* text = value->string()) {
    return *text;
  }
  std::string canonical = json::canonical(*value);
  if (canonical.size() > shown_bytes_max) {
    const std::size_t size = canonical.size();
    canonical = json::clean_text(canonical, shown_bytes_max);
    canonical += "… (" + std::to_string(size) + " bytes)";
  }
  return canonical;
}

std::string member(const json::Value& value, std::string_view name) {
  return shown(value.find(name));
}

/// Empty where there is no such list: what is told may come from another program.
const json::Array& list(const json::Value& value, std::string_view name) {
  static const json::Array none;
  const json::Value* found = value.find(name);
  return found == nullptr || found->array() == nullptr ? none : *found->array();
}

bool is_null(const json::Value* value) {
  return value == nullptr || *value == json::Value();
}

void tell_foresight(const json::Value& item, std::string& text) {
  const json::Value* foresight = item.find("foresight");
  if (foresight == nullptr) {
    return;
  }
  if (const json::Value* ahead = foresight->find("ahead_ms")) {
    text += "  started " + shown(ahead) + " ms before it was asked for";
  } else if (const json::Value* lived = foresight->find("lived_ms")) {
    text += "  lived " + shown(lived) + " ms";
  }
  if (!is_null(foresight->find("after_speculation"))) {
    text += ", predicted from speculation " + member(*foresight, "after_speculation");
  } else if (!is_null(foresight->find("after_step"))) {
    text += ", predicted after step " + member(*foresight, "after_step");
  } else if (foresight->find("reasons") != nullptr) {
    text += ", predicted as the first call";
  }
  if (!is_null(foresight->find("premise"))) {
    text += ", on the premise that its output has hash " + member(*foresight, "premise");
  }
  if (const json::Value* refused = foresight->find("not_started")) {
    text += "  expected with probability " + member(*foresight, "probability") +
            ", not started: " + shown(refused);
  }
  text += '\n';
  for (const json::Value& reason : list(*foresight, "reasons")) {
    text += "    because " + shown(&reason) + '\n';
  }
}

void tell_branch(const json::Value& branch, std::string& text) {
  text += "  branch " + member(branch, "name");
  if (!is_null(branch.find("worker"))) {
    text += " on worker " + member(branch, "worker");
  }
  if (!is_null(branch.find("latency_ms"))) {
    text += ", " + member(branch, "latency_ms") + " ms";
  }
  const json::Value* valid = branch.find("valid");
  if (is_null(valid)) {
    text += ": not needed for the decision";
    text += !is_null(branch.find("output"))  ? ", " + member(branch, "output") + '\n'
            : !is_null(branch.find("cause")) ? ", " + member(branch, "cause") + '\n'
                                             : "\n";
  } else if (*valid == json::Value(true)) {
    text += ": valid, " + member(branch, "output") + '\n';
  } else {
    text += ": invalid, " + member(branch, "cause") + '\n';
  }
  if (const json::Value* second = branch.find("second_attempt")) {
    text += "    a second attempt, " + member(*second, "after_ms") +
            " ms after the first, on worker " + member(*second, "worker") +
            (*second->find("is_answer") == json::Value(true) ? ": what it returned counts\n"
                                                             : ": the first one's end counts\n");
  }
}

const json::Value* branch_named(const json::Value& step, const json::Value& name) {
  for (const json::Value& branch : list(step, "branches")) {
    if (const json::Value* found = branch.find("name"); found != nullptr && *found == name) {
      return &branch;
    }
  }
  return nullptr;
}

/// How the winner of a race follows from chain and validities, in the words of docs/ledger.md.
void tell_rule(const json::Value& step, std::string& text) {
  const std::string select = member(step, "select");
  if (select == "seeded") {
    std::string valid;
    std::size_t count = 0;
    for (const json::Value& branch : list(step, "branches")) {
      if (const json::Value* is_valid = branch.find("valid");
          is_valid != nullptr && *is_valid == json::Value(true)) {
        valid += ' ' + member(branch, "name");
        ++count;
      }
    }
    text += "  seeded: of the valid ones from 0 on," + (count == 0 ? " none" : valid) +
            ", the one at seed mod " + std::to_string(count) + '\n';
    return;
  }
  text += select == "ranked"    ? "  ranked by SHA-256(chain, name):"
          : select == "ordered" ? "  ordered as declared:"
                                : "  " + select + " to arrive, as recorded:";
  for (const json::Value& name : list(step, "rank")) {
    text += ' ' + shown(&name);
    const json::Value* branch = branch_named(step, name);
    const json::Value* hash = branch == nullptr ? nullptr : branch->find("rank_hash");
    if (hash != nullptr && hash->string() != nullptr) {
      text += " (" + hash->string()->substr(0, rank_digits_shown) + "…)";
    }
  }
  text += ", of which the first valid one wins\n";
}

/// How rank and seed follow, in the words of docs/ledger.md.
void tell_choice(const json::Value& step, std::string& text) {
  text += "  chain = SHA-256(" +
          (is_null(step.find("chain_before")) ? std::string("C(call), run ID")
                                              : "chain of the step before, C(call)") +
          ") = " + member(step, "chain") + ", so seed = " + member(step, "seed") + '\n';
  if (list(step, "branches").size() > 1) {
    tell_rule(step, text);
  }
  text += is_null(step.find("winner")) ? std::string("  no branch was valid: the step failed\n")
                                       : "  winner " + member(step, "winner") + '\n';
}

void tell_step(const json::Value& step, std::string& text) {
  if (step.find("problem") != nullptr) {
    text += "step " + member(step, "step") + ": entry " + member(step, "seq") +
            " does not hold: " + member(step, "problem") + "; ask `forerun verify`\n";
    return;
  }
  text += "step " + member(step, "step") + ": " + member(step, "task") + ' ' +
          (is_null(step.find("input")) ? "(input erased)" : member(step, "input")) + '\n';
  text += "  " + member(step, "origin");
  if (step.find("confidence") != nullptr) {
    text += ", confidence " + member(step, "confidence") + ", " + member(step, "depth") +
            " ahead, saved " + member(step, "saved_ms") + " ms";
  }
  const json::Value* wasted = step.find("wasted_ms");
  if (!is_null(wasted) && !(*wasted == json::Value(0))) {
    text += ", losing branches took " + member(step, "wasted_ms") + " ms";
  }
  text += '\n';
  tell_foresight(step, text);
  if (step.find("state_hash") != nullptr) {
    text += "  given a session's state with hash " + member(step, "state_hash") + '\n';
  }
  for (const json::Value& branch : list(step, "branches")) {
    tell_branch(branch, text);
  }
  tell_choice(step, text);
  for (const char* name : {"writes", "effects"}) {
    if (step.find(name) != nullptr) {
      text += "  " + std::string(name) + ' ' + member(step, name) + '\n';
    }
  }
  text += "  entry " + member(step, "seq") + ", decision " + member(step, "decision_hash") + '\n';
}

void tell_discard(const json::Value& item, std::string& text) {
  text += "discarded speculation " + member(item, "speculation") + ": " + member(item, "task") +
          ", " + member(item, "cause") + ", confidence " + member(item, "confidence") +
          ", wasted " + member(item, "wasted_ms") + " ms, entry " + member(item, "seq") + '\n';
  tell_foresight(item, text);
}

}  // namespace

std::optional<Digest> given_state(std::string_view story) {
  if (story.find("\"state_hash\"") == std::string_view::npos) {
    return std::nullopt;
  }
  const json::Value told_story = text_value(std::string(story));
  const json::Value* hash = told(told_story, "state_hash");
  if (hash == nullptr || hash->string() == nullptr) {
    return std::nullopt;
  }
  const auto digest = digest_from_hex(*hash->string());
  return digest ? std::optional(*digest) : std::nullopt;
}

std::string opened_with(std::string_view story) {
  if (story.find("\"opened_with\"") == std::string_view::npos) {
    return {};
  }
  const json::Value told_story = text_value(std::string(story));
  const json::Value* state = told(told_story, "opened_with");
  return state == nullptr ? std::string() : json::canonical(*state);
}

json::Value explain(const SessionRow& session, const SessionEntries& entries) {
  json::Array steps;
  std::optional<ChainValue> before;
  if (entries.before != nullptr) {
    const auto entry = entry_of(entries.before->leaf);
    if (const auto* commit = entry ? std::get_if<CommitEntry>(&entry->body) : nullptr) {
      before = commit->chain;
    }
  }
  for (const StoredEntry& stored : entries.commits) {
    const auto entry = entry_of(stored.leaf);
    const auto* commit = entry ? std::get_if<CommitEntry>(&entry->body) : nullptr;
    if (commit == nullptr) {
      steps.push_back(
          unreadable(stored, entry ? "found no commit, expected one" : entry.error().message));
      before.reset();
      continue;
    }
    const std::string changed = changed_text(*commit, stored);
    steps.push_back(changed.empty() ? step_of(*commit, stored, before)
                                    : unreadable(stored, changed));
    before = commit->chain;
  }
  json::Array dropped;
  for (const StoredEntry& stored : entries.discards) {
    const auto entry = entry_of(stored.leaf);
    if (const auto* discard = entry ? std::get_if<DiscardEntry>(&entry->body) : nullptr) {
      dropped.push_back(discard_of(*discard, stored));
    }
  }
  json::Object story;
  story.set("run_id", to_string(session.run_id));
  story.set("context", session.context);
  story.set("speculation", session.mode == SpeculationMode::on    ? "on"
                           : session.mode == SpeculationMode::off ? "off"
                                                                  : "shadow");
  story.set("ended", session.ended);
  story.set("next_step", std::uint64_t{session.next_step});
  story.set("first", std::uint64_t{entries.first});
  story.set("steps", std::move(steps));
  story.set("discards", std::move(dropped));
  return story;
}

Result<std::string> explanation_text(const json::Value& explanation,
                                     std::optional<std::uint32_t> step) {
  const json::Value* steps = explanation.find("steps");
  const json::Value* discards = explanation.find("discards");
  if (steps == nullptr || steps->array() == nullptr || discards == nullptr ||
      discards->array() == nullptr) {
    return fail(Errc::invalid, "explanation: expected members steps and discards");
  }
  std::string text = "session " + member(explanation, "run_id") + ", speculation " +
                     member(explanation, "speculation") + '\n';
  bool found = false;
  for (const json::Value& each : *steps->array()) {
    const json::Value* number = each.find("step");
    if (!step || (number != nullptr && *number == json::Value(std::uint64_t{*step}))) {
      tell_step(each, text);
      found = true;
    }
  }
  if (step && !found) {
    return fail(Errc::not_found, "step " + std::to_string(*step) + ": the session has " +
                                     member(explanation, "next_step") +
                                     " decided steps, numbered from 0");
  }
  if (!step) {
    for (const json::Value& each : *discards->array()) {
      tell_discard(each, text);
    }
  }
  return text;
}

}  // namespace forerun
