#include "coordinator/machine.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "speculation/planted.hpp"
#include "speculation/step_answer.hpp"

namespace forerun {
namespace {

/// Tokens of two terms never meet, so a node that still frees a branch of the last one cannot take
/// the next one's for it.
constexpr unsigned token_bits_per_term = 40;

Task http_effect_task(const EffectSettings& settings) {
  Task task;
  task.name = "http";
  task.timeout = settings.timeout;
  return task;
}

/// A race has no branch that writes.
std::set<std::string> speculable_names(const Catalog& catalog) {
  std::set<std::string> names;
  for (const auto& [name, task] : catalog.tasks()) {
    if (task.effect != Effect::write) {
      names.insert(name);
    }
  }
  for (const auto& [name, race] : catalog.races()) {
    names.insert(name);
  }
  return names;
}

/// The first row from here on that is of this session, or of a later one.
template <class At>
At first_from(At at, At end, const RunId& run_id) {
  return std::find_if(at, end, [&run_id](const auto& row) { return !(row.run_id < run_id); });
}

}  // namespace

CoordinatorMachine::CoordinatorMachine(CoordinatorSettings settings, SigningKey ledger_key,
                                       std::unique_ptr<Predictor> predictor)
    : settings_(std::move(settings)),
      predictor_(std::move(predictor)),
      ledger_(std::move(ledger_key)),
      membership_(settings_.membership),
      run_ids_(settings_.run_id_block),
      budget_(settings_.admission),
      usefulness_(settings_.usefulness),
      run_times_(settings_.run_times),
      hedge_budget_(settings_.hedge),
      catalog_text_(json::canonical(settings_.catalog.to_json())),
      http_effect_(http_effect_task(settings_.effects)),
      effects_(settings_.effects),
      speculable_(speculable_names(settings_.catalog)),
      opening_keys_(settings_.opening_keys_max),
      history_(settings_.history),
      reading_(settings_.history),
      open_past_({settings_.history.learn_again_steps_max, settings_.history.open_bytes_max}),
      rechecks_(settings_.recheck, ledger_.secret("recheck")) {
  predictor_->declare(declared_tasks(settings_.catalog));
}

void CoordinatorMachine::restore(const StoredEntry& entry) {
  ledger_.restore(entry);
  if (entry.step) {
    reading_.commit(entry.seq);
  }
  if (!entry.run_id || !entry.step) {
    return;
  }
  open_past_.commit(entry);
  auto answer = step_answer_of(entry);
  if (!answer) {
    return;  // Damaged: the check of the whole ledger says where, and ends the start.
  }
  RecentAnswers& answers = restored_answers_[*entry.run_id];
  answers.add(std::move(*answer));
  answers.drop_before(answers.count(), settings_.answers_per_session_max,
                      settings_.answer_bytes_per_session_max);
  if (!entry.effects.empty()) {
    restored_effects_[*entry.run_id][*entry.step] = entry.call;
  }
}

Result<void> CoordinatorMachine::check_intents(const CoordinatorRecovery& recovery) const {
  for (const IntentRow& intent : recovery.intents) {
    const auto call = Call::parse(intent.call);
    if (!intent.is_write || !call) {
      continue;
    }
    const auto plan = settings_.catalog.plan(call->task());
    if (!plan || !plan->is_write()) {
      return fail(Errc::refused,
                  "catalog: session " + to_string(intent.run_id) + " step " +
                      to_string(intent.step) + ": its write by `" + call->task() +
                      "` was under way, and it is not known whether it took effect: found " +
                      (plan ? "a task that only reads" : "no such task") +
                      ", expected that write: put it back into the catalog until the step has "
                      "its answer");
    }
  }
  return {};
}

void CoordinatorMachine::restore(const CoordinatorRecovery& recovery) {
  for (const MarkRow& mark : recovery.marks) {
    run_ids_.restore(mark);
  }
  for (const OwnerRow& owner : recovery.owners) {
    owners_.restore(owner);
  }
  for (const NodeId& node : recovery.quarantined) {
    if (planted(Bug::quarantine_forgotten)) {
      break;
    }
    membership_.quarantine(node);
  }
  auto totals = recovery.text_totals.begin();  // In the order of the sessions.
  auto text = recovery.texts.begin();
  for (const SessionRow& row : recovery.sessions) {
    Session& session = sessions_[row.run_id];
    session.run_id = row.run_id;
    session.tenant = row.tenant;
    session.context = row.context;
    session.mode = row.mode;
    session.is_control = is_control(row.run_id, row.mode);
    session.world = row.world;
    auto state = SessionState::parse(row.state);
    FORERUN_ASSERT(state.has_value());
    session.state = std::move(*state);
    session.durable_state = session.state;
    if (!row.list_state.empty()) {
      auto list_state = SessionState::parse(row.list_state);
      FORERUN_ASSERT(list_state.has_value());
      session.list_state = std::move(*list_state);
    }
    session.committed_chain = planted(Bug::chain_forgotten) ? ChainValue{} : row.chain;
    ++open_sessions_;
    count_held(session);
    totals = first_from(totals, recovery.text_totals.end(), row.run_id);
    if (totals != recovery.text_totals.end() && totals->run_id == row.run_id) {
      session.texts = planted(Bug::texts_overwritten) ? 0 : totals->count;
      session.text_bytes = totals->bytes;
    }
    text = first_from(text, recovery.texts.end(), row.run_id);
    std::vector<TextRow> texts;
    for (; text != recovery.texts.end() && text->run_id == row.run_id; ++text) {
      texts.push_back(*text);
    }
    open_past_.open(row, std::move(texts));
    session.steps = std::move(restored_answers_[row.run_id]);
    session.durable_steps = session.steps.count();
  }
  open_past_.settle();
  restored_answers_.clear();
  for (const EffectRow& effect : recovery.effects) {
    const auto& calls = restored_effects_[effect.id.run_id];
    const auto call = calls.find(effect.id.step);
    restore_effect(effect, call == calls.end() ? nullptr : &call->second);
  }
  restored_effects_.clear();
  restore_history(recovery);
  for (const KeyRow& key : recovery.keys) {
    if (key.scope.starts_with("open:")) {
      opening_keys_.put(key.scope.substr(5), key.key, {key.request_hash, key.run_id});
    } else if (const auto at = sessions_.find(key.run_id); at != sessions_.end()) {
      Session& session = at->second;
      session.keys[key.key] = {key.request_hash, key.first_step, key.step_count};
      session.has_partial_request |= key.first_step + key.step_count > session.durable_steps;
    }
  }
  for (const IntentRow& intent : recovery.intents) {
    const auto at = sessions_.find(intent.run_id);
    const auto call = Call::parse(intent.call);
    if (at == sessions_.end() || !call || at->second.confirmed() != intent.step.value ||
        !settings_.catalog.plan(call->task())) {
      out_.log.push_back("recovery: session " + to_string(intent.run_id) + " step " +
                         to_string(intent.step) +
                         ": its intent does not follow what is committed; it is dropped");
      continue;
    }
    Session& session = at->second;
    OpenStep& step = add_step(session, *call);
    step.has_intent = intent.is_write;
    if (!intent.key.empty()) {
      // Its key becomes durable with its first commit, as if the request were still waited for.
      session.keys[intent.key] = {intent.request_hash, intent.first_step, intent.step_count};
      session.requests[intent.first_step] = {
          intent.key,        intent.request_hash,   intent.first_step,
          intent.step_count, intent.step_count > 1, {}};
    }
    session.has_partial_request = true;
  }
}

CoordinatorOutput CoordinatorMachine::start(Instant now) {
  begin(now);
  is_gathering_ = true;
  if (settings_.adoption.wait > Duration::zero()) {
    adoption_.emplace(settings_.adoption, now, ledger_.tree(), ledger_.epoch(),
                      ledger_.public_key());
  } else {
    open_term(ledger_.epoch(), {});
  }
  return finish();
}

void CoordinatorMachine::open_term(Epoch after, std::vector<StoredEntry> adopted) {
  durable_head_ = ledger_.head();
  reading_.begin(history_, ledger_.size());
  const bool is_restored = !adopted.empty();
  take_over(std::move(adopted));
  const Epoch epoch{after.value + 1};
  next_token_ = planted(Bug::stale_epoch) ? 0 : epoch.value << token_bits_per_term;
  store_entry(ledger_.open_term(epoch, is_restored ? "restore" : "start", settings_.version));
  for (auto& [run_id, session] : sessions_) {
    if (session.is_ended) {
      continue;
    }
    watch_idleness(session);
    for (OpenStep& step : session.open) {
      if (step.has_intent && !step.work.plan.tasks.front()->idempotent &&
          !planted(Bug::write_repeated_at_restart)) {
        BranchRun& branch = step.work.branches.front();
        branch.state = BranchRun::State::settled;
        branch.valid = false;
        branch.cause =
            "unknown: the coordinator ended while this write ran; it may have taken effect";
        step.phase = OpenStep::Phase::running;
        mark_dirty(step.writes);
      }
    }
    for (std::size_t i = 0; i < session.open.size(); ++i) {
      OpenStep& step = session.open[i];
      if (step.phase == OpenStep::Phase::running) {
        decide(session, step);
      } else if (!must_wait(session, step)) {
        begin_step(session, step);
      }
    }
    commit_ready(session);
  }
  opened_size_ = ledger_.size();
  if (planted(Bug::term_heard_too_early)) {
    end_gathering();
  }
}

CoordinatorOutput CoordinatorMachine::step(Instant now, const CoordinatorInput& input) {
  return step(now, std::span(&input, 1));
}

CoordinatorOutput CoordinatorMachine::step(Instant now, std::span<const CoordinatorInput> inputs) {
  begin(now);
  for (const CoordinatorInput& input : inputs) {
    if (is_gathering_) {
      gather(input);
      if (adoption_) {
        adopt();
      }
    } else {
      std::visit([this](const auto& body) { on(body); }, input);
    }
  }
  return finish();
}

void CoordinatorMachine::begin(Instant now) {
  FORERUN_ASSERT(now >= now_);
  now_ = now;
  account_time();
}

/// Charges the speculative slot time that has passed since the last input.
void CoordinatorMachine::account_time() {
  const Duration passed = now_ - accounted_at_;
  accounted_at_ = now_;
  if (!speculative_.empty() && passed > Duration::zero()) {
    budget_.spent(passed * static_cast<std::int64_t>(speculative_.size()));
    stop_when_budget_is_empty();
  }
}

CoordinatorOutput CoordinatorMachine::finish() {
  if (adoption_) {
    out_.wake_at = adoption_->deadline();
    return std::exchange(out_, {});
  }
  if (out_.fatal) {
    CoordinatorOutput last;
    last.fatal = out_.fatal;
    return last;
  }
  pump_effects();
  apply_turns();
  pump();
  start_second_attempts();
  pump_audit();
  pump_rechecks();
  forget_ended();
  if (!batch_.empty()) {
    batch_.number = BatchNumber{next_batch_++};
    batch_.epoch = ledger_.epoch();
    release_.batch = batch_.number;
    release_.head = ledger_.head();
    if (!batch_.entries.empty()) {
      batch_.head = release_.head;
    }
    release_.taught_before = history_.next_number();
    if (latest_head_ && latest_head_->head.size > kept_head_size_) {
      batch_.signed_head = latest_head_;
      kept_head_size_ = latest_head_->head.size;
    }
    releases_.push_back(std::move(release_));
    out_.persist = std::move(batch_);
    release_ = {};
    batch_ = {};
  }
  // What some answers waited for may have been taken back in the same step: a session that was
  // taught and forgotten. Then they wait for what is out, if anything is.
  for (ClientResponse& waiting : std::exchange(release_.replies, {})) {
    reply_when_durable(waiting.id, std::move(waiting.body));
  }
  publish_if_due();

  std::optional<Instant> wake = membership_.next_deadline();
  const auto sooner = [&wake](Instant at) {
    if (!wake || at < *wake) {
      wake = at;
    }
  };
  if (audit_) {
    sooner(audit_->deadline());
  }
  if (const auto due = effects_.next_due(); due && *due > now_) {
    sooner(*due);
  }
  if (!deadlines_.empty()) {
    sooner(deadlines_.begin()->first);
  }
  if (const auto slow = next_slow()) {
    sooner(*slow);
  }
  if (!by_idleness_.empty()) {
    sooner(by_idleness_.begin()->first + settings_.session_idle_max);
  }
  if (!speculative_.empty() && budget_.level() > Duration::zero()) {
    sooner(now_ + budget_.level() / static_cast<std::int64_t>(speculative_.size()) + Duration(1));
  }
  if (has_past_to_learn() && now_ < past_rests_until_) {
    sooner(past_rests_until_);
  }
  if (unpublished_) {
    sooner(*published_at_ + settings_.publish_interval);
  }
  if (durable_head_ && durable_head_->size > signed_size_) {
    sooner(signed_at_.value_or(now_) + settings_.head_interval);
  }
  out_.wake_at = wake;
  if (is_gathering_) {
    return std::exchange(out_, {});  // To look ahead waits, as all else does.
  }
  if (past_.empty()) {
    out_.read_past = reading_.next(history_);
  }
  out_.look_ahead = !lessons_.empty() || !ahead_.empty() ||
                    (has_past_to_learn() && (waiting_in_.empty() || now_ >= past_rests_until_));
  return std::exchange(out_, {});
}

/// A publication wakes every node, and a signature costs more than a decision: both come at
/// intervals and cover all that became durable since.
void CoordinatorMachine::publish_if_due() {
  const bool is_head_due = durable_head_ && durable_head_->size != signed_size_ &&
                           (!signed_at_ || now_ - *signed_at_ >= settings_.head_interval);
  if (unpublished_ && (is_head_due || unpublished_->records.size() >= fetch_entries_max ||
                       !published_at_ || now_ - *published_at_ >= settings_.publish_interval)) {
    out_.publish = std::exchange(unpublished_, std::nullopt);
    published_at_ = now_;
  }
  if (!is_head_due) {
    return;
  }
  if (!out_.publish) {
    out_.publish = Entries{Seq{durable_head_->size}, {}, {}};
  }
  latest_head_ = ledger_.sign(*durable_head_);
  out_.publish->head = latest_head_;
  signed_size_ = durable_head_->size;
  signed_at_ = now_;
}

void CoordinatorMachine::store_entry(StoredEntry entry) {
  if (release_.records.empty()) {
    release_.first = entry.seq;
  }
  release_.records.push_back({entry.leaf, entry.call});
  batch_.entries.push_back(std::move(entry));
}

void CoordinatorMachine::on(const TimePassed&) {
  for (const NodeId& node : membership_.silent(now_)) {
    lose_node(node, "silent");
  }
  for (const Membership::Waiting& waiting : membership_.take_waiting(now_)) {
    handle(waiting.connection, waiting.node, waiting.join);
  }
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    lost_branch(deadlines_.begin()->second, "its node gave no result within the deadline");
  }
  close_idle_sessions();
  open_waiting();
}

