#include "node/executors/replay_executor.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/assert.hpp"
#include "node/executors/outcome.hpp"
#include "node/executors/timed_executor.hpp"

namespace forerun {
namespace {

/// An output that no honest run of a task gives.
std::string changed_output(const std::string& output) {
  auto value = json::parse(output);
  FORERUN_ASSERT(value.has_value());
  json::Object changed;
  if (value->object() != nullptr) {
    changed = std::move(*value->object());
    changed.set("forerun_planted", true);  // Beside the rest: a race's conditions still hold.
  } else {
    changed.set("forerun_planted", std::move(*value));
  }
  return json::canonical(changed);
}

class ReplayExecutor final : public Executor {
public:
  ReplayExecutor(std::shared_ptr<const ReplayRecord> record, std::unique_ptr<Executor> real,
                 ReplaySettings settings)
      : record_(std::move(record)),
        settings_(std::move(settings)),
        real_(std::move(real)),
        recorded_(make_timed_executor([this](const Run& run) { return as_recorded(run); })) {}

  std::unique_ptr<RunningTask> start(Run run, RunDone done) override {
    if (!run.world) {
      done(ended_without_output(Ending::failed, "replay: a session without its run ID as world"));
      return nullptr;
    }
    const ReplayRecord::Ruling ruling = rule(run);
    const std::string task = run.task.name;
    if (task == settings_.plant_task) {
      done = [done = std::move(done)](RunEnded ended) {
        if (ended.ending == Ending::returned) {
          ended.output = changed_output(ended.output);
        }
        done(std::move(ended));
      };
    }
    switch (ruling.how) {
      case ReplayRecord::Ruling::How::run:
        return run_again(std::move(run), std::move(done));
      case ReplayRecord::Ruling::How::lost:
        done(ended_without_output(Ending::lost, ruling.text));
        return nullptr;
      case ReplayRecord::Ruling::How::returned:
      case ReplayRecord::Ruling::How::failed:
        break;
    }
    return recorded_->start(std::move(run), with_latency(std::move(done), ruling.latency));
  }

private:
  ReplayRecord::Ruling rule(const Run& run) const {
    const bool can_run = real_ != nullptr && settings_.can_run && settings_.can_run(run.task);
    return record_->ruling(run.task, run.call, *run.world, can_run);
  }

  /// The recorded latency is what the run took, however soon its answer comes: else nothing would
  /// pay for speculation, which is budgeted by the time of committed work.
  static RunDone with_latency(RunDone done, Duration latency) {
    return [done = std::move(done), latency](RunEnded ended) {
      ended.latency = std::max(ended.latency, latency);
      done(std::move(ended));
    };
  }

  std::unique_ptr<RunningTask> run_again(Run run, RunDone done) {
    // The one thing that must never happen here is that a task changes the world.
    FORERUN_ASSERT(run.task.effect == Effect::pure && real_ != nullptr);
    if (settings_.on_executed) {
      ReplayedRun ran{run.world->session, run.task.name, std::string(run.call.canonical_input())};
      done = [done = std::move(done), ran = std::move(ran),
              note = settings_.on_executed](RunEnded ended) {
        if (ended.ending == Ending::returned || ended.ending == Ending::failed) {
          note(ran);
        }
        done(std::move(ended));
      };
    }
    run.world.reset();  // A task never learns where it stands.
    return real_->start(std::move(run), std::move(done));
  }

  Result<TimedAnswer> as_recorded(const Run& run) const {
    ReplayRecord::Ruling ruling = rule(run);
    if (ruling.how != ReplayRecord::Ruling::How::returned) {
      return fail(Errc::invalid, std::move(ruling.text));
    }
    const double latency =
        settings_.speedup > 0 ? static_cast<double>(ruling.latency.count()) / settings_.speedup : 0;
    return TimedAnswer{std::move(ruling.text), Duration(std::llround(latency)),
                       std::move(ruling.writes), std::move(ruling.effects)};
  }

  std::shared_ptr<const ReplayRecord> record_;
  ReplaySettings settings_;
  std::unique_ptr<Executor> real_;
  std::unique_ptr<Executor> recorded_;
};

}  // namespace

bool may_run_again(const Task& task) {
  return task.effect == Effect::pure && task.deterministic;
}

bool can_run_here(const Task& task, const NativeFunctions& functions, bool has_commands) {
  return (task.executor == ExecutorKind::exec && has_commands) ||
         (task.executor == ExecutorKind::native && functions.contains(task.function));
}

std::unique_ptr<Executor> make_replay_executor(std::shared_ptr<const ReplayRecord> record,
                                               std::unique_ptr<Executor> real,
                                               ReplaySettings settings) {
  return std::make_unique<ReplayExecutor>(std::move(record), std::move(real), std::move(settings));
}

Executors make_replay_executors(const std::shared_ptr<const ReplayRecord>& record, Executors real,
                                const ReplaySettings& settings) {
  Executors all;
  for (const ExecutorKind kind :
       {ExecutorKind::native, ExecutorKind::exec, ExecutorKind::http, ExecutorKind::world}) {
    const auto at = real.find(kind);
    all.emplace(kind, make_replay_executor(
                          record, at == real.end() ? nullptr : std::move(at->second), settings));
  }
  return all;
}

}  // namespace forerun
