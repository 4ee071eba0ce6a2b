#include "simulation/operator.hpp"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "simulation/report_judge.hpp"
#include "simulation/world.hpp"
#include "speculation/history.hpp"

namespace forerun::simulation {
namespace {

constexpr std::uint64_t requests_from = 900'000'000;  ///< Beyond every client's.
constexpr std::uint32_t sample_max = 4;
constexpr std::uint32_t steps_shown_max = 6;
constexpr std::uint64_t taught_names = 6;  ///< More than are kept.

/// One that happened elsewhere: how many steps it has follows from its name, but for one in eight.
HistorySession past_session(std::uint64_t name, bool is_another) {
  HistorySession session;
  session.name = "elsewhere " + std::to_string(name);
  const std::string key = "e" + std::to_string(name);
  session.context = "please handle item " + key;
  for (std::uint64_t i = 0; i <= name % 3 + (is_another ? 1 : 0); ++i) {
    json::Object input;
    input.set("key", key);
    HistoryStep step{{}, Call::make(i == 0 ? "lookup" : "scan", std::move(input)), {}};
    if (i == 0) {
      step.texts.push_back("remark on item " + key);
      step.output = Output::make(*json::parse(R"({"key":")" + key + R"(","value":0})"));
    }
    session.steps.push_back(std::move(step));
  }
  return session;
}

}  // namespace

void Operator::plan() {
  env_.time.after(env_.between(std::chrono::milliseconds(50), std::chrono::milliseconds(900)),
                  [this] {
                    ask();
                    waited_.clear();
                    for (const auto& [id, row] : env_.auditor.effects()) {
                      waited_.insert(id);
                    }
                    plan();
                  });
}

void Operator::ask() {
  if (is_stopped_) {
    const auto& effects = env_.auditor.effects();
    if (std::any_of(effects.begin(), effects.end(),
                    [](const auto& effect) { return effect.second.is_parked; })) {
      ask(ChangeEffects{}, client_tenant);
    }
    return;
  }
  switch (env_.prng.below(13)) {
    case 0:
    case 1:
    case 2:
    case 3:
      ask_of_session();
      return;
    case 4:
    case 5: {
      StartAudit audit;
      audit.sample = static_cast<std::uint32_t>(env_.prng.below(sample_max + 1));
      audit.deadline =
          env_.between(std::chrono::milliseconds(100), std::chrono::milliseconds(4000));
      ask(std::move(audit), "operator");
      return;
    }
    case 6:
    case 7:
      ask(ShowLedger{Seq{env_.prng.below(env_.auditor.size() + 1)},
                     1 + env_.prng.below(ledger_page_entries_max)},
          "operator");
      return;
    case 8:
      ask(ShowStatus{}, client_tenant);
      return;
    case 9:
    case 10:
      ask_of_effects();
      return;
    default:
      ask_of_history();
  }
}

void Operator::ask(decltype(ClientRequest::body) body, std::string tenant) {
  const RequestId id{requests_from + ++requests_};
  Asked asked{body, taught(), 0, {}};
  if (std::holds_alternative<ShowEffects>(body)) {
    asked.waited = waited_;
  }
  if (const auto* change = std::get_if<ChangeEffects>(&body); change != nullptr && change->id) {
    asked.redriven = env_.auditor.redriven(*change->id);
  }
  asked_.emplace(id, std::move(asked));
  coordinator_.send({id, std::move(tenant), std::move(body)});
  if (env_.strikes(Fault::leaving_client)) {
    env_.time.after(env_.between(Duration(100), std::chrono::milliseconds(10)),
                    [this, id] { coordinator_.leave(id); });
  }
}

void Operator::ask_of_session() {
  const auto& sessions = env_.auditor.sessions();
  if (sessions.empty()) {
    ask(ShowStatus{}, client_tenant);
    return;
  }
  const auto& [run_id, session] =
      *std::next(sessions.begin(), static_cast<std::ptrdiff_t>(env_.prng.below(sessions.size())));
  SessionPage page;
  if (env_.prng.chance(0.7)) {
    page.first = static_cast<std::uint32_t>(env_.prng.below(session.commits.size() + 2));
    page.count = 1 + static_cast<std::uint32_t>(env_.prng.below(steps_shown_max));
  }
  if (env_.prng.chance(0.5)) {
    ask(ShowSession{run_id, page}, client_tenant);
  } else {
    ask(ShowExplanation{run_id, page}, client_tenant);
  }
}

/// What is parked is tried again, and seldom given up.
void Operator::ask_of_effects() {
  ChangeEffects change;
  if (parked_.empty() || env_.prng.chance(0.3)) {
    if (env_.prng.chance(0.7)) {
      ask(ShowEffects{}, client_tenant);
    } else {
      ask(change, client_tenant);
    }
    return;
  }
  change.id = parked_[env_.prng.below(parked_.size())];
  if (env_.prng.chance(0.2)) {
    change.change = ChangeEffects::Change::drop;
    env_.auditor.may_drop(*change.id);
  }
  ask(change, client_tenant);
}

void Operator::ask_of_history() {
  if (history_ && coordinator_.is_open(*history_)) {
    return;
  }
  history_ = RequestId{requests_from + requests_ + 1};
  if (env_.prng.chance(0.35)) {
    ask(ForgetHistory{}, client_tenant);
    return;
  }
  LearnHistory body;
  for (std::uint64_t count = 1 + env_.prng.below(3); count > 0; --count) {
    const HistorySession session =
        past_session(env_.prng.below(taught_names), env_.prng.chance(0.125));
    body.sessions.push_back(
        {session.name, static_cast<std::uint32_t>(session.steps.size()), history_text(session)});
  }
  ask(std::move(body), client_tenant);
}

std::vector<HistoryEntry> Operator::taught() const {
  std::vector<HistoryEntry> entries;
  for (const auto& [number, entry] : env_.auditor.taught()) {
    entries.push_back(entry);
  }
  return entries;
}

bool Operator::receive(const ClientResponse& response) {
  const auto at = asked_.find(response.id);
  if (at == asked_.end()) {
    return false;
  }
  const Asked asked = std::move(at->second);
  asked_.erase(at);
  if (const auto* page = std::get_if<LedgerPage>(&response.body)) {
    for (std::size_t i = 0; i < page->rows.size(); ++i) {
      env_.auditor.shown(Seq{page->first.value + i}, page->rows[i]);
    }
  } else if (const auto* session = std::get_if<SessionView>(&response.body)) {
    ReportJudge(env_).session(*session, std::get<ShowSession>(asked.body).page);
  } else if (const auto* report = std::get_if<JsonReport>(&response.body)) {
    judge(asked, report->body);
  } else if (const auto* failed = std::get_if<RequestFailed>(&response.body)) {
    judge(asked, *failed);
  } else {
    fail(Rule::one_decision, "an answer to nothing");
  }
  return true;
}

void Operator::judge(const Asked& asked, const json::Value& report) {
  ReportJudge reports(env_);
  if (std::holds_alternative<StartAudit>(asked.body)) {
    ++audits_;
    judge_audit(report);
  } else if (const auto* explained = std::get_if<ShowExplanation>(&asked.body)) {
    reports.explanation(explained->run_id, explained->page, report);
  } else if (std::holds_alternative<ShowStatus>(asked.body)) {
    reports.status(report, key_, nodes_);
    const json::Value* taught = report.find("learning")->find("taught");
    if ((!history_ || !coordinator_.is_open(*history_)) &&
        number_in(*taught, "sessions") != env_.auditor.taught().size()) {
      fail(Rule::acknowledged_kept,
           "the status shows " + std::to_string(number_in(*taught, "sessions")) +
               " taught sessions, expected " + std::to_string(env_.auditor.taught().size()));
    }
  } else if (const auto* learned = std::get_if<LearnHistory>(&asked.body)) {
    judge_learned(asked, *learned, report);
  } else if (std::holds_alternative<ForgetHistory>(asked.body)) {
    judge_forgotten(asked, report);
  } else if (const auto* change = std::get_if<ChangeEffects>(&asked.body)) {
    judge_changed(asked, *change, report);
  } else {
    reports.effects(report, asked.waited);
    parked_.clear();
    for (const json::Value& effect : list_in(report, "effects")) {
      if (text_in(effect, "state") == "parked") {
        parked_.push_back(effect_in(effect));
      }
    }
  }
}

/// One audit runs at a time, and an effect may have changed since it was shown.
void Operator::judge(const Asked& asked, const RequestFailed& failed) {
  if (std::holds_alternative<StartAudit>(asked.body) && failed.refusal == Refusal::conflict) {
    return;
  }
  const auto* change = std::get_if<ChangeEffects>(&asked.body);
  if (change == nullptr || !change->id) {
    fail(Rule::one_decision, "refused: " + failed.message);
    return;
  }
  const auto kept = env_.auditor.effects().find(*change->id);
  if (failed.refusal == Refusal::not_found && kept != env_.auditor.effects().end() &&
      !env_.auditor.is_delivered(kept->second.key) && !env_.auditor.may_be_dropped(*change->id)) {
    fail(Rule::effects, "an effect that waits is not there: " + failed.message);
  }
  if (failed.refusal == Refusal::conflict && env_.auditor.has_ended(*change->id)) {
    fail(Rule::effects, "an effect that has ended is there: " + failed.message);
  }
}

/// Nodes may be lost or late; what they say must hold, and a step that ran again answers the same.
void Operator::judge_audit(const json::Value& report) {
  for (const json::Value& node : list_in(report, "nodes")) {
    const std::string problem = text_in(node, "problem");
    if (*node.find("answered")->boolean() && !problem.empty()) {
      env_.time.violate(Rule::one_ledger, "audit: " + text_in(node, "node") + ": " + problem);
    }
  }
  for (const json::Value& step : list_in(report, "re_executed")) {
    const Seq seq{number_in(step, "seq")};
    const auto expected = env_.auditor.output_hash(seq);
    if (text_in(step, "output_hash") != (expected ? to_hex(*expected) : "")) {
      env_.time.violate(Rule::serial_equivalence,
                        "audit: entry " + to_string(seq) + ": ran again, it answers otherwise");
    }
  }
}

/// What is kept must be what follows from what was kept and from the request alone: nothing else
/// changes it meanwhile.
void Operator::judge_learned(const Asked& asked, const LearnHistory& body,
                             const json::Value& report) {
  std::vector<HistoryEntry> kept = asked.taught;
  std::uint64_t learned = 0;
  std::uint64_t steps = 0;
  std::uint64_t known = 0;
  std::uint64_t refused = 0;
  for (const LearnHistory::Item& item : body.sessions) {
    const auto same = std::find_if(kept.begin(), kept.end(), [&](const HistoryEntry& entry) {
      return entry.name == item.name;
    });
    if (same != kept.end()) {
      ++(same->hash == sha256(item.text) ? known : refused);
      continue;
    }
    if (kept.size() == taught_sessions_max) {
      kept.erase(kept.begin());
    }
    HistoryEntry entry;
    entry.name = item.name;
    entry.hash = sha256(item.text);
    kept.push_back(std::move(entry));
    ++learned;
    steps += item.steps;
  }
  const std::vector<HistoryEntry> found = taught();
  const bool is_kept = std::equal(kept.begin(), kept.end(), found.begin(), found.end(),
                                  [](const HistoryEntry& one, const HistoryEntry& other) {
                                    return one.name == other.name && one.hash == other.hash;
                                  });
  if (!is_kept || number_in(report, "learned") != learned || number_in(report, "known") != known ||
      number_in(report, "steps") != steps || list_in(report, "refused").size() != refused) {
    fail(Rule::acknowledged_kept,
         "taught " + std::to_string(body.sessions.size()) + " sessions: expected " +
             std::to_string(learned) + " new with " + std::to_string(steps) + " steps, " +
             std::to_string(known) + " known, " + std::to_string(refused) + " refused and " +
             std::to_string(kept.size()) + " kept; " + std::to_string(found.size()) +
             " are kept, and the answer is " + json::canonical(report));
  }
}

void Operator::judge_forgotten(const Asked& asked, const json::Value& report) {
  if (!env_.auditor.taught().empty() || number_in(report, "forgotten") != asked.taught.size()) {
    fail(Rule::acknowledged_kept,
         "forgets " + std::to_string(asked.taught.size()) +
             " taught sessions: " + std::to_string(env_.auditor.taught().size()) +
             " are kept, and the answer is " + json::canonical(report));
  }
}

void Operator::judge_changed(const Asked& asked, const ChangeEffects& body,
                             const json::Value& report) {
  if (!body.id) {
    return;  // Whichever were parked then.
  }
  const bool drops = body.change == ChangeEffects::Change::drop;
  if (number_in(report, drops ? "dropped" : "redriven") != 1 ||
      (drops ? !env_.auditor.has_ended(*body.id)
             : env_.auditor.redriven(*body.id) == asked.redriven)) {
    fail(Rule::effects, std::string("an effect was ") + (drops ? "dropped" : "redriven") +
                            ", and that is not durable: " + json::canonical(report));
  }
}

}  // namespace forerun::simulation