void CoordinatorMachine::on(const LookAhead&) {
  learn();
  if (!ahead_.empty()) {
    const RunId next = std::move(ahead_.front());
    ahead_.pop_front();
    if (const auto at = sessions_.find(next); at != sessions_.end()) {
      at->second.is_ahead_due = false;
      speculate(at->second);
    }
  }
  learn_past();
}

void CoordinatorMachine::on(const ClientRequest& request) {
  struct Visitor {
    CoordinatorMachine& machine;
    const ClientRequest& request;
    void operator()(const OpenSession& body) { machine.open_session(request, body); }
    void operator()(const AddText& body) { machine.add_text(request, body); }
    void operator()(const ConfirmCalls& body) { machine.confirm(request, body); }
    void operator()(const ShowSession& body) { machine.show(request, body); }
    void operator()(const EndSession& body) { machine.end_session(request, body); }
    void operator()(const ShowStatus&) {
      machine.reply(request.id, JsonReport{machine.status(request.tenant)});
    }
    void operator()(const ShowPredictions& body) { machine.show(request, body); }
    void operator()(const ShowExplanation& body) { machine.show(request, body); }
    void operator()(const StartAudit& body) { machine.start_audit(request, body); }
    void operator()(const ShowLedger& body) { machine.show(request, body); }
    void operator()(const LearnHistory& body) { machine.learn_history(request, body); }
    void operator()(const ForgetHistory&) { machine.forget_history(request); }
    void operator()(const ShowEffects& body) { machine.show(request, body); }
    void operator()(const ChangeEffects& body) { machine.change_effects(request, body); }
  };
  std::visit(Visitor{*this, request}, request.body);
}

