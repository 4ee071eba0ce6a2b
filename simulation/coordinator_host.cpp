#include "simulation/coordinator_host.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "coordinator/prediction_graph.hpp"
#include "coordinator/remembered_predictions.hpp"
#include "simulation/guesser.hpp"
#include "speculation/planted.hpp"
#include "storage/checked_recovery.hpp"
#include "storage/ledger_page.hpp"
#include "storage/past_page.hpp"
#include "storage/session_page.hpp"

namespace forerun::simulation {
namespace {

constexpr Duration restart_min = std::chrono::milliseconds(20);
constexpr Duration restart_max = std::chrono::milliseconds(1200);
constexpr Duration adopt_wait_max = std::chrono::milliseconds(300);
constexpr std::uint64_t outputs_before_crash_max = 8;
constexpr int chances_when_rare = 16;
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
  settings.recheck.lies_max = 1;  // No node lies, so none may be quarantined.
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
  settings.effects.attempts_max = 40;  // None is parked: all must arrive in the end.
  settings.predictions_per_event_max = 3;
  settings.predictions_wanted = 4;
  return settings;
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

void CoordinatorHost::start() {
  store_.crash();
  failure_.reset();
  looks_ahead_ = false;
  begin_life();
  machine_ = std::make_unique<CoordinatorMachine>(settings_, key_, make_predictor());
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
  perform(machine_->start(now()));
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
  end_life();
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
  env_.time.after(env_.around(env_.weather.link_median), [this, request] {
    if (!is_up()) {
      env_.coverage.request(request, RequestFault::not_arrived);
      return;
    }
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
  const Instant at = now();
  charged_at_once_ =
      std::max(charged_at_once_, (at - stepped_) * static_cast<std::int64_t>(slots_max_));
  stepped_ = at;
  CoordinatorOutput output = machine_->step(at, input);
  slots_max_ = std::max<std::uint64_t>(slots_max_, machine_->membership().total_slots());
  check_waste();
  perform(std::move(output));
}

/// What speculation wasted in this term is covered by what confirmed work took, but for the slot
/// time that passed at once between two inputs (design.md §5).
void CoordinatorHost::check_waste() {
  const CoordinatorCounters& counters = machine_->counters();
  const auto covered = Duration(static_cast<Duration::rep>(
      static_cast<double>(counters.useful.count()) * settings_.admission.waste_ratio_max));
  if (counters.wasted > covered + charged_at_once_ + Duration(1)) {
    env_.time.violate(Rule::accounted,
                      "the coordinator wasted " + std::to_string(counters.wasted.count()) +
                          " us of slot time, of at most " + std::to_string(covered.count()) +
                          " and " + std::to_string(charged_at_once_.count()) + " at once");
  }
}

/// What is seldom sent gets more chances, or a crash at it would never be seen.
bool CoordinatorHost::crashes_in(const CoordinatorOutput& output) {
  const bool is_rare =
      std::any_of(output.send.begin(), output.send.end(), [](const ToNode& message) {
        return std::holds_alternative<ConfirmBranch>(message.message) ||
               std::holds_alternative<ResendResult>(message.message) ||
               std::holds_alternative<AuditReplica>(message.message);
      });
  for (int chances = is_rare ? chances_when_rare : 1; chances > 0; --chances) {
    if (env_.strikes(Fault::crash_in_step)) {
      return true;
    }
  }
  return false;
}

/// Carries the outputs out in their order; a crash may come between any two of them.
void CoordinatorHost::perform(CoordinatorOutput output) {
  if (output.fatal) {
    env_.time.violate(Rule::acknowledged_kept, "coordinator: " + output.fatal->message);
  }
  const bool ends_here = crashes_in(output);
  std::uint64_t left = ends_here ? env_.prng.below(outputs_before_crash_max) : UINT64_MAX;
  const auto goes_on = [&left] { return left > 0 && left-- > 0; };
  for (const ToNode& message : output.send) {
    if (const auto* dispatch = std::get_if<Dispatch>(&message.message)) {
      env_.auditor.dispatched(*dispatch);
    } else if (const auto* welcome = std::get_if<Welcome>(&message.message)) {
      env_.auditor.welcomed(welcome->head);
    }
  }
  if (output.persist) {
    if (goes_on()) {
      persist(std::move(*output.persist));
    } else {
      env_.coverage.write(*output.persist, WriteFault::crash_before);
    }
  }
  for (ToNode& message : output.send) {
    if (goes_on()) {
      network_.send(message.connection, std::move(message.message));
    } else {
      env_.coverage.message(message.message, MessageFault::unsent);
    }
  }
  if (output.publish) {
    if (goes_on()) {
      env_.auditor.published(*output.publish);
      network_.publish(*output.publish);
    } else {
      env_.coverage.publication(MessageFault::unsent);
    }
  }
  for (const ClientResponse& response : output.reply) {
    if (goes_on()) {
      reply(response);
    }
  }
  serve_reads(output);
  for (const std::string& line : output.log) {
    env_.time.note("coordinator: " + line);
    if (line.starts_with("QUARANTINED")) {
      env_.time.violate(Rule::assertion, "coordinator: no node lies: " + line);
    }
  }
  if (ends_here) {
    crash();
    return;
  }
  arm(output.wake_at, [this] { step(TimePassed{}); });
  if (output.look_ahead && !looks_ahead_) {
    looks_ahead_ = true;
    later(env_.around(std::chrono::microseconds(100)), [this] {
      looks_ahead_ = false;
      step(LookAhead{});
    });
  }
}

/// What the store is read for.
void CoordinatorHost::serve_reads(CoordinatorOutput& output) {
  for (const ServeEntries& request : output.serve_entries) {
    later(env_.around(env_.weather.sync_median), [this, request] { serve_entries(request); });
  }
  for (const ServeSession& request : output.serve_session) {
    later(env_.around(env_.weather.sync_median), [this, request] {
      reply({request.request, read_session(store_, request)});
    });
  }
  for (const ServeLedger& request : output.serve_ledger) {
    later(env_.around(env_.weather.sync_median), [this, request] {
      reply({request.request, read_ledger_page(store_, request.from, request.count, request.head)});
    });
  }
  for (const ReadEntries& request : output.read_entries) {
    later(env_.around(env_.weather.sync_median), [this, request] {
      EntriesRead answer{request.audit, {}};
      for (const Seq seq : request.seqs) {
        if (auto rows = store_.read(seq, 1, true); rows && !rows->empty()) {
          answer.entries.push_back(std::move(rows->front()));
        }
      }
      step(answer);
    });
  }
  if (output.read_past) {
    later(env_.around(env_.weather.sync_median), [this, request = *output.read_past] {
      auto page = read_past(store_, request);
      if (!page) {
        env_.time.violate(Rule::assertion, "coordinator: reads the past: " + page.error().message);
        return;
      }
      step(*page);
    });
  }
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

/// All that waited becomes durable together. The brain hears of it a little later: a crash may come
/// in between.
void CoordinatorHost::flush() {
  std::vector<CoordinatorBatch> batches = std::exchange(waiting_, {});
  is_flushing_ = false;
  if (planted(Bug::torn_batch) && failure_) {
    store_.crash();  // It takes a part, and does not say that it failed.
    batches.back().entries.clear();
    batches.back().head.reset();
  }
  const bool is_full = env_.time.now() < full_until_;
  const auto done =
      is_full ? Result<void>(fail(Errc::io, "the disk is full")) : store_.persist(batches);
  if (done || (!is_full && failure_ == FailedWrite::is_kept)) {
    for (const CoordinatorBatch& batch : batches) {
      env_.auditor.durable(batch);
      for (const OwnerRow& owner : batch.owners) {
        kept_owners_.insert(owner.worker);
      }
    }
  }
  const BatchNumber last = batches.back().number;
  if (!done && !planted(Bug::failed_sync_ignored)) {
    fail_write(batches, done.error());
    return;
  }
  if (!done) {
    store_.crash();  // It may be written again.
    failure_.reset();
  }
  if (planted(Bug::early_reply)) {
    return;
  }
  std::move(batches.begin(), batches.end(), std::back_inserter(unreported_));
  if (env_.strikes(Fault::crash_after_write)) {
    crash();
    return;
  }
  later(env_.around(std::chrono::microseconds(50)), [this, last] {
    std::erase_if(unreported_, [last](const auto& batch) { return batch.number <= last; });
    step(Persisted{last});
  });
}

void CoordinatorHost::fail_write(const std::vector<CoordinatorBatch>& batches, const Error& error) {
  if (error.code != Errc::io) {
    env_.time.violate(Rule::acknowledged_kept, "coordinator: store: " + error.message);
  }
  const WriteFault fault = env_.time.now() < full_until_      ? WriteFault::disk_full
                           : failure_ == FailedWrite::is_kept ? WriteFault::failed_kept
                                                              : WriteFault::failed_lost;
  for (const CoordinatorBatch& batch : batches) {
    env_.coverage.write(batch, fault);
  }
  crash();
}

void CoordinatorHost::serve_entries(const ServeEntries& request) {
  const std::uint64_t skipped = planted(Bug::off_by_one_catch_up) && request.from.value > 0 ? 1 : 0;
  Entries entries;
  entries.first = request.from;
  const auto rows = store_.read(Seq{request.from.value + skipped}, request.count, false);
  if (!rows) {
    env_.time.violate(Rule::assertion, "coordinator: serves entries: " + rows.error().message);
    return;
  }
  for (const StoredEntry& row : *rows) {
    entries.records.push_back({row.leaf, row.call});
  }
  network_.send(request.connection, std::move(entries));
}

}  // namespace forerun::simulation
