#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "coordinator/machine.hpp"
#include "coordinator/race_log.hpp"
#include "speculation/planted.hpp"
#include "speculation/step_answer.hpp"

namespace forerun {
namespace {

constexpr Duration retry_soon = std::chrono::seconds(1);
constexpr Duration retry_late = std::chrono::seconds(30);  ///< Who is sent away comes back by then.

/// What an idempotency key stands for: the calls, whether they came as a list, and the step that
/// was expected.
Digest request_hash(const ConfirmCalls& body) {
  std::string text = body.is_list ? "list" : "one";
  if (body.expect_step) {
    text += " from " + std::to_string(*body.expect_step);
  }
  for (const Call& call : body.calls) {
    text += '\n';
    text += call.canonical();
  }
  return sha256(text);
}

/// Under these rules a branch is needed only when all that are ranked before it have failed.
bool may_start_one_by_one(const CallPlan& plan) {
  return plan.race != nullptr &&
         (plan.select == SelectRule::ranked || plan.select == SelectRule::ordered);
}

Digest request_hash(const OpenSession& body) {
  json::Object request;
  request.set("context", body.context);
  request.set("speculation", static_cast<int>(body.mode));
  request.set("world", body.world);
  if (body.run_id) {
    request.set("run_id", to_string(*body.run_id));
  }
  if (!body.state.empty()) {
    request.set("state", to_hex(body.state.hash()));
  }
  return sha256(json::canonical(request));
}

}  // namespace

void CoordinatorMachine::reply(RequestId request, ResponseBody body) {
  waiting_in_.erase(request.value);
  out_.reply.push_back({request, std::move(body)});
}

/// Answers once everything that was decided so far is durable.
void CoordinatorMachine::reply_when_durable(RequestId request, ResponseBody body) {
  if (!batch_.empty()) {
    release_.replies.push_back({request, std::move(body)});
  } else if (!releases_.empty()) {
    releases_.back().replies.push_back({request, std::move(body)});
  } else {
    reply(request, std::move(body));
  }
}

void CoordinatorMachine::refuse(RequestId request, Refusal refusal, std::string message,
                                Duration retry_after) {
  reply(request, RequestFailed{refusal, std::move(message), retry_after});
}

// ---- opening
// -------------------------------------------------------------------------------------------------------

void CoordinatorMachine::open_session(const ClientRequest& request, const OpenSession& body) {
  const Digest hash = request_hash(body);
  if (!body.idempotency_key.empty()) {
    if (const OpeningKeys::Known* known =
            opening_keys_.find(request.tenant, body.idempotency_key)) {
      if (known->hash != hash) {
        refuse(request.id, Refusal::key_reused,
               "Idempotency-Key: it came with another request before");
      } else if (!known->run_id) {
        refuse(request.id, Refusal::not_ready, "the session of this key is being opened",
               retry_soon);
      } else {
        reply_when_durable(request.id, SessionOpened{*known->run_id});
      }
      return;
    }
  }
  // What is refused tells nobody how much other tenants do: the limit, never how many there are.
  if (open_sessions_ >= settings_.sessions_open_max) {
    refuse(request.id, Refusal::overloaded,
           "sessions: there is no room for one more, expected at most " +
               std::to_string(settings_.sessions_open_max) + " that are open",
           retry_soon);
    return;
  }
  if (open_bytes_ >= settings_.open_bytes_max) {
    refuse(request.id, Refusal::overloaded,
           "sessions: there is no room for one more, expected contexts and states of open ones to "
           "hold less than " +
               std::to_string(settings_.open_bytes_max) + " bytes",
           retry_soon);
    return;
  }
  if (openings_.size() >= settings_.openings_waiting_max) {
    refuse(request.id, Refusal::overloaded,
           "sessions: there is no room for one more, expected at most " +
               std::to_string(settings_.openings_waiting_max) + " that wait to be opened",
           retry_soon);
    return;
  }
  if (body.run_id) {
    if (!settings_.accept_given_run_ids || sessions_.contains(*body.run_id)) {
      const std::string given = "run_id: " + to_string(*body.run_id);
      refuse(
          request.id, Refusal::conflict,
          settings_.accept_given_run_ids
              ? given + " is in use, expected one that this store has not seen"
              : given +
                    ": this coordinator gives run IDs itself, leave it out; one is taken only by "
                    "the throw-away cluster of `forerun replay`");
      return;
    }
    open_at(request, body, *body.run_id, hash);
    return;
  }
  const std::vector<WorkerId> workers = membership_.live_workers();
  if (workers.empty()) {
    refuse(request.id, Refusal::not_ready, "no worker has joined yet", retry_soon);
    return;
  }
  const std::size_t bytes = body.context.size() + body.world.size() + body.state.canonical().size();
  if (auto refused = refusal_of_size(bytes)) {
    reply(request.id, std::move(*refused));
    return;
  }
  const WorkerId home = workers[homes_given_++ % workers.size()];
  if (!body.idempotency_key.empty()) {
    opening_keys_.put(request.tenant, body.idempotency_key, {hash, std::nullopt});
  }
  waiting_bytes_ += bytes;
  openings_.push_back({request, home, hash, bytes});
  open_waiting();
}

/// Opens what waits for a run ID of its home; a home that is gone is replaced.
void CoordinatorMachine::open_waiting() {
  for (auto waiting = openings_.begin(); waiting != openings_.end();) {
    if (membership_.worker(waiting->home) == nullptr) {
      const std::vector<WorkerId> workers = membership_.live_workers();
      if (workers.empty()) {
        ++waiting;
        continue;
      }
      waiting->home = workers[homes_given_++ % workers.size()];
    }
    const auto run_id = run_ids_.take(waiting->home);
    if (const auto reservation = run_ids_.refill(waiting->home)) {
      reserve(*reservation);
    }
    if (!run_id) {
      ++waiting;
      continue;
    }
    const WaitingOpen opening = std::move(*waiting);
    waiting = openings_.erase(waiting);
    waiting_bytes_ -= opening.bytes;
    open_at(opening.request, std::get<OpenSession>(opening.request.body), *run_id, opening.hash);
  }
}

void CoordinatorMachine::open_at(const ClientRequest& request, const OpenSession& body,
                                 RunId run_id, const Digest& hash) {
  Session& session = sessions_[run_id];
  session.run_id = run_id;
  session.tenant = request.tenant;
  session.context = body.context;
  session.mode = body.mode;
  session.is_control = is_control(run_id, body.mode);
  session.world = body.world;
  session.state = body.state;
  session.durable_state = body.state;  // Nobody can ask for it before it is.
  session.answered = now_;
  watch_idleness(session);
  ++open_sessions_;
  count_held(session);
  ++counters_.sessions_opened;
  batch_.sessions.push_back(row_of(session));
  if (!body.idempotency_key.empty()) {
    opening_keys_.put(request.tenant, body.idempotency_key, {hash, run_id});
    if (!planted(Bug::opening_key_not_kept)) {
      batch_.keys.push_back({"open:" + request.tenant, body.idempotency_key, hash, run_id, 0, 0});
    }
  }
  has_served_ = true;
  reply_when_durable(request.id, SessionOpened{run_id});
  learn_later({run_id, request.tenant, body.context});
  look_ahead_later(session);
}

SessionRow CoordinatorMachine::row_of(const Session& session) const {
  return {session.run_id,
          session.tenant,
          session.context,
          session.mode,
          session.world,
          session.steps.count(),
          session.committed_chain,
          session.state.canonical(),
          session.list_state ? session.list_state->canonical() : std::string(),
          session.is_ended};
}

// ---- other requests
// ------------------------------------------------------------------------------------------------

/// Another tenant's session gets the very answer of one that was never opened, from the same place.
bool CoordinatorMachine::is_in_memory(const ClientRequest& request, const RunId& run_id) const {
  const auto at = sessions_.find(run_id);
  return at != sessions_.end() && at->second.tenant == request.tenant;
}

Session* CoordinatorMachine::session_for(const ClientRequest& request, const RunId& run_id,
                                         bool must_be_open) {
  const auto at = sessions_.find(run_id);
  if (at == sessions_.end() || at->second.tenant != request.tenant) {
    refuse(request.id, Refusal::not_found,
           "session " + to_string(run_id) + ": no such open session");
    return nullptr;
  }
  touch(at->second);
  if (must_be_open && at->second.is_ended) {
    reply(request.id, session_has_ended(run_id));
    return nullptr;
  }
  return &at->second;
}

void CoordinatorMachine::add_text(const ClientRequest& request, const AddText& body) {
  if (Session* session = session_for(request, body.run_id, true)) {
    keep_text(*session, body.text);
    learn_later({session->run_id, session->tenant, body.text});
    reply(request.id, TextAdded{});
    look_ahead_later(*session);
  }
}

/// For the next term's predictor. Nobody waits until it is durable: without it guesses are worse.
void CoordinatorMachine::keep_text(Session& session, const std::string& text) {
  const HistoryLimits& limits = settings_.history;
  if (session.texts < limits.session_texts_max &&
      session.text_bytes + text.size() <= limits.session_text_bytes_max) {
    batch_.texts.push_back(
        {session.run_id, StepNumber{session.steps.count()}, session.texts++, text});
    session.text_bytes += text.size();
  }
}

void CoordinatorMachine::show(const ClientRequest& request, const ShowSession& body) {
  const auto at = sessions_.find(body.run_id);
  // Another tenant's session gets the very answer of one that was never opened.
  if (at == sessions_.end() || at->second.tenant != request.tenant ||
      at->second.steps.first() > 0) {
    if (at != sessions_.end() && at->second.tenant == request.tenant) {
      touch(at->second);
    }
    out_.serve_session.push_back(
        {request.id, request.tenant, body.run_id, ServeSession::View{body.page}});
    return;
  }
  if (const Session* session = session_for(request, body.run_id, false)) {
    // Of one that has ended all is shown, once it is durable that it has.
    const bool is_whole = session->is_ended;
    const std::uint32_t shown = is_whole || planted(Bug::shown_before_durable)
                                    ? session->steps.count()
                                    : session->durable_steps;
    const SessionState& state = is_whole ? session->state : session->durable_state;
    SessionView view{session->run_id,
                     session->context,
                     session->mode,
                     session->is_ended,
                     shown,
                     body.page.first,
                     {},
                     state.canonical()};
    if (body.page.first < shown) {
      view.steps =
          session->steps.range(body.page.first, std::min(body.page.count, shown - body.page.first));
    }
    is_whole ? reply_when_durable(request.id, std::move(view)) : reply(request.id, std::move(view));
  }
}

void CoordinatorMachine::show(const ClientRequest& request, const ShowExplanation& body) {
  out_.serve_session.push_back(
      {request.id, request.tenant, body.run_id, ServeSession::Explanation{body.page}});
}

void CoordinatorMachine::end_session(const ClientRequest& request, const EndSession& body) {
  if (!is_in_memory(request, body.run_id)) {
    out_.serve_session.push_back({request.id, request.tenant, body.run_id, ServeSession::Ended{}});
    return;
  }
  Session* session = session_for(request, body.run_id, false);
  if (session == nullptr) {
    return;
  }
  const SessionEnded answer{session->run_id, static_cast<std::uint32_t>(session->steps.count())};
  if (!session->is_ended) {
    if (!session->open.empty()) {
      refuse(request.id, Refusal::conflict,
             "session " + to_string(body.run_id) + ": step " +
                 to_string(session->open.front().number) +
                 " is open: wait for its answer before ending the session");
      return;
    }
    close(*session);
  }
  reply_when_durable(request.id, answer);
}

void CoordinatorMachine::close(Session& session) {
  while (!session.speculations.empty() && !planted(Bug::speculation_outlives_session)) {
    discard(session, session.speculations.begin()->first, DiscardCause::session_ended);
  }
  session.is_ended = true;
  count_held(session);
  by_idleness_.erase({session.idle_since, session.run_id});
  --open_sessions_;
  learn_later({session.run_id, session.tenant, Lesson::End{}});
  batch_.sessions.push_back(row_of(session));
  ended_.push_back(session.run_id);
}

/// What an open session holds for as long as it is open, beside its bounded answers.
void CoordinatorMachine::count_held(Session& session) {
  open_bytes_ -= session.held_bytes;
  session.held_bytes = session.is_ended
                           ? 0
                           : session.context.size() + session.state.canonical().size() +
                                 json::heap_bytes(session.state.value());
  open_bytes_ += session.held_bytes;
}

void CoordinatorMachine::touch(Session& session) {
  session.touched = now_;
}

/// Its place is looked at when it may have been idle too long, and moved on if it was not.
void CoordinatorMachine::watch_idleness(Session& session) {
  touch(session);
  session.idle_since = now_;
  by_idleness_.emplace(now_, session.run_id);
}

/// Clients vanish without a word; their sessions must not fill the coordinator for ever.
void CoordinatorMachine::close_idle_sessions() {
  while (!by_idleness_.empty() &&
         now_ - by_idleness_.begin()->first >= settings_.session_idle_max) {
    Session& session = sessions_.at(by_idleness_.begin()->second);
    by_idleness_.erase(by_idleness_.begin());
    if (!session.open.empty()) {
      touch(session);  // A step of it is still being answered.
    }
    session.idle_since = session.touched;
    by_idleness_.emplace(session.idle_since, session.run_id);
    if (now_ - session.idle_since < settings_.session_idle_max) {
      continue;
    }
    out_.log.push_back(
        "session " + to_string(session.run_id) + ": ended, no client asked for it for " +
        std::to_string(
            std::chrono::duration_cast<std::chrono::seconds>(settings_.session_idle_max).count()) +
        " s");
    ++counters_.sessions_expired;
    close(session);
  }
}

/// Ended sessions are answered from memory for a while; then the store answers for them.
void CoordinatorMachine::forget_ended() {
  while (ended_.size() > settings_.ended_kept_max && releases_.empty()) {
    sessions_.erase(ended_.front());
    ended_.pop_front();
  }
}

// ---- confirming
// ----------------------------------------------------------------------------------------------------

/// False, and refused, when the catalog has no such task or race.
bool CoordinatorMachine::knows_tasks(const ClientRequest& request, std::span<const Call> calls) {
  for (const Call& call : calls) {
    if (settings_.catalog.task(call.task()) != nullptr) {
      continue;
    }
    if (const auto plan = settings_.catalog.plan(call.task()); !plan) {
      refuse(request.id, Refusal::not_found, plan.error().message);
      return false;
    }
  }
  return true;
}

void CoordinatorMachine::confirm(const ClientRequest& request, const ConfirmCalls& body) {
  if (!body.idempotency_key.empty() && !is_in_memory(request, body.run_id)) {
    // It may have ended: what its keys stand for is in the store.
    out_.serve_session.push_back(
        {request.id, request.tenant, body.run_id,
         ServeSession::Keyed{body.idempotency_key, request_hash(body), body.is_list}});
    return;
  }
  Session* const session = session_for(request, body.run_id, false);
  if (session == nullptr) {
    return;
  }
  // What only a key stands for.
  const Digest hash = body.idempotency_key.empty() ? Digest{} : request_hash(body);
  if (const auto known = session->keys.find(body.idempotency_key);
      !body.idempotency_key.empty() && known != session->keys.end()) {
    const KeyRecord& record = known->second;
    if (record.hash != hash) {
      reply(request.id, key_came_with_another());
      return;
    }
    if (record.first + record.count <= session->durable_steps) {
      ConfirmRequest again{body.idempotency_key, hash,         record.first,
                           record.count,         body.is_list, {request.id}};
      answer_if_durable(*session, again);
      return;
    }
    ConfirmRequest pending{body.idempotency_key, hash,         record.first,
                           record.count,         body.is_list, {request.id}};
    if (const auto open = session->requests.find(record.first); open != session->requests.end()) {
      pending.waiting.insert(pending.waiting.end(), open->second.waiting.begin(),
                             open->second.waiting.end());
    }
    // A crash may have come between the steps of this request: those that are left run now.
    if (session->is_ended && !planted(Bug::ended_list_goes_on) &&
        record.first + record.count > session->confirmed()) {
      reply(request.id,
            session_ended_within(body.run_id, session->confirmed() - record.first, record.count));
      return;
    }
    const std::size_t known_steps = session->confirmed() - record.first;
    if (!knows_tasks(request,
                     std::span(body.calls).subspan(std::min(known_steps, body.calls.size())))) {
      return;  // The catalog has changed since the crash.
    }
    confirm_calls(*session, body.calls, session->confirmed() - record.first, std::move(pending));
    return;
  }
  if (session->is_ended) {
    reply(request.id, session_has_ended(body.run_id));
    return;
  }
  if (!knows_tasks(request, body.calls)) {
    return;
  }
  if (body.expect_step && *body.expect_step != session->confirmed()) {
    refuse(request.id, Refusal::conflict,
           "expect_step: " + std::to_string(*body.expect_step) +
               ", but the session's next step is " + std::to_string(session->confirmed()));
    return;
  }
  if (!session->open.empty()) {
    refuse(request.id, Refusal::conflict,
           "step " + to_string(session->open.front().number) +
               " is open: wait for its answer, send calls that belong together as one list, or "
               "retry with the "
               "Idempotency-Key of the request that waits");
    return;
  }
  if (session->confirmed() + body.calls.size() > settings_.steps_per_session_max ||
      session->keys.size() >= settings_.keys_per_session_max) {
    refuse(request.id, Refusal::too_large,
           "session " + to_string(body.run_id) + " has reached " +
               std::to_string(settings_.steps_per_session_max) +
               " steps or its limit of keys: open another one");
    return;
  }
  if (membership_.total_slots() == 0) {
    refuse(request.id, Refusal::not_ready, "no worker is in the cluster", retry_soon);
    return;
  }
  if (queued_ + body.calls.size() > settings_.confirmed_waiting_max) {
    refuse(request.id, Refusal::overloaded,
           "calls: there is no room for one more, expected at most " +
               std::to_string(settings_.confirmed_waiting_max) + " that wait for a slot",
           retry_soon);
    return;
  }
  std::size_t bytes = 0;
  for (const Call& call : body.calls) {
    bytes += call.canonical().size();
  }
  if (auto refused = refusal_of_size(bytes)) {
    reply(request.id, std::move(*refused));
    return;
  }
  const Duration wait =
      queued_ < settings_.confirmed_waiting_free ? Duration::zero() : expected_wait(body.calls);
  if (wait > settings_.confirmed_wait_max) {
    const auto seconds = [](Duration duration) {
      return std::to_string(std::chrono::ceil<std::chrono::seconds>(duration).count()) + " s";
    };
    refuse(request.id, Refusal::overloaded,
           "calls: this one would wait " + seconds(wait) +
               " for a slot at its pool's pace, expected at most " +
               seconds(settings_.confirmed_wait_max),
           std::clamp(wait - settings_.confirmed_wait_max, retry_soon, retry_late));
    return;
  }
  if (effects_.size() >= settings_.effects.pending_max) {
    refuse(request.id, Refusal::overloaded,
           "effects: there is no room for one more, expected at most " +
               std::to_string(settings_.effects.pending_max) +
               " that wait to be delivered: see `forerun effects list`",
           retry_soon);
    return;
  }
  give_up_partial_requests(*session);
  if (std::exchange(session->list_state, std::nullopt)) {
    batch_.sessions.push_back(row_of(*session));
  }
  ConfirmRequest pending{body.idempotency_key, hash,
                         session->confirmed(), static_cast<std::uint32_t>(body.calls.size()),
                         body.is_list,         {request.id}};
  if (!pending.key.empty()) {
    session->keys[pending.key] = {hash, pending.first, pending.count};
  }
  confirm_calls(*session, body.calls, 0, std::move(pending));
}

/// What waits is kept in memory, so it is bounded in bytes too.
std::optional<RequestFailed> CoordinatorMachine::refusal_of_size(std::size_t bytes) const {
  if (bytes > settings_.waiting_bytes_max) {
    return RequestFailed{Refusal::too_large,
                         "request: " + std::to_string(bytes) + " bytes, expected at most " +
                             std::to_string(settings_.waiting_bytes_max),
                         {}};
  }
  if (bytes > settings_.waiting_bytes_max - std::min(waiting_bytes_, settings_.waiting_bytes_max)) {
    return RequestFailed{Refusal::overloaded,
                         "requests: there is no room for one of " + std::to_string(bytes) +
                             " bytes, expected at most " +
                             std::to_string(settings_.waiting_bytes_max) + " bytes that wait",
                         retry_soon};
  }
  return std::nullopt;
}

void CoordinatorMachine::forget_bytes(const OpenStep& step) {
  FORERUN_ASSERT(waiting_bytes_ >= step.work.call.canonical().size());
  waiting_bytes_ -= step.work.call.canonical().size();
}

/// A list that a crash cut and that nobody retried ends where the session's next request begins.
void CoordinatorMachine::give_up_partial_requests(Session& session) {
  if (!session.has_partial_request) {
    return;
  }
  session.has_partial_request = false;
  for (auto& [key, record] : session.keys) {
    if (record.first + record.count > session.confirmed()) {
      session.requests.erase(record.first);  // Nobody waits for it: no step is open.
      record.count = session.confirmed() - record.first;
      if (!planted(Bug::cut_list_whole_again)) {
        batch_.keys.push_back({to_string(session.run_id), key, record.hash, session.run_id,
                               record.first, record.count});
      }
    }
  }
}

void CoordinatorMachine::confirm_calls(Session& session, const std::vector<Call>& calls,
                                       std::size_t skip, ConfirmRequest pending) {
  for (const RequestId request : pending.waiting) {
    waiting_in_.emplace(request.value, session.run_id);
  }
  session.requests[pending.first] = std::move(pending);
  for (std::size_t i = skip; i < calls.size(); ++i) {
    add_step(session, calls[i]);
  }
  session.foreseen.clear();
  begin_unblocked(session);
  after_decision(session);
}

void CoordinatorMachine::answer_if_durable(Session& session, ConfirmRequest& pending) {
  if (pending.first < session.steps.first()) {
    for (const RequestId request : pending.waiting) {
      waiting_in_.erase(request.value);
      out_.serve_session.push_back(
          {request, session.tenant, session.run_id,
           ServeSession::Steps{pending.first, pending.count, pending.is_list}});
    }
    pending.waiting.clear();
    return;
  }
  StepAnswers answers;
  answers.is_list = pending.is_list;
  answers.steps = session.steps.range(pending.first, pending.count);
  for (std::size_t i = 0; i < pending.waiting.size(); ++i) {
    const bool is_last = i + 1 == pending.waiting.size();
    reply(pending.waiting[i], is_last ? std::move(answers) : answers);
  }
  pending.waiting.clear();
}

/// The store has what is durable. What a request still waits for stays.
void CoordinatorMachine::drop_old_answers(Session& session) {
  std::uint32_t needed = session.durable_steps;
  if (!session.requests.empty()) {
    needed = std::min(needed, session.requests.begin()->first);
  }
  session.steps.drop_before(needed, settings_.answers_per_session_max,
                            settings_.answer_bytes_per_session_max);
}

OpenStep& CoordinatorMachine::add_step(Session& session, const Call& call) {
  auto plan = settings_.catalog.plan(call.task());
  FORERUN_ASSERT(plan.has_value());
  const StepNumber number{session.confirmed()};
  const ChainValue chain =
      number.value == 0
          ? chain_start(call.canonical(), to_string(session.run_id))
          : chain_next(session.open.empty() ? session.committed_chain : session.open.back().chain,
                       call.canonical());
  if (session.open.empty()) {
    learn_gap(session);
  }
  OpenStep added{number, chain, Work{call, std::move(*plan)}};
  waiting_bytes_ += call.canonical().size();
  session.open.push_back(std::move(added));
  OpenStep& step = session.open.back();
  step.work.branches.resize(step.work.plan.names.size());
  step.confirmed_at = now_;
  step.is_foreseen = session.foreseen.contains(call.task());
  step.state = session.list_state.value_or(session.state);
  if (const auto recorded = settings_.recorded_arrivals.find({session.run_id, number});
      recorded != settings_.recorded_arrivals.end()) {
    step.recorded_arrival = &recorded->second;
  }
  const std::string run_id = to_string(session.run_id);
  const Task& task = *step.work.plan.tasks.front();
  step.reads = read_tags(task, call.input(), session.tenant, run_id);
  step.writes = write_tags(task, call.input(), session.tenant, run_id);
  return step;
}

/// Calls of one list that touch the same things run in the list's order (design.md §4.1).
bool CoordinatorMachine::must_wait(const Session& session, const OpenStep& step) const {
  for (const OpenStep& earlier : session.open) {
    if (earlier.number == step.number) {
      return false;
    }
    if (planted(Bug::list_out_of_order)) {
      continue;
    }
    if (conflict(earlier.writes, step.reads) || conflict(earlier.writes, step.writes) ||
        conflict(earlier.reads, step.writes)) {
      return true;
    }
  }
  return false;
}

void CoordinatorMachine::begin_unblocked(Session& session) {
  for (OpenStep& step : session.open) {
    if (step.phase == OpenStep::Phase::blocked && !must_wait(session, step)) {
      begin_step(session, step);
    }
  }
}

void CoordinatorMachine::begin_step(Session& session, OpenStep& step) {
  if (step.work.plan.is_write()) {
    begin_write(session, step);
    return;
  }
  step.phase = OpenStep::Phase::running;
  step.is_one_by_one = session.runs_ahead() && may_start_one_by_one(step.work.plan) &&
                       usefulness_.favourite(session.tenant, step.work.call.task()).has_value();
  if (session.shadow.erase(step.work.call.hash()) != 0) {
    ++counters_.shadow_hits;
  }
  if (take_speculation(session, step)) {
    step.origin = Origin::late_hit;
    decide(session, step);
    if (step.phase == OpenStep::Phase::decided) {
      step.origin = Origin::hit;
      return;
    }
  } else if (const auto at = session.expected.find(step.work.call.hash());
             at != session.expected.end()) {
    step.not_started = at->second;
  }
  run_idle_branches(session, step);
}

/// Starts what is not running; of a race that starts one by one, the next branch that the rule
/// needs.
void CoordinatorMachine::run_idle_branches(Session& session, OpenStep& step) {
  const std::vector<std::size_t> order =
      rank(step.work.plan.select, step.chain, step.work.plan.names);
  for (const std::size_t i : order) {
    const BranchRun::State state = step.work.branches[i].state;
    if (state == BranchRun::State::idle) {
      enqueue(session, step, i);
    }
    if (step.is_one_by_one && state != BranchRun::State::settled) {
      return;
    }
  }
}

/// A write runs only after its intent is durable, together with every step before it that is not
/// committed: else a restart could not commit in order.
void CoordinatorMachine::begin_write(Session& session, OpenStep& step) {
  step.phase = OpenStep::Phase::awaiting_intent;
  step.has_intent = true;
  if (planted(Bug::write_before_intent)) {
    step.phase = OpenStep::Phase::running;
    enqueue(session, step, 0);
  }
  mark_dirty(step.writes);
  drop_conflicting(step.writes);
  for (const OpenStep& open : session.open) {
    if (open.number > step.number) {
      break;
    }
    IntentRow row{session.run_id,
                  open.number,
                  open.work.call.canonical(),
                  open.has_intent,
                  {},
                  {},
                  open.number.value,
                  1};
    const auto request = session.requests.upper_bound(open.number.value);
    if (request != session.requests.begin()) {
      const ConfirmRequest& pending = std::prev(request)->second;
      row.key = pending.key;
      row.request_hash = pending.hash;
      row.first_step = pending.first;
      row.step_count = pending.count;
    }
    batch_.intents.push_back(std::move(row));
  }
  release_.intents.emplace_back(session.run_id, step.number);
}

// ---- deciding
// ------------------------------------------------------------------------------------------------------

/// Applies the race's rule to what has settled. Does nothing while the rule needs more.
void CoordinatorMachine::decide(Session& session, OpenStep& step) {
  Work& work = step.work;
  std::vector<std::optional<bool>> validities;
  validities.reserve(work.branches.size());
  for (const BranchRun& branch : work.branches) {
    validities.push_back(branch.valid);
  }
  const SelectRule rule = planted(Bug::winner_by_arrival) ? SelectRule::first : work.plan.select;
  const Selection selection = select(rule, step.chain, work.plan.names, validities, step.arrival());
  if (selection.state == Selection::State::undecided) {
    return;
  }
  step.phase = OpenStep::Phase::decided;
  if (selection.state == Selection::State::winner) {
    step.winner = selection.index;
  }
  Duration useful{};
  for (std::size_t i = 0; i < work.branches.size(); ++i) {
    BranchRun& branch = work.branches[i];
    if (branch.state == BranchRun::State::running) {
      step.losers += now_ - branch.started;
    } else if (branch.state == BranchRun::State::settled) {
      (!step.winner || *step.winner == i ? useful : step.losers) += branch.latency;
      learn_latency(*work.plan.tasks[i], branch.latency);
    }
    cancel_branch(work, i);
  }
  if (std::exchange(step.is_counted, true)) {
    return;
  }
  budget_.committed(
      Duration(std::llround(static_cast<double>(useful.count()) * settings_.admission.aim)));
  counters_.useful += useful;
  counters_.race_losers += step.losers;
  ++counters_.useful_calls;
  if (step.hit && step.winner) {
    const Duration waited = now_ - step.confirmed_at;
    step.hit->saved = std::max(Duration::zero(), work.branches[*step.winner].latency - waited);
    counters_.saved += step.hit->saved;
  }
  measure(session, step);
}

/// What the client waited, and how the race went, as evidence of what running ahead is worth.
void CoordinatorMachine::measure(const Session& session, const OpenStep& step) {
  const Work& work = step.work;
  const std::string& name = work.call.task();
  if (step.winner && step.is_foreseen && session.mode == SpeculationMode::on) {
    usefulness_.waited(now_, session.tenant, name,
                       session.is_control ? Usefulness::Arm::control : Usefulness::Arm::ahead,
                       now_ - step.confirmed_at);
  }
  if (!may_start_one_by_one(work.plan)) {
    return;
  }
  Usefulness::RaceOutcome race;
  race.winner = step.winner;
  race.winner_name = step.winner ? work.plan.names[*step.winner] : std::string();
  for (const std::size_t i : rank(work.plan.select, step.chain, work.plan.names)) {
    race.at_once = std::max(race.at_once, work.branches[i].latency);
    race.one_by_one += work.branches[i].latency;
    if (step.winner == i) {
      break;
    }
  }
  usefulness_.raced(now_, session.tenant, name, race);
}

/// Commits what can be, starts what that unblocks, and looks ahead again.
void CoordinatorMachine::after_decision(Session& session) {
  const Digest before = session.state.hash();
  commit_ready(session);
  const bool open_writes =
      std::any_of(session.open.begin(), session.open.end(),
                  [](const OpenStep& step) { return step.state_writes() != nullptr; });
  if (open_writes || session.state.hash() != before) {
    drop_conflicts(session);
  }
  look_ahead_later(session);
}

void CoordinatorMachine::commit_ready(Session& session) {
  while (!session.open.empty() && session.open.front().phase == OpenStep::Phase::decided) {
    if (!take_writes(session, session.open.front())) {
      continue;
    }
    commit(session, session.open.front());
    forget_bytes(session.open.front());
    session.open.pop_front();
    begin_unblocked(session);
  }
}

/// Changes the session's state as the step says. False when the state cannot take that: then its
/// winner is invalid, and the race's rule goes on without it.
bool CoordinatorMachine::take_writes(Session& session, OpenStep& step) {
  const Output* writes = step.state_writes();
  if (writes == nullptr) {
    return true;
  }
  auto changed = session.state.patched(*writes);
  if (changed) {
    session.state = std::move(*changed);
    count_held(session);
    for (const Task* task : step.work.plan.tasks) {
      state_writers_.wrote(task->name, *writes);
    }
    return true;
  }
  BranchRun& branch = step.work.branches[*step.winner];
  branch.valid = false;
  branch.cause = changed.error().message;
  branch.output.reset();
  branch.writes.reset();
  branch.effects.reset();
  step.winner.reset();
  step.phase = OpenStep::Phase::running;
  decide(session, step);
  if (step.phase == OpenStep::Phase::running) {
    run_idle_branches(session, step);
  }
  return false;
}

CommitEntry CoordinatorMachine::commit_entry(const Session& session, const OpenStep& step) const {
  const Work& work = step.work;
  CommitEntry entry;
  entry.run_id = session.run_id;
  entry.step = step.number;
  entry.task = work.call.task();
  entry.input_hash = work.call.hash();
  entry.branch_names = work.plan.names;
  std::vector<std::optional<bool>> validities;
  for (const BranchRun& branch : work.branches) {
    const bool is_settled = branch.state == BranchRun::State::settled;
    validities.push_back(branch.valid);
    entry.branch_latencies.push_back(is_settled ? std::optional<Duration>(branch.latency)
                                                : std::nullopt);
    entry.branch_causes.push_back(branch.valid == false ? std::optional<std::string>(branch.cause)
                                                        : std::nullopt);
    entry.workers.push_back(branch.worker);
  }
  entry.winner = step.winner;
  entry.chain = step.chain;
  entry.select = work.plan.select;
  const std::vector<std::size_t> arrival = step.arrival();
  if (entry.select == SelectRule::first) {
    entry.arrival_order = recorded_arrival(arrival, step.winner);
  }
  entry.branch_validities = recorded_validities(entry.select, step.chain, entry.branch_names,
                                                validities, arrival, step.winner);
  if (step.winner) {
    entry.output_hash = work.branches[*step.winner].output->hash();
  }
  if (const Output* writes = step.state_writes()) {
    entry.writes_hash = writes->hash();
  }
  if (const EffectList* effects = step.effects()) {
    entry.effects_hash = effects->whole.hash();
  }
  entry.origin = step.origin;
  entry.hit = step.hit;
  entry.wasted = step.losers + work.hedged;
  return entry;
}

namespace {

/// Losers' outputs beyond this are told by their hash.
constexpr std::size_t told_output_bytes_max = 4096;

json::Value foresight_of(const Foresight& foresight) {
  json::Object told;
  told.set("after_step", foresight.after_step
                             ? json::Value(std::uint64_t{foresight.after_step->value})
                             : json::Value());
  told.set("after_speculation",
           foresight.after ? json::Value(std::uint64_t{foresight.after->value}) : json::Value());
  told.set("premise", foresight.premise ? json::Value(to_hex(*foresight.premise)) : json::Value());
  json::Array reasons;
  for (const std::string& reason : foresight.reasons) {
    reasons.emplace_back(json::clean_text(reason, cause_bytes_max));
  }
  told.set("reasons", std::move(reasons));
  return told;
}

}  // namespace

/// What the entry does not hold and a person asks about: explanation.hpp reads it.
std::string CoordinatorMachine::story_of(const OpenStep& step) {
  json::Object story;
  if (step.foresight) {
    json::Value foresight = foresight_of(*step.foresight);
    foresight.object()->set("ahead_ms", milliseconds_of(step.ahead));
    story.set("foresight", std::move(foresight));
  } else if (step.not_started) {
    json::Object foresight;
    foresight.set("probability", step.not_started->probability);
    foresight.set("not_started", step.not_started->why);
    story.set("foresight", std::move(foresight));
  }
  if (!step.state.empty()) {
    story.set("state_hash", to_hex(step.state.hash()));
    if (step.number.value == 0) {
      story.set("opened_with",
                step.state.value());  // The others follow from it and the write-sets.
    }
  }
  json::Object outputs;
  for (std::size_t i = 0; i < step.work.branches.size(); ++i) {
    const std::optional<Output>& output = step.work.branches[i].output;
    if (step.winner != i && output) {
      outputs.set(step.work.plan.names[i], output->canonical().size() <= told_output_bytes_max
                                               ? output->value()
                                               : json::Value("SHA-256 " + to_hex(output->hash())));
    }
  }
  if (!outputs.empty()) {
    story.set("outputs", std::move(outputs));
  }
  json::Object seconds;
  for (std::size_t i = 0; i < step.work.branches.size(); ++i) {
    if (const auto& hedged = step.work.branches[i].hedged) {
      json::Object second;
      second.set("worker", to_string(hedged->worker));
      second.set("after_ms", milliseconds_of(hedged->after));
      second.set("is_answer", hedged->is_answer);
      seconds.set(step.work.plan.names[i], std::move(second));
    }
  }
  if (!seconds.empty()) {
    story.set("second_attempts", std::move(seconds));
  }
  return story.empty() ? std::string() : json::canonical(story);
}

std::string CoordinatorMachine::story_of(const Speculation& speculation, Instant now) {
  json::Value foresight = foresight_of(speculation.foresight);
  foresight.object()->set("lived_ms", milliseconds_of(now - speculation.work.began));
  json::Object story;
  story.set("foresight", std::move(foresight));
  return json::canonical(story);
}

/// Whether calls that came with this step follow it, confirmed or cut off by a crash.
bool CoordinatorMachine::has_more_of_its_request(const Session& session, const OpenStep& step) {
  if (session.open.back().number != step.number) {
    return true;
  }
  const auto after = session.requests.upper_bound(step.number.value);
  if (after == session.requests.begin()) {
    return false;
  }
  const ConfirmRequest& request = std::prev(after)->second;
  return request.first + request.count > step.number.value + 1;
}

void CoordinatorMachine::commit(Session& session, OpenStep& step) {
  const CommitEntry entry = commit_entry(session, step);
  const Digest decision_hash = entry.decision_hash();
  std::optional<Output> output;
  if (step.winner) {
    output = step.work.branches[*step.winner].output;
  }
  if (planted(Bug::other_branch_answers) && output && step.work.branches.front().output) {
    output = step.work.branches.front().output;
  }
  StepAnswer answer = step_answer_of(entry, decision_hash, Seq{ledger_.size()},
                                     output ? output->canonical() : std::string());
  if (auto record = race_log_record(entry, settings_.race_log_share)) {
    release_.races.push_back(std::move(*record));
  }
  StoredEntry stored = ledger_.append(entry, decision_hash);
  stored.story = story_of(step);
  stored.call = step.work.call.canonical();
  stored.output = answer.output;
  if (const Output* writes = step.state_writes()) {
    stored.writes = writes->canonical();
  }
  if (const EffectList* effects = step.effects()) {
    stored.effects = effects->whole.canonical();
  }
  store_entry(std::move(stored));

  recheck(session, step, Seq{ledger_.size() - 1});

  ++counters_.steps;
  ++(step.origin == Origin::hit        ? counters_.hits
     : step.origin == Origin::late_hit ? counters_.late_hits
                                       : counters_.misses);
  counters_.failed += answer.failed ? 1 : 0;
  session.steps.add(std::move(answer));
  session.committed_chain = step.chain;
  session.answered = now_;
  add_effects(session, step);
  if (step.has_intent) {
    mark_clean(step.writes);
  }
  session.list_state =
      has_more_of_its_request(session, step) ? std::optional(step.state) : std::nullopt;
  batch_.sessions.push_back(row_of(session));
  const auto request = session.requests.find(step.number.value);
  if (request != session.requests.end() && !request->second.key.empty() &&
      !planted(Bug::key_not_kept)) {
    batch_.keys.push_back({to_string(session.run_id), request->second.key, request->second.hash,
                           session.run_id, request->second.first, request->second.count});
  }
  release_.steps.push_back({session.run_id, session.steps.count(), session.state});
  const StepNumber number = step.number;
  settle_premises(
      session,
      [number](const Speculation& child) { return !child.parent && child.parent_step == number; },
      output ? std::optional<Digest>(output->hash()) : std::nullopt);
  learn_later({session.run_id, session.tenant, Lesson::Step{step.work.call, std::move(output)}});
}

}  // namespace forerun