void CoordinatorMachine::on(const ClientLeft& left) {
  if (audit_ && audit_->request() == left.request) {
    end_audit("its client left");
  }
  if (const auto at = waiting_in_.find(left.request.value); at != waiting_in_.end()) {
    if (const auto session = sessions_.find(at->second); session != sessions_.end()) {
      for (auto& [first, pending] : session->second.requests) {
        std::erase(pending.waiting, left.request);
      }
    }
    waiting_in_.erase(at);
  }
  std::erase_if(openings_, [&](const WaitingOpen& waiting) {
    // Under a key it is opened all the same: a retry with that key asks for it.
    const bool is_gone = waiting.request.id == left.request &&
                         (std::get<OpenSession>(waiting.request.body).idempotency_key.empty() ||
                          planted(Bug::opening_blocked));
    waiting_bytes_ -= is_gone ? waiting.bytes : 0;
    return is_gone;
  });
}

void CoordinatorMachine::on(const NodeSaid& said) {
  if (const auto* join = std::get_if<Join>(&said.message)) {
    handle(said.connection, said.node, *join);
    return;
  }
  NodeSeat* seat = membership_.by_connection(said.connection);
  if (seat == nullptr || seat->id != said.node) {
    out_.send.push_back({said.connection, JoinAgain{ledger_.epoch()}});
    return;
  }
  seat->heard = now_;
  struct Visitor {
    CoordinatorMachine& machine;
    NodeSeat& seat;
    void operator()(const Join&) {}
    void operator()(const Heartbeat& message) { machine.handle(seat, message); }
    void operator()(const BranchEnded& message) { machine.handle(seat, message); }
    void operator()(const FetchEntries& message) { machine.handle(seat, message); }
    void operator()(const MarkStored& message) { machine.handle(seat, message); }
    void operator()(const Diverged& message) { machine.handle(seat, message); }
    void operator()(const ReplicaAudited& message) { machine.handle(seat, message); }
    void operator()(const ReplicaEntries&) {}  // Asked for by no term that is open.
  };
  std::visit(Visitor{*this, *seat}, said.message);
}

