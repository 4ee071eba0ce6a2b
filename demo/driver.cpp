#include "demo/driver.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "speculation/client_api.hpp"

namespace forerun {

Instant steady_now() {
  return Instant(
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

namespace {

void steady_wait_until(Instant instant) {
  std::this_thread::sleep_until(std::chrono::steady_clock::time_point(instant.time_since_epoch()));
}

/// Runs one opened session to its end.
class SessionDrive {
public:
  SessionDrive(const Workload& workload, const TraceSession& session, const DriveSettings& settings,
               SessionClient& client, std::string run_id)
      : workload_(workload), session_(session), settings_(settings), client_(client) {
    run_.run_id = std::move(run_id);
  }

  SessionRun run() {
    const Instant start = settings_.now();
    Instant last_answer = start;
    for (const StepGroup& group : step_groups(session_)) {
      if (settings_.is_stopped && settings_.is_stopped()) {
        run_.error = "stopped";
        break;
      }
      if (auto done = confirm(group, last_answer); !done) {
        run_.error = done.error().message;
        break;
      }
      last_answer = settings_.now();
    }
    run_.wall = last_answer - start;
    if (auto ended = client_.end(run_.run_id); !ended && !run_.error) {
      run_.error = ended.error().message;
    }
    return std::move(run_);
  }

private:
  Result<void> confirm(const StepGroup& group, Instant last_answer) {
    std::vector<Call> calls;
    for (std::size_t i = group.first; i < group.last; ++i) {
      const TraceStep& step = session_.steps[i];
      calls.push_back(step.call);
      for (const std::string& text : step.texts) {
        if (auto added = client_.add_text(run_.run_id, text); !added) {
          return added;
        }
      }
    }
    const Duration think = session_.steps[group.first].think.value_or(Duration{});
    settings_.wait_until(last_answer +
                         std::chrono::duration_cast<Duration>(think / settings_.speedup));
    const std::string key = run_.run_id + "/" + std::to_string(group.first);
    auto results =
        client_.confirm(run_.run_id, calls, static_cast<std::uint32_t>(group.first), key);
    if (!results) {
      return tl::unexpected(results.error());
    }
    FORERUN_ASSERT(results->size() == calls.size());
    for (std::size_t i = 0; i < results->size(); ++i) {
      keep(session_.steps[group.first + i], std::move((*results)[i]));
    }
    return {};
  }

  void keep(const TraceStep& recorded, StepResult&& result) {
    StepRun step;
    step.origin = std::move(result.origin);
    step.saved_ms = result.saved_ms;
    step.decision_hash = std::move(result.decision_hash);
    step.is_wrong = workload_.is_from_world(recorded.call.task()) &&
                    (result.failed || result.output != json::canonical(recorded.output));
    run_.steps.push_back(std::move(step));
  }

  const Workload& workload_;
  const TraceSession& session_;
  const DriveSettings& settings_;
  SessionClient& client_;
  SessionRun run_;
};

/// One pass's share of the drive: its clients, kept over all blocks, and its runs.
class PassDrive {
public:
  PassDrive(Pass pass, const Workload& workload, const DriveSettings& settings,
            const MakeSessionClient& make_client)
      : pass_(pass), workload_(workload), settings_(settings), runs_(workload.sessions.size()) {
    for (std::size_t i = 0; i < settings.concurrency; ++i) {
      clients_.push_back(make_client(pass));
    }
  }

  /// Runs the sessions [first, last).
  void run_block(std::size_t first, std::size_t last) {
    next_ = first;
    last_ = last;
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < std::min(clients_.size(), last - first); ++i) {
      threads.emplace_back([this, i] { run_sessions(*clients_[i]); });
    }
  }

  const std::optional<Error>& error() const { return error_; }
  std::vector<SessionRun> take_runs() { return std::move(runs_); }

private:
  struct Opened {
    std::size_t index = 0;
    std::string run_id;
  };

  void run_sessions(SessionClient& client) {
    while (const auto opened = open_next(client)) {
      // Each thread writes the runs of the sessions that it opened, no other.
      runs_[opened->index] = SessionDrive(workload_, workload_.sessions[opened->index], settings_,
                                          client, opened->run_id)
                                 .run();
    }
  }

  /// One opening at a time, in order: the next waits for this one's reply.
  std::optional<Opened> open_next(SessionClient& client) {
    const std::lock_guard lock(opening_);
    if (next_ == last_ || error_ || (settings_.is_stopped && settings_.is_stopped())) {
      return std::nullopt;
    }
    const TraceSession& session = workload_.sessions[next_];
    SessionToOpen request;
    request.context = session.context;
    request.speculation = pass_ == Pass::on ? "on" : "off";
    request.world = session.name;
    request.idempotency_key = "demo-session-" + std::to_string(next_);
    auto run_id = client.open(request);
    if (!run_id) {
      error_ = run_id.error();
      return std::nullopt;
    }
    return Opened{next_++, std::move(*run_id)};
  }

  Pass pass_;
  const Workload& workload_;
  const DriveSettings& settings_;
  std::vector<std::unique_ptr<SessionClient>> clients_;
  std::vector<SessionRun> runs_;
  std::mutex opening_;
  std::size_t next_ = 0;  ///< Guarded by opening_, as are last_ and error_ while threads run.
  std::size_t last_ = 0;
  std::optional<Error> error_;
};

}  // namespace

std::vector<StepGroup> step_groups(const TraceSession& session) {
  std::vector<StepGroup> groups;
  for (std::size_t i = 0; i < session.steps.size(); ++i) {
    if (!groups.empty() && session.steps[i].beside_previous &&
        i - groups.back().first < calls_per_request_max) {
      groups.back().last = i + 1;
    } else {
      groups.push_back({i, i + 1});
    }
  }
  return groups;
}

Result<DriveResult> drive(const Workload& workload, const DriveSettings& given,
                          const MakeSessionClient& make_client) {
  FORERUN_ASSERT(given.concurrency > 0 && given.concurrency <= concurrency_max);
  FORERUN_ASSERT(given.block > 0 && given.speedup > 0);
  DriveSettings settings = given;
  if (!settings.now) {
    settings.now = steady_now;
  }
  if (!settings.wait_until) {
    settings.wait_until = steady_wait_until;
  }
  PassDrive off(Pass::off, workload, settings, make_client);
  PassDrive on(Pass::on, workload, settings, make_client);
  const std::size_t count = workload.sessions.size();
  for (std::size_t first = 0, block = 0; first < count; first += settings.block, ++block) {
    const std::size_t last = std::min(first + settings.block, count);
    // off on, on off, off on: neither pass always runs first.
    for (const Pass pass :
         {block % 2 == 0 ? Pass::off : Pass::on, block % 2 == 0 ? Pass::on : Pass::off}) {
      PassDrive& side = pass == Pass::off ? off : on;
      side.run_block(first, last);
      if (side.error()) {
        return tl::unexpected(*side.error());
      }
      if (settings.is_stopped && settings.is_stopped()) {
        return fail(Errc::refused, "demo: stopped");
      }
      if (settings.on_progress) {
        settings.on_progress({pass, last, count});
      }
    }
  }
  return DriveResult{{off.take_runs(), on.take_runs()}};
}

}  // namespace forerun
