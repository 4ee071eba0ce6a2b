#include "simulation/coordinator_host.hpp"

#include <algorithm>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <utility>
#include <variant>

#include "coordinator/prediction_graph.hpp"
#include "coordinator/remembered_predictions.hpp"
#include "simulation/guesser.hpp"
#include "simulation/watched_store.hpp"
#include "speculation/planted.hpp"
#include "storage/checked_recovery.hpp"

namespace forerun::simulation {
namespace {

constexpr Duration restart_min = std::chrono::milliseconds(20);
constexpr Duration restart_max = std::chrono::milliseconds(1200);
constexpr Duration adopt_wait_max = std::chrono::milliseconds(300);
constexpr Duration put_back_wait_max = std::chrono::seconds(3);
constexpr std::uint32_t put_back_tries_max = 6;
constexpr double failed_when_rare = 0.2;
/// Longer than a client of the simulation ever thinks or waits.
constexpr Duration idle_max = std::chrono::seconds(20);

/// A small cluster that speculates eagerly, so that a short run meets many decisions.
CoordinatorSettings settings_of(Environment& env) {
  CoordinatorSettings settings;
  settings.version = "simulated";
  settings.catalog = env.catalog;
  settings.admission.policy = AdmissionPolicy::bands;
  settings.admission.start_above = 0.4;
  settings.admission.idle_above = 0.2;
  settings.admission.waste_ratio_max = env.prng.chance(0.25) ? 0.3 : 1.0;
  settings.admission.kept_per_session_max = 6;
  // Tasks and races turn off and on within a short run.
  settings.usefulness.control_share = env.prng.chance(0.5) ? 0.25 : 0;
  settings.usefulness.improvement_min = 0.9;
  settings.usefulness.winner_share_max = 0.3;
  settings.usefulness.probe_after = std::chrono::milliseconds(200);
  settings.usefulness.probe_after_max = std::chrono::seconds(1);
  settings.usefulness.ahead_min = 3;
  settings.usefulness.control_min = 2;
  settings.usefulness.races_min = 3;
  settings.usefulness.look_every = 1;
  settings.usefulness.window = 8;
  settings.usefulness.tasks_max = 6;
  // Calls are hedged long before a task's p95 is well known.
  settings.run_times.samples_min = 4;
  settings.run_times.window = 32;
  settings.run_times.look_every = 2;
  settings.hedge.share = 0.3;
  settings.recheck.share = 0.3;
  settings.recheck.lies_max = 1;
  settings.run_id_block = 1 + env.prng.below(4);
  settings.head_interval =
      env.between(std::chrono::milliseconds(25), std::chrono::milliseconds(400));
  settings.session_idle_max = idle_max;
  settings.answers_per_session_max = static_cast<std::uint32_t>(env.prng.below(3));
  if (env.prng.chance(0.5)) {
    settings.adoption.wait = env.between(std::chrono::milliseconds(1), adopt_wait_max);
  }
  settings.effects.timeout = std::chrono::milliseconds(1500);
  settings.effects.retry_max = std::chrono::seconds(1);
  settings.effects.attempts_max = env.prng.chance(0.5) ? 2 : 40;  // Some are parked, for a while.
  settings.history.sessions_max = taught_sessions_max;
  settings.predictions_per_event_max = 3;
  settings.predictions_wanted = 4;
  return settings;
}

/// What is seldom written gets more chances, or a fault at it would never be seen.
bool is_rare(const CoordinatorBatch& batch) {
  return !batch.quarantined.empty() || !batch.history.empty() || !batch.forgotten.empty();
}

PredictionSettings predictor_settings() {
  PredictionSettings settings;
  settings.sessions_max = 200;
  settings.contexts_max = 4000;
  settings.forms_max = 500;
  settings.parameters_max = 500;
  settings.outputs_max = 1000;
  settings.fields_max = 1000;
  return settings;
}

}  // namespace

CoordinatorHost::CoordinatorHost(Environment& environment, Network& network, SigningKey key,
                                 std::string race)
    : Host(environment),
      network_(network),
      key_(std::move(key)),
      race_(std::move(race)),
      settings_(settings_of(environment)),
      guesses_(environment.prng.chance(0.7)) {}

std::unique_ptr<Predictor> CoordinatorHost::make_predictor() const {
  if (guesses_) {
    return std::make_unique<Guesser>(race_);
  }
  return std::make_unique<RememberedPredictions>(
      std::make_unique<PredictionGraph>(predictor_settings()));
}

void CoordinatorHost::put_back(MemoryCoordinatorStore older, std::function<void(bool)> done) {
  older_ = Older{std::move(older), store_, store_.size().value(), std::move(done), 0};
  crash();
}

/// Before the term is durable nobody hears of it, so it may be tried again.
bool CoordinatorHost::is_whole(const CoordinatorBatch& batch) const {
  return batch.head && batch.head->size > older_->size;
}

void CoordinatorHost::start() {
  CoordinatorSettings settings = settings_;
  if (older_ && ++older_->tries > put_back_tries_max) {
    env_.time.note("the newer store is put back");
    store_ = older_->newer;
    std::exchange(older_, std::nullopt)->done(false);
  } else if (older_) {
    env_.time.note("an older store is put back");
    store_ = older_->store;
    kept_owners_.clear();  // It says so once more, of each that joins.
    settings.adoption.wait = env_.between(std::chrono::milliseconds(200), put_back_wait_max);
  }
  store_.crash();
  failure_.reset();
  begin_life();
  machine_ = std::make_shared<CoordinatorMachine>(settings, key_, make_predictor());
  if (const auto dropped = store_.drop_opening_keys(settings_.opening_keys_max); !dropped) {
    env_.time.violate(Rule::assertion, "coordinator: its store: " + dropped.error().message);
    return;
  }
  const auto recovered =
      recover_checked(store_, "simulated", key_.public_key(),
                      [this](const StoredEntry& entry) { machine_->restore(entry); });
  if (!recovered) {
    env_.time.violate(Rule::acknowledged_kept,
                      "coordinator: recovery: " + recovered.error().message);
    return;
  }
  machine_->restore(recovered->recovery);
  env_.time.note("coordinator starts with " + std::to_string(store_.size().value()) + " entries");
  network_.coordinator_is_up();
  stepped_ = now();
  slots_max_ = 0;
  charged_at_once_ = {};
  stage_ = std::make_unique<Stage>(now());
  is_ending_ = false;
  const auto store = std::make_shared<WatchedCoordinatorStore>(
      store_, [this](std::span<const CoordinatorBatch> batches) { return write(batches); });
  ledger_ = stage_->add(stage_->system().spawn(ledger_actor, store, ledger_ports()));
  reader_ = stage_->add(stage_->system().spawn(reader_actor, store, reader_ports()));
  coordinator_ =
      stage_->add(stage_->system().spawn(coordinator_actor, machine_, coordinator_ports()));
  run();
}

void CoordinatorHost::crash() {
  if (!is_up()) {
    return;
  }
  env_.time.note("coordinator crashes");
  count(*machine_, tally_);
  ++crashes_;
  for (const CoordinatorBatch& batch : std::exchange(waiting_, {})) {
    env_.coverage.write(batch, WriteFault::crash_before);
  }
  for (const CoordinatorBatch& batch : std::exchange(unreported_, {})) {
    env_.coverage.write(batch, WriteFault::crash_after);
  }
  for (const auto& [id, request] : std::exchange(unanswered_, {})) {
    env_.coverage.request(request, RequestFault::unanswered);
  }
  std::erase_if(open_, [](const auto& request) { return request.second; });
  end_life();
  is_ending_ = true;
  destroy(coordinator_);
  destroy(ledger_);
  destroy(reader_);
  stage_.reset();
  machine_.reset();
  is_flushing_ = false;
  network_.coordinator_is_down();
  went_down_();
  env_.time.after(env_.between(restart_min, restart_max), [this] { start(); });
}

void CoordinatorHost::count(const CoordinatorMachine& machine, Tally& tally) {
  const CoordinatorCounters& counters = machine.counters();
  tally.hits += counters.hits + counters.late_hits;
  tally.hedges += counters.hedges;
  tally.hedges_won += counters.hedges_won;
  for (const auto& [cause, number] : counters.discards) {
    tally.discards += number;
  }
}

CoordinatorHost::Tally CoordinatorHost::tally() const {
  Tally sum = tally_;
  if (is_up()) {
    count(*machine_, sum);
  }
  return sum;
}

void CoordinatorHost::pace(double rate) {
  pace_clock(rate);
  step(TimePassed{});
}

void CoordinatorHost::jump_ahead(Duration ahead) {
  jump_clock(ahead);
  step(TimePassed{});
}

void CoordinatorHost::send(const ClientRequest& request) {
  open_.emplace(request.id, false);
  env_.time.after(env_.around(env_.weather.link_median), [this, request] {
    if (!is_up()) {
      env_.coverage.request(request, RequestFault::not_arrived);
      open_.erase(request.id);
      return;
    }
    open_[request.id] = true;
    env_.time.note("request " + to_string(request.id));
    unanswered_.emplace(request.id, request);
    step(request);
  });
}

void CoordinatorHost::leave(RequestId request) {
  later(env_.around(env_.weather.link_median), [this, request] {
    if (const auto at = unanswered_.find(request); at != unanswered_.end()) {
      env_.coverage.request(at->second, RequestFault::left);
      unanswered_.erase(at);
    }
    step(ClientLeft{request});
  });
}

void CoordinatorHost::reply(const ClientResponse& response) {
  unanswered_.erase(response.id);
  open_.erase(response.id);
  reply_(response);
}

void CoordinatorHost::step(const CoordinatorInput& input) {
  if (!is_up()) {
    return;
  }
  if (is_paused()) {
    when_resumed([this, input] { step(input); });
    return;
  }
  give(input);
  run_soon();
}

void CoordinatorHost::give(CoordinatorInput input) {
  caf::anon_send(coordinator_, CoordinatorInputs{{std::move(input)}});
}

/// All that the actors have to do now; a crash may come between any two things that they do.
void CoordinatorHost::run() {
  const Instant at = now();
  charged_at_once_ =
      std::max(charged_at_once_, (at - stepped_) * static_cast<std::int64_t>(slots_max_));
  stepped_ = at;
  if (!stage_->run(at)) {
    env_.time.violate(Rule::all_ends, "coordinator: its actors never come to rest in a moment");
  }
  slots_max_ = std::max<std::uint64_t>(slots_max_, machine_->membership().total_slots());
  check_waste();
  if (is_ending_) {
    crash();
    return;
  }
  arm(stage_->next(), [this] { run(); });
}

/// What speculation wasted in this term is covered by what confirmed work took, but for the slot
/// time that passed at once between two inputs, and what kills took (design.md §5).
void CoordinatorHost::check_waste() {
  const CoordinatorCounters& counters = machine_->counters();
  const auto covered = Duration(static_cast<Duration::rep>(
      static_cast<double>(counters.useful.count()) * settings_.admission.waste_ratio_max));
  const Duration ran = counters.wasted - counters.wasted_in_kills;
  if (ran > covered + charged_at_once_ + Duration(1)) {
    env_.time.violate(Rule::accounted, "the coordinator wasted " + std::to_string(ran.count()) +
                                           " us of slot time, of at most " +
                                           std::to_string(covered.count()) + " and " +
                                           std::to_string(charged_at_once_.count()) + " at once");
  }
}

// ---- what the actors say
// -----------------------------------------------------------------------------------------------

/// What is seldom sent gets more chances, or a crash at it would never be seen.
void CoordinatorHost::send(ConnectionId connection, std::vector<CoordinatorMessage> messages) {
  for (CoordinatorMessage& message : messages) {
    if (const auto* dispatch = std::get_if<Dispatch>(&message)) {
      env_.auditor.dispatched(*dispatch);
    } else if (const auto* welcome = std::get_if<Welcome>(&message)) {
      env_.auditor.welcomed(welcome->head);
    }
    const bool is_rare = std::holds_alternative<ConfirmBranch>(message) ||
                         std::holds_alternative<ResendResult>(message) ||
                         std::holds_alternative<AuditReplica>(message) ||
                         std::holds_alternative<FetchReplica>(message);
    if (goes_on(is_rare ? chances_when_rare : 1)) {
      network_.send(connection, std::move(message));
    } else {
      env_.coverage.message(message, MessageFault::unsent);
    }
  }
}

void CoordinatorHost::note(const std::string& line) {
  env_.time.note("coordinator: " + line);
  if (line.starts_with("QUARANTINED") &&
      (!liar_ || line.find("(" + liar_->name + ")") == std::string::npos)) {
    env_.time.violate(Rule::assertion, "coordinator: this node does not lie: " + line);
  }
}

CoordinatorPorts CoordinatorHost::coordinator_ports() {
  CoordinatorPorts ports;
  ports.persist = [this](CoordinatorBatch batch) {
    if (older_ && !is_whole(batch)) {
      env_.time.note("coordinator: not all was adopted: an operator ends it");
      is_ending_ = true;
    }
    if (goes_on(is_rare(batch) ? chances_when_rare : 1)) {
      persist(std::move(batch));
    } else {
      env_.coverage.write(batch, WriteFault::crash_before);
    }
  };
  ports.send = [this](ConnectionId connection, std::vector<CoordinatorMessage> messages) {
    send(connection, std::move(messages));
  };
  ports.publish = [this](Entries entries) {
    if (goes_on()) {
      env_.auditor.published(entries);
      network_.publish(entries);
    } else {
      env_.coverage.publication(MessageFault::unsent);
    }
  };
  ports.reply = [this](ClientResponse response) {
    const bool is_rare = std::holds_alternative<TextAdded>(response.body) ||
                         std::holds_alternative<JsonReport>(response.body);
    if (goes_on(is_rare ? chances_when_rare : 1)) {
      reply(response);
    }
  };
  ports.serve_entries = [this](ServeEntries request) { tell_late(reader_, request); };
  ports.serve_session = [this](ServeSession request) { tell_late(reader_, std::move(request)); };
  ports.serve_ledger = [this](ServeLedger request) { tell_late(reader_, request); };
  ports.read_entries = [this](ReadEntries request) { tell_late(reader_, std::move(request)); };
  ports.read_past = [this](ReadPast request) { tell_late(reader_, request); };
  ports.race = [](const std::string&) {};
  ports.log = [this](const std::string& line) { note(line); };
  ports.fatal = [this](const Error& error) {
    env_.time.violate(Rule::acknowledged_kept, "coordinator: " + error.message);
  };
  return ports;
}

LedgerPorts CoordinatorHost::ledger_ports() {
  LedgerPorts ports;
  ports.persisted = [this](BatchNumber last) { persisted(last); };
  // What a failed write means is noted where it happened.
  ports.fatal = [this](const std::string& why) {
    if (!is_ending_) {
      env_.time.violate(Rule::assertion, "coordinator: writes its store: " + why);
    }
  };
  return ports;
}

ReaderPorts CoordinatorHost::reader_ports() {
  ReaderPorts ports;
  ports.send = [this](ConnectionId connection, std::vector<CoordinatorMessage> messages) {
    for (CoordinatorMessage& message : messages) {
      auto* entries = std::get_if<Entries>(&message);
      if (planted(Bug::off_by_one_catch_up) && entries != nullptr && entries->first.value > 0 &&
          !entries->records.empty()) {
        entries->records.erase(entries->records.begin());
      }
      network_.send(connection, std::move(message));
    }
  };
  ports.reply = [this](ClientResponse response) { reply(response); };
  ports.entries_read = [this](EntriesRead read) { give(std::move(read)); };
  ports.past_read = [this](PastRead past) { give(std::move(past)); };
  ports.fatal = [this](const std::string& why) {
    if (!is_ending_) {
      env_.time.violate(Rule::assertion, "coordinator: reads its store: " + why);
    }
  };
  return ports;
}

void CoordinatorHost::persist(CoordinatorBatch batch) {
  const BatchNumber number = batch.number;
  if (planted(Bug::lost_marks)) {
    batch.marks.clear();
  }
  if (planted(Bug::lost_intent)) {
    batch.intents.clear();
  }
  if (planted(Bug::early_reply)) {
    later(Duration(1), [this, number] { step(Persisted{number}); });
  }
  waiting_.push_back(std::move(batch));
  if (!is_flushing_) {
    is_flushing_ = true;
    later(env_.around(env_.weather.sync_median), [this] { flush(); });
  }
}

/// All that waited becomes durable together.
void CoordinatorHost::flush() {
  is_flushing_ = false;
  for (CoordinatorBatch& batch : std::exchange(waiting_, {})) {
    caf::anon_send(ledger_, std::move(batch));
  }
  run();
}

void CoordinatorHost::fail_if_rare(std::span<const CoordinatorBatch> batches) {
  if (!env_.has_faults() || !std::any_of(batches.begin(), batches.end(), is_rare)) {
    return;
  }
  if (env_.weather.rate(Fault::failed_sync) > 0 && env_.prng.chance(failed_when_rare)) {
    fail_next_write(env_.prng.chance(0.5) ? FailedWrite::is_kept : FailedWrite::is_lost);
  }
  if (env_.weather.rate(Fault::full_disk) > 0 && env_.prng.chance(failed_when_rare)) {
    fill_disk(env_.around(env_.weather.sync_median));
  }
  if (env_.weather.rate(Fault::crash_after_write) > 0 && env_.prng.chance(failed_when_rare)) {
    is_ending_ = true;
  }
}

Result<void> CoordinatorHost::write(std::span<const CoordinatorBatch> batches) {
  fail_if_rare(batches);
  std::vector<CoordinatorBatch> torn;
  if (planted(Bug::torn_batch) && failure_) {
    store_.crash();  // It takes a part, and does not say that it failed.
    torn.assign(batches.begin(), batches.end());
    torn.back().entries.clear();
    torn.back().head.reset();
    batches = torn;
  }
  const bool is_full = env_.time.now() < full_until_;
  const auto done =
      is_full ? Result<void>(fail(Errc::io, "the disk is full")) : store_.persist(batches);
  if (done || (!is_full && failure_ == FailedWrite::is_kept)) {
    if (older_) {
      std::exchange(older_, std::nullopt)->done(true);
    }
    for (const CoordinatorBatch& batch : batches) {
      env_.auditor.durable(batch);
      for (const OwnerRow& owner : batch.owners) {
        kept_owners_.insert(owner.worker);
      }
    }
  }
  if (!done && !planted(Bug::failed_sync_ignored)) {
    failed(batches, done.error());
    return done;
  }
  if (!done) {
    store_.crash();  // It may be written again.
    failure_.reset();
  }
  if (planted(Bug::early_reply)) {
    return {};
  }
  unreported_.insert(unreported_.end(), batches.begin(), batches.end());
  if (env_.strikes(Fault::crash_after_write)) {
    is_ending_ = true;
  }
  return {};
}

void CoordinatorHost::failed(std::span<const CoordinatorBatch> batches, const Error& error) {
  if (error.code != Errc::io) {
    env_.time.violate(Rule::acknowledged_kept, "coordinator: store: " + error.message);
  }
  const WriteFault fault = env_.time.now() < full_until_      ? WriteFault::disk_full
                           : failure_ == FailedWrite::is_kept ? WriteFault::failed_kept
                                                              : WriteFault::failed_lost;
  for (const CoordinatorBatch& batch : batches) {
    env_.coverage.write(batch, fault);
  }
  is_ending_ = true;
}

/// The brain hears of it a little later: a crash may come in between.
void CoordinatorHost::persisted(BatchNumber last) {
  if (planted(Bug::early_reply)) {
    return;
  }
  later(env_.around(std::chrono::microseconds(50)), [this, last] {
    std::erase_if(unreported_, [last](const auto& batch) { return batch.number <= last; });
    step(Persisted{last});
  });
}

}  // namespace forerun::simulation