void CoordinatorMachine::on(const NodeUnreachable& unreachable) {
  if (const NodeSeat* seat = membership_.by_connection(unreachable.connection)) {
    lose_node(NodeId(seat->id), "unreachable");
    on(TimePassed{});  // Its next start may be waiting for that.
  }
}

void CoordinatorMachine::on(const Persisted& persisted) {
  while (!releases_.empty() && releases_.front().batch <= persisted.number) {
    Release release = std::move(releases_.front());
    releases_.pop_front();
    durable_head_ = release.head;
    reading_.durable(release.taught_before);
    if (!release.records.empty()) {
      if (!unpublished_) {
        unpublished_ = Entries{release.first, {}, {}};
      }
      std::move(release.records.begin(), release.records.end(),
                std::back_inserter(unpublished_->records));
    }
    std::move(release.races.begin(), release.races.end(), std::back_inserter(out_.races));
    for (ClientResponse& response : release.replies) {
      out_.reply.push_back(std::move(response));
    }
    for (const MarkRow& mark : release.marks) {
      run_ids_.stored_here(mark.worker, mark.mark);
    }
    for (const EffectId& id : release.effects) {
      effects_.durable(id);
    }
    for (auto& [run_id, count, state] : release.steps) {
      const auto at = sessions_.find(run_id);
      if (at == sessions_.end()) {
        continue;
      }
      Session& session = at->second;
      if (count > session.durable_steps) {
        session.durable_steps = count;
        session.durable_state = std::move(state);
      }
      for (auto pending = session.requests.begin(); pending != session.requests.end();) {
        if (pending->second.first + pending->second.count > session.durable_steps) {
          break;
        }
        answer_if_durable(session, pending->second);
        pending = session.requests.erase(pending);
      }
      drop_old_answers(session);
    }
    for (const auto& [run_id, number] : release.intents) {
      const auto at = sessions_.find(run_id);
      OpenStep* step = at == sessions_.end() ? nullptr : at->second.open_step(number);
      if (step != nullptr && step->phase == OpenStep::Phase::awaiting_intent) {
        step->phase = OpenStep::Phase::running;
        enqueue(at->second, *step, 0);
      }
    }
  }
  open_waiting();
}

