#include "simulation/coordinator_host.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "coordinator/prediction_graph.hpp"
#include "coordinator/remembered_predictions.hpp"
#include "speculation/explanation.hpp"
#include "speculation/step_answer.hpp"
#include "storage/checked_recovery.hpp"
#include "storage/ledger_page.hpp"
#include "storage/past_page.hpp"

namespace forerun::simulation {
namespace {

constexpr Duration restart_min = std::chrono::milliseconds(20);
constexpr Duration restart_max = std::chrono::milliseconds(1200);
constexpr Duration adopt_wait_max = std::chrono::milliseconds(300);

/// A small cluster that speculates eagerly, so that a short run meets many decisions.
CoordinatorSettings settings_of(Environment& env) {
  CoordinatorSettings settings;
  settings.version = "simulated";
  settings.catalog = env.catalog;
  settings.admission.policy = AdmissionPolicy::bands;
  settings.admission.start_above = 0.4;
  settings.admission.idle_above = 0.2;
  settings.admission.waste_ratio_max = 3.0;
  settings.admission.kept_per_session_max = 6;
  // Tasks and races turn off and on within a short run.
  settings.usefulness.control_share = 0.25;
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
  settings.run_times.samples_min = 8;
  settings.run_times.window = 32;
  settings.run_times.look_every = 4;
  settings.hedge.share = 0.3;
  settings.run_id_block = 4;
  if (env.prng.chance(0.5)) {
    settings.adoption.wait = env.between(std::chrono::milliseconds(1), adopt_wait_max);
  }
  settings.effects.timeout = std::chrono::milliseconds(1500);
  settings.effects.retry_max = std::chrono::seconds(1);
  settings.effects.attempts_max = 40;  // None is parked: all must arrive in the end.
  settings.predictions_per_event_max = 3;
  settings.predictions_wanted = 4;
  settings.plant_skip_hazards = env.plant == Plant::skip_hazards;
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

void CoordinatorHost::later(Duration delay, std::function<void()> happen) {
  env_.time.after(delay, [this, life = life_, run = std::move(happen)] {
    if (life == life_ && is_up()) {
      run();
    }
  });
}

void CoordinatorHost::start() {
  store_.crash();
  failure_.reset();
  looks_ahead_ = false;
  ++life_;
  machine_ = std::make_unique<CoordinatorMachine>(
      settings_of(env_), key_,
      std::make_unique<RememberedPredictions>(
          std::make_unique<PredictionGraph>(predictor_settings())));
  const auto recovered =
      recover_checked(store_, "simulated", key_.public_key(),
                      [this](const StoredEntry& entry) { machine_->restore(entry); });
  if (!recovered) {
    env_.time.violate("coordinator: recovery: " + recovered.error().message);
    return;
  }
  machine_->restore(recovered->recovery);
  env_.time.note("coordinator starts with " + std::to_string(store_.size().value()) + " entries");
  network_.coordinator_is_up();
  perform(machine_->start(env_.time.now()));
}

void CoordinatorHost::crash() {
  if (!is_up()) {
    return;
  }
  env_.time.note("coordinator crashes");
  count();
  ++crashes_;
  ++life_;
  machine_.reset();
  waiting_.clear();
  is_flushing_ = false;
  armed_.reset();
  network_.coordinator_is_down();
  went_down_();
  env_.time.after(env_.between(restart_min, restart_max), [this] { start(); });
}

void CoordinatorHost::count() {
  const CoordinatorCounters& counters = machine_->counters();
  hits_ += counters.hits + counters.late_hits;
  hedges_ += counters.hedges;
  hedges_won_ += counters.hedges_won;
  for (const auto& [cause, number] : counters.discards) {
    discards_ += number;
  }
}

std::uint64_t CoordinatorHost::hits() const {
  return hits_ + (is_up() ? machine_->counters().hits + machine_->counters().late_hits : 0);
}

std::uint64_t CoordinatorHost::hedges() const {
  return hedges_ + (is_up() ? machine_->counters().hedges : 0);
}

std::uint64_t CoordinatorHost::hedges_won() const {
  return hedges_won_ + (is_up() ? machine_->counters().hedges_won : 0);
}

std::uint64_t CoordinatorHost::discards() const {
  std::uint64_t sum = discards_;
  if (is_up()) {
    for (const auto& [cause, number] : machine_->counters().discards) {
      sum += number;
    }
  }
  return sum;
}

void CoordinatorHost::send(const ClientRequest& request) {
  later(env_.around(env_.weather.link_median), [this, request] {
    env_.time.note("request " + to_string(request.id));
    step(request);
  });
}

void CoordinatorHost::leave(RequestId request) {
  later(env_.around(env_.weather.link_median), [this, request] { step(ClientLeft{request}); });
}

void CoordinatorHost::step(const CoordinatorInput& input) {
  if (is_up()) {
    perform(machine_->step(env_.time.now(), input));
  }
}

/// Carries the outputs out in their order; a crash may come between any two of them.
void CoordinatorHost::perform(CoordinatorOutput output) {
  if (output.fatal) {
    env_.time.violate("coordinator: " + output.fatal->message);
  }
  const bool ends_here = env_.strikes(env_.weather.crash_in_step);
  std::uint64_t left = ends_here ? env_.prng.below(8) : UINT64_MAX;
  const auto goes_on = [&left] { return left > 0 && left-- > 0; };
  for (const ToNode& message : output.send) {
    if (const auto* dispatch = std::get_if<Dispatch>(&message.message)) {
      env_.auditor.dispatched(*dispatch);
    }
  }
  if (output.persist && goes_on()) {
    persist(std::move(*output.persist));
  }
  for (ToNode& message : output.send) {
    if (goes_on()) {
      network_.send(message.connection, std::move(message.message));
    }
  }
  for (const ServeEntries& request : output.serve_entries) {
    later(env_.around(env_.weather.sync_median), [this, request] { serve_entries(request); });
  }
  if (output.publish && goes_on()) {
    env_.auditor.published(*output.publish);
    network_.publish(*output.publish);
  }
  for (const ClientResponse& response : output.reply) {
    if (goes_on()) {
      reply_(response);
    }
  }
  for (const ServeSession& request : output.serve_session) {
    later(env_.around(env_.weather.sync_median), [this, request] { serve_session(request); });
  }
  for (const ServeLedger& request : output.serve_ledger) {
    later(env_.around(env_.weather.sync_median), [this, request] {
      reply_(
          {request.request, read_ledger_page(store_, request.from, request.count, request.head)});
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
      step(std::move(answer));
    });
  }
  if (output.read_past) {
    later(env_.around(env_.weather.sync_median), [this, request = *output.read_past] {
      auto page = read_past(store_, request);
      if (!page) {
        env_.time.violate("coordinator: reads the past: " + page.error().message);
        return;
      }
      step(std::move(*page));
    });
  }
  for (const std::string& line : output.log) {
    env_.time.note("coordinator: " + line);
  }
  if (ends_here) {
    crash();
    return;
  }
  arm(output.wake_at);
  if (output.look_ahead && !looks_ahead_) {
    looks_ahead_ = true;
    later(env_.around(std::chrono::microseconds(100)), [this] {
      looks_ahead_ = false;
      step(LookAhead{});
    });
  }
}

void CoordinatorHost::arm(std::optional<Instant> wake) {
  if (!wake || (armed_ && *armed_ <= *wake)) {
    return;
  }
  armed_ = wake;
  env_.time.at(*wake, [this, life = life_, at = *wake] {
    if (life == life_ && is_up() && armed_ == at) {
      armed_.reset();
      step(TimePassed{});
    }
  });
}

void CoordinatorHost::persist(CoordinatorBatch batch) {
  const BatchNumber number = batch.number;
  if (env_.plant == Plant::lost_marks) {
    batch.marks.clear();
  } else if (env_.plant == Plant::lost_intent) {
    batch.intents.clear();
  } else if (env_.plant == Plant::early_reply) {
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
  const std::vector<CoordinatorBatch> batches = std::exchange(waiting_, {});
  is_flushing_ = false;
  const auto done = store_.persist(batches);
  if (done || failure_ == FailedWrite::is_kept) {
    for (const CoordinatorBatch& batch : batches) {
      env_.auditor.durable(batch);
    }
  }
  if (!done) {
    if (done.error().code != Errc::io) {
      env_.time.violate("coordinator: store: " + done.error().message);
    }
    crash();
    return;
  }
  const BatchNumber last = batches.back().number;
  if (env_.plant != Plant::early_reply) {
    later(env_.around(std::chrono::microseconds(50)), [this, last] { step(Persisted{last}); });
  }
}

void CoordinatorHost::serve_entries(const ServeEntries& request) {
  Entries entries;
  entries.first = request.from;
  const auto rows = store_.read(request.from, request.count, false);
  if (!rows) {
    env_.time.violate("coordinator: serves entries: " + rows.error().message);
    return;
  }
  for (const StoredEntry& row : *rows) {
    entries.records.push_back({row.leaf, row.call});
  }
  network_.send(request.connection, std::move(entries));
}

void CoordinatorHost::serve_session(const ServeSession& request) {
  const auto record = store_.session(request.run_id);
  if (!record || record->row.tenant != request.tenant) {
    reply_({request.request, RequestFailed{Refusal::not_found, "no such session", {}}});
    return;
  }
  if (request.explains) {
    reply_({request.request, JsonReport{explain(record->row, record->commits, record->discards)}});
    return;
  }
  reply_({request.request, session_view_of(record->row, record->commits)});
}

}  // namespace forerun::simulation
