#include "files/replay_record.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "files/catalog_file.hpp"
#include "speculation/client_api.hpp"
#include "speculation/session_state.hpp"

namespace forerun {
namespace {

constexpr int timeout_factor = 10;
/// Tags are compared within one session, where every tenant is the same one.
constexpr std::string_view any_tenant = "default";

Digest input_key(const Call& call) {
  return sha256(call.canonical_input());
}

/// What a leaf that does not read says of its place.
std::string text_at(const json::Value& leaf, std::string_view name) {
  const json::Value* member = leaf.find(name);
  if (member == nullptr) {
    return "?";
  }
  return member->string() != nullptr ? *member->string() : json::canonical(*member);
}

Result<BrokenDecision> broken_decision(const std::string& leaf, Seq seq, const Error& problem) {
  const auto value = json::parse(leaf);
  const bool is_commit = value && text_at(*value, "kind") == "commit";
  if (!is_commit) {
    return fail(Errc::invalid, "ledger.jsonl: entry " + to_string(seq) + ": " + problem.message);
  }
  return BrokenDecision{seq, text_at(*value, "run_id"), text_at(*value, "step"), problem};
}

/// The hash by which a step records the state that it was given.
std::optional<Digest> recorded_hash(const SessionState& state) {
  return state.empty() ? std::nullopt : std::optional(state.hash());
}

/// Why a step cannot be replayed; empty: it can.
std::string obstacle(const RecordedStep& step, std::size_t expected) {
  if (step.entry.step.value != expected) {
    return "step " + std::to_string(expected) + " is not in the ledger or does not hold";
  }
  if (!step.call) {
    return "its input was erased";
  }
  if (step.entry.winner && !step.output) {
    return "its output was erased";
  }
  if ((step.entry.writes_hash && step.writes.empty()) ||
      (step.entry.effects_hash && step.effects.empty())) {
    return "its writes or effects were erased, or the export is of a version that left them out";
  }
  return {};
}

/// The state after a step. Errors: a write-set that is none, or makes it too large.
Result<SessionState> state_after(const SessionState& state, const RecordedStep& step) {
  const auto writes = write_set_of(step.writes);
  if (!writes) {
    return tl::unexpected(writes.error());
  }
  return *writes ? state.patched(**writes) : Result<SessionState>(state);
}

/// Tells which steps a session can be replayed up to, and which of them were in one list: design.md
/// §6, all calls of a list see the state before it.
class SessionReading {
public:
  SessionReading(RecordedSession& session, bool has_states)
      : session_(session), has_states_(has_states) {}

  void find_end() {
    if (!session_.opened_with.empty()) {
      auto opened = SessionState::parse(session_.opened_with);
      if (!opened) {
        session_.stopped_by = "the state that it was opened with: " + opened.error().message;
        return;
      }
      state_ = std::move(*opened);
    }
    for (; session_.replayable < session_.steps.size(); ++session_.replayable) {
      RecordedStep& step = session_.steps[session_.replayable];
      session_.stopped_by = obstacle(step, session_.replayable);
      if (session_.stopped_by.empty()) {
        place(step);
      }
      if (session_.stopped_by.empty()) {
        pass(step);
      }
      if (!session_.stopped_by.empty()) {
        return;
      }
    }
  }

private:
  /// Single, first of a list, or in the list of the step before it.
  void place(RecordedStep& step) {
    const auto current = recorded_hash(state_);
    if (step.state == current) {
      before_list_ = current;
      list_size_ = 1;
    } else if (has_states_ && list_size_ > 0 && list_size_ < calls_per_request_max &&
               step.state == before_list_) {
      step.is_in_list = true;
      ++list_size_;
    } else {
      session_.stopped_by =
          "it was given a session's state that does not follow from the steps before it, and which "
          "the export does not hold: it is of a version that left it out";
    }
  }

  void pass(const RecordedStep& step) {
    auto after = state_after(state_, step);
    if (after) {
      state_ = std::move(*after);
    } else {
      session_.stopped_by = "its writes: " + after.error().message;
    }
  }

