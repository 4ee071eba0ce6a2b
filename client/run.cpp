#include "client/run.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "demo/driver.hpp"

namespace forerun {
namespace {

constexpr Duration pause_max = std::chrono::milliseconds(100);  ///< Between two looks for a stop.

class Run {
public:
  Run(const std::vector<TraceSession>& sessions, const RunSettings& settings)
      : sessions_(sessions), settings_(settings), ran_(sessions.size()) {}

  /// One of the sessions after another, until none is left.
  void work(SessionClient& client) {
    while (const auto index = open_next(client)) {
      run(sessions_[*index], ran_[*index], client);
    }
  }

  RunReport take_report() {
    RunReport report;
    report.compares = settings_.compares;
    report.is_stopped = is_stopped();
    std::move(ran_.begin(), ran_.begin() + static_cast<std::ptrdiff_t>(next_),
              std::back_inserter(report.sessions));
    return report;
  }

private:
  bool is_stopped() const { return settings_.is_stopped && settings_.is_stopped(); }

  /// Opened one after another, in the file's order.
  std::optional<std::size_t> open_next(SessionClient& client) {
    const std::lock_guard lock(opening_);
    if (next_ == sessions_.size() || is_closed_ || is_stopped()) {
      return std::nullopt;
    }
    const std::size_t index = next_++;
    SessionToOpen request;
    request.context = sessions_[index].context;
    request.speculation = settings_.speculation;
    request.world = settings_.has_world ? sessions_[index].name : std::string();
    request.idempotency_key = settings_.key + "/" + std::to_string(index);
    ran_[index].name = sessions_[index].name;
    auto run_id = client.open(request);
    if (!run_id) {
      ran_[index].error = run_id.error();
      is_closed_ = true;
      return std::nullopt;
    }
    ran_[index].run_id = std::move(*run_id);
    return index;
  }

  void run(const TraceSession& session, RanSession& ran, SessionClient& client) {
    Instant last_answer = settings_.now();
    for (const StepGroup& group : step_groups(session)) {
      if (!think(session.steps[group.first], last_answer)) {
        break;
      }
      if (auto done = confirm(session, group, ran, client); !done) {
        ran.error = done.error();
        break;
      }
      last_answer = settings_.now();
    }
    if (auto ended = client.end(ran.run_id); !ended && !ran.error) {
      ran.error = ended.error();
    }
  }

  /// False when it was stopped meanwhile.
  bool think(const TraceStep& step, Instant last_answer) {
    const Duration think = settings_.thinks ? step.think.value_or(Duration{}) : Duration{};
    const Instant until =
        last_answer + std::chrono::duration_cast<Duration>(think / settings_.speedup);
    while (!is_stopped()) {
      const Instant now = settings_.now();
      if (now >= until) {
        return true;
      }
      settings_.pause(std::min(until - now, pause_max));
    }
    return false;
  }

  Result<void> confirm(const TraceSession& session, const StepGroup& group, RanSession& ran,
                       SessionClient& client) {
    std::vector<Call> calls;
    for (std::size_t i = group.first; i < group.last; ++i) {
      calls.push_back(session.steps[i].call);
      for (const std::string& text : session.steps[i].texts) {
        if (auto added = client.add_text(ran.run_id, text); !added) {
          return added;
        }
      }
    }
    const Instant asked = settings_.now();
    const auto results = client.confirm(ran.run_id, calls, static_cast<std::uint32_t>(group.first),
                                        settings_.key + "/" + std::to_string(group.first));
    if (!results) {
      return tl::unexpected(results.error());
    }
    FORERUN_ASSERT(results->size() == calls.size());
    const double ms = milliseconds_of(settings_.now() - asked);
    for (std::size_t i = 0; i < results->size(); ++i) {
      const TraceStep& recorded = session.steps[group.first + i];
      const StepResult& result = (*results)[i];
      RanStep step{result.step, recorded.call.task(), result.failed, result.origin,
                   ms,          result.saved_ms,      false};
      step.differs = settings_.compares && recorded.has_output &&
                     (result.failed || result.output != json::canonical(recorded.output));
      ran.steps.push_back(step);
      if (settings_.on_step) {
        const std::lock_guard lock(telling_);
        settings_.on_step(ran, step);
      }
    }
    return {};
  }

  const std::vector<TraceSession>& sessions_;
  const RunSettings& settings_;
  std::vector<RanSession> ran_;  ///< Each is written by the thread that opened it, no other.
  std::mutex opening_;
  std::size_t next_ = 0;  ///< Guarded by opening_ while threads run, as is is_closed_.
  bool is_closed_ = false;
  std::mutex telling_;
};

}  // namespace

RunReport run_sessions(const std::vector<TraceSession>& sessions, const RunSettings& given,
                       const std::function<std::unique_ptr<SessionClient>()>& make_client) {
  FORERUN_ASSERT(given.concurrency > 0 && given.concurrency <= concurrency_max);
  FORERUN_ASSERT(given.speedup > 0);
  RunSettings settings = given;
  if (!settings.now) {
    settings.now = steady_now;
  }
  if (!settings.pause) {
    settings.pause = [](Duration duration) { std::this_thread::sleep_for(duration); };
  }
  Run run(sessions, settings);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < std::min(settings.concurrency, sessions.size()); ++i) {
      threads.emplace_back([&run, &make_client] {
        const auto client = make_client();
        run.work(*client);
      });
    }
  }
  return run.take_report();
}

}  // namespace forerun
