#include "simulation/client.hpp"

#include <utility>
#include <variant>

#include "simulation/report_judge.hpp"
#include "simulation/world.hpp"

namespace forerun::simulation {
namespace {

/// Longest way of a request once faults have ended: a silent node is noticed, and every step of a
/// list may have to run after the one before.
constexpr Duration answer_within = std::chrono::seconds(30);
constexpr double aside_share = 0.12;  ///< How often something else is asked between two steps.
constexpr Duration step_wait = std::chrono::milliseconds(60);  ///< Of a client that leaves.
constexpr Duration aside_wait = std::chrono::milliseconds(3);  ///< The same: no branch has to run.
constexpr std::uint32_t page_steps_max = 4;

}  // namespace

bool Client::receive(const ClientResponse& response) {
  if (!pending_ || pending_->id != response.id) {
    return false;
  }
  struct Visitor {
    Client& client;
    void operator()(const SessionOpened& body) { client.handle(body); }
    void operator()(const StepAnswers& body) { client.handle(body); }
    void operator()(const SessionView& body) { client.handle(body); }
    void operator()(const SessionEnded& body) { client.handle(body); }
    void operator()(const RequestFailed& body) { client.handle(body); }
    void operator()(const TextAdded& body) { client.handle(body); }
    void operator()(const JsonReport& body) { client.handle(body); }
    void operator()(const LedgerPage&) { client.fail(Rule::one_decision, "an answer to nothing"); }
  };
  std::visit(Visitor{*this}, response.body);
  return true;
}

void Client::fail(Rule rule, const std::string& what) {
  env_.time.violate(rule, name() + ": " + what);
}

void Client::check_waiting() {
  if (!pending_) {
    return;
  }
  const Instant from = std::max(pending_->since, env_.weather.faults_end);
  if (env_.time.now() - from > answer_within) {
    fail(Rule::all_ends, "session " + std::to_string(session_) + ", request " +
                             to_string(pending_->id) + " got no answer though faults have ended");
  }
}

// ---- sending -----------------------------------------------------------------------------------

void Client::ask(decltype(ClientRequest::body) body) {
  pending_ = Pending{{}, std::move(body), env_.time.now(), 0};
  transmit();
}

void Client::transmit() {
  pending_->id = RequestId{identity_.index * 1'000'000 + ++requests_};
  ++pending_->attempt;
  if (!coordinator_.is_up()) {
    if (stage_ == Stage::aside) {
      coordinator_.send({pending_->id, client_tenant, pending_->body});  // It has not noticed yet.
    }
    send_again(env_.between(std::chrono::milliseconds(20), std::chrono::milliseconds(300)));
    return;
  }
  coordinator_.send({pending_->id, client_tenant, pending_->body});
  for (const Fault how :
       {Fault::leaving_client, Fault::cancelling_client, Fault::vanishing_client}) {
    if (env_.strikes(how)) {
      go_away_after(env_.between(Duration(100), stage_ == Stage::aside ? aside_wait : step_wait),
                    how);
      return;
    }
  }
}

/// From the request that waits then, if it is still the same one.
void Client::go_away_after(Duration delay, Fault how) {
  env_.time.after(delay, [this, how, id = pending_->id, attempt = pending_->attempt] {
    if (pending_ && pending_->id == id && pending_->attempt == attempt) {
      coordinator_.leave(id);
      if (how == Fault::leaving_client && stage_ == Stage::list && env_.prng.chance(0.5)) {
        abandon_list();
      } else if (how == Fault::leaving_client) {
        send_again(env_.between(Duration(0), std::chrono::milliseconds(200)));
      } else {
        give_up(how);
      }
    }
  });
}

/// What it had asked for goes on without it; its session is left open.
void Client::give_up(Fault how) {
  env_.time.note(name() + (how == Fault::vanishing_client ? " vanishes" : " gives its session up"));
  pending_.reset();
  is_gone_ = how == Fault::vanishing_client;
  if (!is_gone_) {
    next_session();
  }
}

/// It goes on with something else, and asks for the list's answers later.
void Client::abandon_list() {
  env_.time.note(name() + " abandons its list");
  abandoned_ = std::get<ConfirmCalls>(pending_->body);
  knows_steps_ = false;
  pending_.reset();
  ++fresh_key_;  // What the list's writes left is not known.
  next(env_.prng.chance(0.7) ? Stage::other : Stage::end);
}

void Client::send_again(Duration delay) {
  const std::uint64_t attempt = ++pending_->attempt;
  pending_->id = RequestId{};  // An answer that comes late is for nobody.
  env_.time.after(delay, [this, attempt, since = pending_->since] {
    if (pending_ && pending_->attempt == attempt && pending_->since == since) {
      transmit();
    }
  });
}

void Client::coordinator_went_down() {
  if (pending_ && stage_ == Stage::list && !abandoned_ && env_.prng.chance(0.8)) {
    abandon_list();  // A crash may have cut it.
  } else if (pending_ && pending_->id.value != 0) {
    send_again(env_.between(std::chrono::milliseconds(5), std::chrono::milliseconds(300)));
  }
}

// ---- a session ---------------------------------------------------------------------------------

void Client::open() {
  if (!is_started_) {
    is_started_ = true;
    sessions_left_ = identity_.sessions;
  }
  ++session_;
  run_id_.reset();
  confirmed_ = 0;
  fresh_key_ = 0;
  abandoned_.reset();
  knows_steps_ = true;
  stage_ = Stage::open;
  OpenSession body;
  body.context = "please handle item " + *with_key().find("key")->string();
  body.idempotency_key = name() + " session " + std::to_string(session_);
  ask(std::move(body));
}

json::Object Client::with_key() const {
  json::Object input;
  input.set("key", "k" + std::to_string(identity_.index) + "-" + std::to_string(session_) +
                       (fresh_key_ == 0 ? std::string() : "-" + std::to_string(fresh_key_)));
  return input;
}

void Client::confirm(std::vector<Call> calls, bool is_list) {
  ConfirmCalls body;
  body.run_id = *run_id_;
  body.calls = std::move(calls);
  body.is_list = is_list;
  body.idempotency_key = "step " + std::to_string(confirmed_);
  if (env_.prng.chance(0.5)) {
    body.expect_step = confirmed_;
  }
  ask(std::move(body));
}

std::vector<Call> Client::mixed_list() {
  json::Object changed = with_key();
  changed.set("value", static_cast<std::int64_t>(env_.prng.below(50)));
  json::Object more = with_key();
  more.set("by", 3);
  std::vector<Call> calls;
  if (env_.prng.chance(0.5)) {
    calls.push_back(Call::make("put", std::move(changed)));
  }
  calls.push_back(Call::make("lookup", with_key()));
  calls.push_back(Call::make(identity_.race, with_key()));
  if (env_.prng.chance(0.4)) {
    calls.push_back(Call::make("add", std::move(more)));
    calls.push_back(Call::make("lookup", with_key()));
  }
  return calls;
}

void Client::next(Stage stage) {
  stage_ = stage;
  const bool is_open = stage != Stage::open && stage != Stage::old;
  if (is_open && env_.prng.chance(aside_share)) {
    then_ = stage;
    stage_ = Stage::aside;
  }
  env_.time.after(env_.around(std::chrono::milliseconds(30)), [this] { go_on(); });
}

/// Often it ends within the session, and sometimes it begins beyond it.
SessionPage Client::page() {
  SessionPage page;
  if (env_.prng.chance(0.7)) {
    page.first = static_cast<std::uint32_t>(env_.prng.below(confirmed_ + 2));
    page.count = 1 + static_cast<std::uint32_t>(env_.prng.below(page_steps_max));
  }
  return page;
}

/// The text names the session's key, which a guesser looks for at its end.
void Client::ask_aside() {
  switch (env_.prng.below(4)) {
    case 0:
    case 1: {
      AddText body;
      body.run_id = *run_id_;
      body.text = "remark " + std::to_string(++texts_) + " on item " + key_of(with_key());
      env_.auditor.said(*run_id_, body.text);
      ask(std::move(body));
      return;
    }
    case 2:
      ask(ShowPredictions{*run_id_});
      return;
    default:
      ask(ShowExplanation{*run_id_, page()});
  }
}

void Client::go_on() {
  switch (stage_) {
    case Stage::open:
      open();
      return;
    case Stage::first:
    case Stage::again:
      confirm({Call::make("lookup", with_key())}, false);
      return;
    case Stage::score:
      confirm({Call::make(identity_.race, with_key())}, false);
      return;
    case Stage::change: {
      json::Object input = with_key();
      const std::uint64_t kind = env_.prng.below(10);
      if (kind < 6) {
        next(Stage::again);
      } else if (kind == 6) {
        confirm({Call::make("scan", std::move(input))}, false);
      } else if (kind == 7) {
        input.set("value", value_ + 7);
        confirm({Call::make("put", std::move(input))}, false);
      } else {
        input.set("by", 1);
        confirm({Call::make(kind == 8 ? "add" : "audit", std::move(input))}, false);
      }
      return;
    }
    case Stage::label: {
      json::Object input = with_key();
      input.set("value", value_);
      confirm({Call::make("classify", std::move(input))}, false);
      return;
    }
    case Stage::list:
      confirm(mixed_list(), true);
      return;
    case Stage::other: {
      ConfirmCalls body;
      body.run_id = *run_id_;
      json::Object input = with_key();
      input.set("value", value_);
      body.calls = {Call::make("classify", std::move(input))};  // Of no list.
      body.idempotency_key = "other";
      ask(std::move(body));
      return;
    }
    case Stage::old:
      ask(*abandoned_);
      return;
    case Stage::show:
      ask(ShowSession{*run_id_, page()});
      return;
    case Stage::aside:
      ask_aside();
      return;
    case Stage::end:
      ask(EndSession{*run_id_});
      return;
  }
}

// ---- answers -----------------------------------------------------------------------------------

void Client::handle(const SessionOpened& body) {
  env_.auditor.opened(std::get<OpenSession>(pending_->body).idempotency_key, body.run_id);
  run_id_ = body.run_id;
  if (env_.strikes(Fault::leaving_client)) {
    // The answer was lost to it: it asks for the same session again.
    send_again(env_.between(Duration(0), std::chrono::milliseconds(1500)));
    return;
  }
  pending_.reset();
  next(Stage::first);
}

void Client::leave_old_list() {
  pending_.reset();
  abandoned_.reset();
  if (env_.auditor.ended_sessions().contains(*run_id_)) {
    next_session();
  } else {
    next(Stage::end);
  }
}

/// A list that was given up may have been cut by a crash: it ends where the next request began.
void Client::check_old(const StepAnswers& body) {
  const std::vector<Call>& calls = abandoned_->calls;
  for (std::size_t i = 0; i < body.steps.size(); ++i) {
    const StepAnswer& step = body.steps[i];
    if (i >= calls.size() || step.task != calls[i].task() ||
        step.step != body.steps.front().step + i) {
      fail(Rule::one_decision, "a list that was given up is answered with step " +
                                   std::to_string(step.step) + ", " + step.task);
      return;
    }
    env_.auditor.answered(step);
  }
}

void Client::handle(const StepAnswers& body) {
  if (stage_ == Stage::old) {
    check_old(body);
    leave_old_list();
    return;
  }
  const std::size_t calls = std::get<ConfirmCalls>(pending_->body).calls.size();
  if (stage_ == Stage::other && !body.steps.empty()) {
    confirmed_ = body.steps.front().step;  // It could not know how far its list came.
  }
  if (body.steps.size() != calls || body.steps.front().step != confirmed_) {
    fail(Rule::one_decision, "asked for " + std::to_string(calls) + " steps from " +
                                 std::to_string(confirmed_) + ", got " +
                                 std::to_string(body.steps.size()) + " from " +
                                 std::to_string(body.steps.front().step));
    return;
  }
  bool is_unknown = false;
  for (const StepAnswer& step : body.steps) {
    env_.auditor.answered(step);
    const Task* task = env_.catalog.task(step.task);
    is_unknown = is_unknown || (step.failed && task != nullptr && task->effect == Effect::write);
    if (step.task == "lookup" && !step.failed) {
      const auto output = json::parse(step.output);
      value_ = static_cast<std::int64_t>(*output->find("value")->number());
    }
  }
  confirmed_ += static_cast<std::uint32_t>(calls);
  fresh_key_ += is_unknown ? 1 : 0;  // What a write left is not known: its key is used no more.
  pending_.reset();
  switch (stage_) {
    case Stage::first:
      next(Stage::score);
      return;
    case Stage::score:
      next(Stage::change);
      return;
    case Stage::change:
      next(Stage::again);
      return;
    case Stage::again:
      next(Stage::label);
      return;
    case Stage::label:
      next(env_.prng.chance(0.5) ? Stage::list : Stage::end);
      return;
    case Stage::other:
      next(env_.prng.chance(0.7) ? Stage::old : Stage::end);
      return;
    default:
      next(env_.prng.chance(0.3) ? Stage::show : Stage::end);
  }
}

void Client::handle(const SessionView& body) {
  if (body.next_step < confirmed_) {
    fail(Rule::acknowledged_kept, "the session shows " + std::to_string(body.next_step) +
                                      " steps, but " + std::to_string(confirmed_) +
                                      " were answered");
  }
  ReportJudge(env_).session(body, std::get<ShowSession>(pending_->body).page);
  pending_.reset();
  next(Stage::end);
}

void Client::handle(const TextAdded&) {
  if (!std::holds_alternative<AddText>(pending_->body)) {
    fail(Rule::one_decision, "an answer to nothing");
  }
  pending_.reset();
  next(then_);
}

void Client::handle(const JsonReport& body) {
  ReportJudge judge(env_);
  if (const auto* explained = std::get_if<ShowExplanation>(&pending_->body)) {
    judge.explanation(*run_id_, explained->page, body.body);
  } else if (std::holds_alternative<ShowPredictions>(pending_->body)) {
    judge.predictions(*run_id_, confirmed_, knows_steps_, body.body);
  } else {
    fail(Rule::one_decision, "an answer to nothing");
  }
  pending_.reset();
  next(then_);
}

void Client::handle(const SessionEnded& body) {
  env_.auditor.ended(body.run_id);
  pending_.reset();
  if (abandoned_ && env_.prng.chance(0.7)) {
    next(Stage::old);
  } else {
    next_session();
  }
}

void Client::next_session() {
  if (--sessions_left_ > 0) {
    next(Stage::open);
  }
}

void Client::handle(const RequestFailed& body) {
  if (body.refusal == Refusal::not_ready || body.refusal == Refusal::overloaded) {
    send_again(env_.between(std::chrono::milliseconds(50), std::chrono::milliseconds(400)));
    return;
  }
  if (abandoned_ && (stage_ == Stage::other || stage_ == Stage::end) &&
      body.refusal == Refusal::conflict) {
    send_again(env_.between(std::chrono::milliseconds(50), std::chrono::milliseconds(400)));
    return;  // A step of the list is open.
  }
  if (stage_ == Stage::old &&
      (body.refusal == Refusal::conflict || body.refusal == Refusal::not_found)) {
    leave_old_list();
    return;
  }
  if (stage_ == Stage::end && body.refusal == Refusal::not_found &&
      env_.auditor.ended_sessions().contains(*run_id_)) {
    handle(SessionEnded{*run_id_, confirmed_});
    return;
  }
  fail(Rule::one_decision, "refused: " + body.message);
}

}  // namespace forerun::simulation
