#include "replay/drive.hpp"

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace forerun {
namespace {

class Drive {
public:
  Drive(const RecordedSessions& recorded, const ReplayDriveSettings& settings)
      : recorded_(recorded), settings_(settings) {}

  /// Takes session after session until none is left.
  void run(SessionClient& client) {
    while (const RecordedSession* session = open_next(client)) {
      std::vector<AnswerHash> answers;
      const auto done = confirm_all(client, *session, answers);
      const auto ended = client.end(to_string(session->run_id));
      const std::lock_guard lock(mutex_);
      result_.answers.emplace(session->run_id, std::move(answers));
      if (!done || !ended) {
        failed(session->run_id, done ? ended.error() : done.error());
      }
    }
  }

  ReplayDriveResult take() { return std::move(result_); }

private:
  /// One opening at a time, so that the recorded order holds.
  const RecordedSession* open_next(SessionClient& client) {
    const std::lock_guard lock(mutex_);
    while (next_ < recorded_.sessions.size() && !has_cluster_failed_ && !is_stopped()) {
      const RecordedSession& session = recorded_.sessions[next_++];
      if (session.replayable == 0) {
        continue;
      }
      SessionToOpen opening;
      opening.run_id = to_string(session.run_id);
      opening.world = opening.run_id;
      opening.state = session.opened_with;
      opening.speculation = settings_.is_speculating ? "on" : "off";
      opening.idempotency_key = "replay " + opening.run_id;
      if (const auto run_id = client.open(opening); !run_id) {
        failed(session.run_id, run_id.error());
        continue;
      }
      return &session;
    }
    return nullptr;
  }

  Result<void> confirm_all(SessionClient& client, const RecordedSession& session,
                           std::vector<AnswerHash>& answers) const {
    const std::string run_id = to_string(session.run_id);
    while (answers.size() < session.replayable) {
      if (is_stopped()) {
        return fail(Errc::refused, "stopped");
      }
      const std::size_t first = answers.size();
      const auto results =
          client.confirm(run_id, list_from(session, first), static_cast<std::uint32_t>(first),
                         run_id + "/" + std::to_string(first));
      if (!results) {
        return tl::unexpected(results.error());
      }
      for (const StepResult& result : *results) {
        answers.push_back(result.failed ? AnswerHash() : AnswerHash(sha256(result.output)));
      }
    }
    return {};
  }

  /// The step's call, and the later ones that were confirmed in one list with it.
  static std::vector<Call> list_from(const RecordedSession& session, std::size_t first) {
    std::vector<Call> calls{*session.steps[first].call};
    for (std::size_t i = first + 1; i < session.replayable && session.steps[i].is_in_list; ++i) {
      calls.push_back(*session.steps[i].call);
    }
    return calls;
  }

  bool is_stopped() const { return settings_.is_stopped && settings_.is_stopped(); }

  /// @pre mutex_ is held.
  void failed(const RunId& run_id, const Error& error) {
    result_.errors.emplace(run_id, error.message);
    has_cluster_failed_ |= error.code == Errc::io || error.code == Errc::refused;
  }

  const RecordedSessions& recorded_;
  const ReplayDriveSettings& settings_;
  std::mutex mutex_;
  std::size_t next_ = 0;  ///< Guarded by mutex_, like all below.
  bool has_cluster_failed_ = false;
  ReplayDriveResult result_;
};

}  // namespace

ReplayDriveResult drive_replay(const RecordedSessions& recorded,
                               const ReplayDriveSettings& settings,
                               const std::function<std::unique_ptr<SessionClient>()>& make_client) {
  Drive drive(recorded, settings);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < std::min(settings.concurrency, recorded.sessions.size()); ++i) {
      threads.emplace_back([&drive, client = make_client()] { drive.run(*client); });
    }
  }
  return drive.take();
}

}  // namespace forerun