  RecordedSession& session_;
  const bool has_states_;
  SessionState state_;
  std::optional<Digest> before_list_;
  std::size_t list_size_ = 0;
};

Result<RecordedStep> step_of(const LedgerExport& ledger, Seq seq, CommitEntry entry) {
  RecordedStep step;
  step.seq = seq;
  step.entry = std::move(entry);
  if (const auto state = ledger.states.find(seq); state != ledger.states.end()) {
    step.state = state->second;
  }
  step.writes = text_of(ledger.writes, step.entry.writes_hash);
  step.effects = text_of(ledger.effects, step.entry.effects_hash);
  const auto text = ledger.calls.find(step.entry.input_hash);
  if (text != ledger.calls.end()) {
    auto call = Call::parse(text->second);
    if (!call) {
      return fail(call.error().code, "inputs.jsonl: the call of entry " + to_string(seq) + ": " +
                                         call.error().message);
    }
    step.call = std::move(*call);
  }
  if (step.entry.output_hash) {
    const auto output = ledger.outputs.find(*step.entry.output_hash);
    if (output != ledger.outputs.end()) {
      auto parsed = Output::parse(output->second);
      if (!parsed) {
        return fail(parsed.error().code, "outputs.jsonl: the output of entry " + to_string(seq) +
                                             ": " + parsed.error().message);
      }
      step.output = std::move(*parsed);
    }
  }
  return step;
}

// ---- outputs that meet conditions

/// The values that a condition suggests for its pointer; nothing for one that wants it absent.
std::vector<json::Value> suggestions(const ValidCondition& condition) {
  switch (condition.test) {
    case ValidCondition::Test::one_of:
      return condition.operand.array() != nullptr ? *condition.operand.array()
                                                  : std::vector<json::Value>();
    case ValidCondition::Test::exists:
      return condition.operand.boolean() != nullptr && !*condition.operand.boolean()
                 ? std::vector<json::Value>()
                 : std::vector<json::Value>{json::Value()};
    case ValidCondition::Test::at_least:
    case ValidCondition::Test::at_most:
    case ValidCondition::Test::equals:
      return {condition.operand};
  }
  FORERUN_ASSERT(false);
}

/// `root` with `value` where the pointer leads (RFC 6901), through objects only.
json::Value with_value_at(json::Value root, std::string_view pointer, const json::Value& value) {
  if (pointer.empty()) {
    return value;
  }
  const std::size_t end = std::min(pointer.find('/', 1), pointer.size());
  std::string name;
  for (std::size_t i = 1; i < end; ++i) {
    if (pointer[i] == '~' && i + 1 < end) {
      name.push_back(pointer[++i] == '1' ? '/' : '~');
    } else {
      name.push_back(pointer[i]);
    }
  }
  json::Object object = root.object() != nullptr ? std::move(*root.object()) : json::Object();
  const json::Value* below = object.find(name);
  object.set(name,
             with_value_at(below == nullptr ? json::Value() : *below, pointer.substr(end), value));
  return object;
}

}  // namespace

Result<ReplayRecord> read_replay_record(const std::filesystem::path& folder) {
  const auto ledger = read_ledger_export(folder);
  if (!ledger) {
    return tl::unexpected(ledger.error());
  }
  auto catalog = parse_catalog(ledger->catalog, (folder / "catalog.toml").string());
  if (!catalog) {
    return tl::unexpected(catalog.error());
  }
  auto recorded = recorded_sessions(*ledger);
  if (!recorded) {
    return tl::unexpected(recorded.error());
  }
  return ReplayRecord(std::move(recorded->sessions), std::move(*catalog));
}

std::string replay_marker(const Call& call) {
  json::Object members;
  members.set("forerun_marker", to_hex(call.hash()));
  return json::canonical(members);
}

bool is_engine_cause(std::string_view cause) {
  return cause.starts_with("timed out after ") || cause.starts_with("gave up after ");
}

Result<RecordedSessions> recorded_sessions(const LedgerExport& ledger) {
  RecordedSessions result;
  std::map<RunId, std::size_t> index;
  for (std::size_t i = 0; i < ledger.leaves.size(); ++i) {
    const Seq seq{i};
    auto entry = entry_of(ledger.leaves[i]);
    if (!entry) {
      auto broken = broken_decision(ledger.leaves[i], seq, entry.error());
      if (!broken) {
        return tl::unexpected(broken.error());
      }
      result.broken.push_back(std::move(*broken));
      continue;
    }
    auto* commit = std::get_if<CommitEntry>(&entry->body);
    if (commit == nullptr) {
      continue;
    }
    const auto [at, is_new] = index.try_emplace(commit->run_id, result.sessions.size());
    if (is_new) {
      result.sessions.push_back({commit->run_id, {}, {}, 0, {}});
    }
    RecordedSession& session = result.sessions[at->second];
    if (const auto state = ledger.opened_with.find(seq);
        is_new && state != ledger.opened_with.end()) {
      session.opened_with = state->second;
    }
    if (!session.steps.empty() && commit->step <= session.steps.back().entry.step) {
      return fail(Errc::invalid, "ledger.jsonl: entry " + to_string(seq) + ": run " +
                                     to_string(commit->run_id) + " step " +
                                     to_string(commit->step) + " after its step " +
                                     to_string(session.steps.back().entry.step) +
                                     ", expected a session's steps once and in order");
    }
    auto step = step_of(ledger, seq, std::move(*commit));
    if (!step) {
      return tl::unexpected(step.error());
    }
    session.steps.push_back(std::move(*step));
  }
  for (RecordedSession& session : result.sessions) {
    SessionReading(session, ledger.has_states).find_end();
  }
  return result;
}

std::map<std::pair<RunId, StepNumber>, std::vector<std::size_t>> recorded_arrivals(
    const RecordedSessions& recorded, const Catalog& catalog) {
  std::map<std::pair<RunId, StepNumber>, std::vector<std::size_t>> arrivals;
  for (const RecordedSession& session : recorded.sessions) {
    for (const RecordedStep& step : session.steps) {
      const auto plan = catalog.plan(step.entry.task);
      if (step.entry.select == SelectRule::first && plan &&
          plan->names == step.entry.branch_names) {
        arrivals.emplace(std::pair(session.run_id, step.entry.step), step.entry.arrival_order);
      }
    }
  }
  return arrivals;
}

Result<Catalog> replay_catalog(const Catalog& recorded) {
  std::vector<Task> tasks;
  for (const auto& [name, task] : recorded.tasks()) {
    tasks.push_back(task);
    Task& changed = tasks.back();
    changed.idempotent = task.effect == Effect::write;
    changed.timeout = std::min(
        timeout_max,
        std::max(replay_timeout_min, task.timeout.value_or(timeout_default) * timeout_factor));
    changed.hedge = false;
  }
  std::vector<Race> races;
  for (const auto& [name, race] : recorded.races()) {
    races.push_back(race);
  }
  std::vector<Pool> pools;
  for (const auto& [name, pool] : recorded.pools()) {
    pools.push_back(pool);
  }
  return Catalog::make(std::move(tasks), std::move(races), std::move(pools), recorded.effects());
}

ReplayRecord::ReplayRecord(std::vector<RecordedSession> sessions, Catalog catalog)
    : catalog_(std::move(catalog)) {
  for (RecordedSession& session : sessions) {
    std::string name = to_string(session.run_id);
    sessions_.emplace(std::move(name), indexed(std::move(session)));
  }
}

ReplayRecord::Session ReplayRecord::indexed(RecordedSession recorded) const {
  Session session;
  recorded.steps.erase(recorded.steps.begin() + static_cast<std::ptrdiff_t>(recorded.replayable),
                       recorded.steps.end());
  for (const RecordedStep& step : recorded.steps) {
    const Call& call = *step.call;
    session.by_input.emplace_back(input_key(call), step.entry.step.value);
    const auto plan = catalog_.plan(call.task());
    session.writes.push_back(plan && plan->is_write()
                                 ? std::optional(write_tags(*plan->tasks.front(), call.input(),
                                                            any_tenant, to_string(recorded.run_id)))
                                 : std::nullopt);
  }
  std::sort(session.by_input.begin(), session.by_input.end());
  session.recorded = std::move(recorded);
  return session;
}

/// Nothing when the task is no branch of the step.
std::optional<ReplayRecord::Fact> ReplayRecord::fact_of(const RecordedStep& step,
                                                        const Task& task) const {
  const CommitEntry& entry = step.entry;
  const auto name = std::find(entry.branch_names.begin(), entry.branch_names.end(), task.name);
  if (name == entry.branch_names.end()) {
    return std::nullopt;
  }
  const auto index = static_cast<std::size_t>(name - entry.branch_names.begin());
  Fact fact;
  fact.latency = entry.branch_latencies[index].value_or(Duration::zero());
  if (!entry.branch_validities[index]) {
    fact.text = replay_marker(*step.call);
  } else if (!*entry.branch_validities[index]) {
    fact.kind = Fact::Kind::failed;
    fact.text = entry.branch_causes[index].value_or("failed, and no cause was recorded");
    fact.by_engine = is_engine_cause(fact.text);
  } else if (entry.winner == index) {
    fact.kind = Fact::Kind::returned;
    fact.text = step.output->canonical();
    fact.writes = step.writes;
    fact.effects = step.effects;
  } else {
    fact.kind = Fact::Kind::valid;  // Under `seeded`: its output was not kept.
    fact.text = output_meeting_conditions(entry.task, task.name);
  }
  return fact;
}

std::string ReplayRecord::output_meeting_conditions(const std::string& race,
                                                    const std::string& branch) const {
  json::Object members;
  members.set("forerun_marker", branch);
  json::Value output(std::move(members));
  const auto at = catalog_.races().find(race);
  if (at == catalog_.races().end()) {
    return json::canonical(output);
  }
  for (const ValidCondition& condition : at->second.valid) {
    if (condition.branch != branch) {
      continue;
    }
    std::vector<ValidCondition> of_pointer;
    std::copy_if(at->second.valid.begin(), at->second.valid.end(), std::back_inserter(of_pointer),
                 [&](const ValidCondition& other) {
                   return other.branch == branch && other.pointer == condition.pointer;
                 });
    for (const json::Value& value : suggestions(condition)) {
      json::Value changed = with_value_at(output, condition.pointer, value);
      if (output_is_valid(of_pointer, branch, changed)) {
        output = std::move(changed);
        break;
      }
    }
  }
  return json::canonical(output);
}

/// Whether an answer of the most telling kind, `best`, is right for this step too.
bool ReplayRecord::agrees(const Fact& fact, const Fact& best) {
  switch (fact.kind) {
    case Fact::Kind::not_needed:
      return true;
    case Fact::Kind::valid:
      return best.kind != Fact::Kind::failed;
    case Fact::Kind::returned:
      return best.kind == Fact::Kind::returned && fact.text == best.text &&
             fact.writes == best.writes && fact.effects == best.effects;
    case Fact::Kind::failed:
      return true;
  }
  FORERUN_ASSERT(false);
}

/// What equal steps from `committed` on record, up to a write that conflicts with what the task
/// reads.
std::vector<ReplayRecord::Fact> ReplayRecord::later_facts(const Session& session, const Task& task,
                                                          const Call& call,
                                                          std::uint32_t committed) const {
  std::vector<Fact> facts;
  const TagSet reads =
      read_tags(task, call.input(), any_tenant, to_string(session.recorded.run_id));
  const Digest key = input_key(call);
  std::uint32_t checked = committed;
  for (auto at = std::lower_bound(session.by_input.begin(), session.by_input.end(),
                                  std::pair(key, committed));
       at != session.by_input.end() && at->first == key; ++at) {
    for (; checked < at->second; ++checked) {
      if (session.writes[checked] && conflict(reads, *session.writes[checked])) {
        return facts;
      }
    }
    if (auto fact = fact_of(session.recorded.steps[at->second], task)) {
      facts.push_back(std::move(*fact));
    }
  }
  return facts;
}

ReplayRecord::Ruling ReplayRecord::ruling_of(const Fact& fact) {
  return {fact.kind == Fact::Kind::failed ? Ruling::How::failed : Ruling::How::returned, fact.text,
          fact.latency, fact.writes, fact.effects};
}

ReplayRecord::Ruling ReplayRecord::ruling(const Task& task, const Call& call,
                                          const WorldPosition& at, bool can_run) const {
  using How = Ruling::How;
  const bool may_run = can_run && task.effect == Effect::pure && task.deterministic;
  const auto found = sessions_.find(at.session);
  if (found == sessions_.end()) {
    return {How::failed, "replay: no session " + at.session + " in the export", {}};
  }
  const Session& session = found->second;
  if (at.step) {
    const RecordedStep* step =
        *at.step < session.recorded.steps.size() ? &session.recorded.steps[*at.step] : nullptr;
    const bool is_equal =
        step != nullptr && step->call->canonical_input() == call.canonical_input();
    const std::optional<Fact> fact = is_equal ? fact_of(*step, task) : std::nullopt;
    if (!fact) {
      return {How::failed,
              "replay: step " + std::to_string(*at.step) + " of " + at.session +
                  " did not ask task " + task.name + " with this input",
              {}};
    }
    if (may_run && !fact->by_engine && fact->kind != Fact::Kind::not_needed) {
      return {How::run, {}, {}};
    }
    return ruling_of(*fact);
  }
  const std::vector<Fact> facts = later_facts(session, task, call, at.committed);
  const bool some_by_engine =
      std::any_of(facts.begin(), facts.end(), [](const Fact& fact) { return fact.by_engine; });
  const bool some_needed = std::any_of(facts.begin(), facts.end(), [](const Fact& fact) {
    return fact.kind != Fact::Kind::not_needed;
  });
  if (may_run && !some_by_engine && (some_needed || facts.empty())) {
    return {How::run, {}, {}};
  }
  if (facts.empty()) {
    return {How::returned, replay_marker(call), {}};
  }
  const auto best = std::max_element(facts.begin(), facts.end(),
                                     [](const Fact& a, const Fact& b) { return a.kind < b.kind; });
  // A task that is run at one of the steps cannot be answered before its step is known.
  const bool all_agree = std::all_of(facts.begin(), facts.end(), [&](const Fact& fact) {
    return agrees(fact, *best) &&
           (!may_run || fact.by_engine || fact.kind == Fact::Kind::not_needed);
  });
  if (!all_agree) {
    return {How::lost, "replay: equal later steps were answered differently", {}};
  }
  return ruling_of(*best);
}

}  // namespace forerun