json::Value CoordinatorMachine::status(const std::string& tenant) const {
  const auto ms = [](Duration duration) { return json::Value(milliseconds_of(duration)); };
  json::Object ledger;
  const LedgerHead head = durable_head_.value_or(LedgerHead{});
  const SignedHead signed_head = ledger_.sign(head);
  ledger.set("size", head.size);
  ledger.set("root", to_hex(head.root));
  ledger.set("epoch", head.epoch.value);
  ledger.set("signature", to_hex(signed_head.signature));
  ledger.set("public_key", to_hex(signed_head.public_key));

  json::Array nodes;
  for (const auto& [id, seat] : membership_.nodes()) {
    json::Object node;
    json::Array workers;
    std::uint64_t slots = 0;
    for (const WorkerId& worker : seat.workers) {
      workers.emplace_back(to_string(worker));
      if (const WorkerSeat* place = membership_.worker(worker)) {
        slots += place->slots;
      }
    }
    node.set("node", id.name);
    node.set("name", seat.name);
    node.set("version", seat.version);
    node.set("live", seat.is_live);
    node.set("workers", std::move(workers));
    node.set("slots", slots);
    node.set("quarantined", membership_.is_quarantined(id));
    node.set("busy", std::uint64_t{seat.tokens.size()});
    json::Object replica;
    replica.set("size", seat.head.size);
    replica.set("root", to_hex(seat.head.root));
    node.set("ledger", std::move(replica));
    nodes.emplace_back(std::move(node));
  }
  json::Object sessions;
  sessions.set("open", std::uint64_t{open_sessions_});
  sessions.set("opened", counters_.sessions_opened);
  sessions.set("expired", counters_.sessions_expired);
  json::Object steps;
  steps.set("total", counters_.steps);
  steps.set("hits", counters_.hits);
  steps.set("late_hits", counters_.late_hits);
  steps.set("misses", counters_.misses);
  steps.set("failed", counters_.failed);
  json::Object speculation;
  std::uint64_t kept = 0;
  for (const auto& [run_id, session] : sessions_) {
    kept += session.speculations.size();
  }
  std::uint64_t discarded = 0;
  json::Object by_cause;
  for (const auto& [cause, count] : counters_.discards) {
    discarded += count;
    by_cause.set(cause, count);
  }
  speculation.set("started", counters_.speculations);
  speculation.set("running", std::uint64_t{speculative_.size()});
  speculation.set("kept", kept);
  speculation.set("discarded", discarded);
  speculation.set("by_cause", std::move(by_cause));
  speculation.set("budget_ms", ms(budget_.level()));
  speculation.set("useful_ms", ms(counters_.useful));
  speculation.set("wasted_ms", ms(counters_.wasted));
  speculation.set("race_losers_ms", ms(counters_.race_losers));
  speculation.set("saved_ms", ms(counters_.saved));
  speculation.set("useful_calls", counters_.useful_calls);
  speculation.set("wasted_calls", counters_.wasted_calls);
  speculation.set("shadow_calls", counters_.shadow_calls);
  speculation.set("shadow_hits", counters_.shadow_hits);
  json::Object hedging;
  hedging.set("share", settings_.hedge.share);
  hedging.set("started", counters_.hedges);
  hedging.set("won", counters_.hedges_won);
  hedging.set("losers_ms", ms(counters_.hedge_losers));
  json::Object effects;
  effects.set("waiting",
              std::uint64_t{effects_.size() - effects_.parked_count() - effects_.running_count()});
  effects.set("running", std::uint64_t{effects_.running_count()});
  effects.set("parked", std::uint64_t{effects_.parked_count()});
  effects.set("delivered", counters_.effects_delivered);
  json::Object not_started;
  for (const auto& [verdict, count] : counters_.not_started) {
    not_started.set(verdict, count);
  }
  json::Object body;
  body.set("version", settings_.version);
  body.set("epoch", ledger_.epoch().value);
  body.set("ledger", std::move(ledger));
  body.set("nodes", std::move(nodes));
  body.set("absent", absent_nodes());
  body.set("sessions", std::move(sessions));
  body.set("steps", std::move(steps));
  body.set("speculation", std::move(speculation));
  body.set("not_started", std::move(not_started));
  body.set("learning", learning_status(tenant));
  body.set("control_share", settings_.usefulness.control_share);
  body.set("tasks", usefulness_.report(now_, tenant));
  body.set("run_times", run_times_.report([this](std::string_view name) {
    return settings_.catalog.task(name);
  }));
  body.set("hedging", std::move(hedging));
  body.set("effects", std::move(effects));
  body.set("overdue", overdue_.report());
  body.set("recheck", rechecks_.report());
  return body;
}

}  // namespace forerun
