#pragma once

#include <functional>
#include <memory>
#include <string>

#include "files/replay_record.hpp"
#include "node/executors/executor.hpp"

namespace forerun {

/// A task that was run again, and its run ended by its own doing.
struct ReplayedRun {
  std::string run_id;
  std::string task;
  std::string input;  ///< Canonical JSON.
};

struct ReplaySettings {
  std::string plant_task;  ///< This task's outputs are changed, so that a comparison must see it.
  double speedup = 0;      ///< Divides recorded latencies; 0: answers as recorded come at once.
  std::function<bool(const Task&)> can_run;  ///< What the real executor has all it needs for.
  std::function<void(const ReplayedRun&)> on_executed;  ///< Thread-safe; before the run's `done`.
};

/// Whether a task's nature allows to run it again: it changes nothing and answers alike.
bool may_run_again(const Task& task);
/// Whether a program with these functions, and with or without a folder of commands, can run it.
bool can_run_here(const Task& task, const NativeFunctions& functions, bool has_commands);

/// Answers as a ReplayRecord rules: runs deterministic pure tasks on `real` (which may be null),
/// everything else as recorded.
std::unique_ptr<Executor> make_replay_executor(std::shared_ptr<const ReplayRecord> record,
                                               std::unique_ptr<Executor> real,
                                               ReplaySettings settings);

/// The same for every kind, so that no task is without an answer.
Executors make_replay_executors(const std::shared_ptr<const ReplayRecord>& record, Executors real,
                                const ReplaySettings& settings);

}  // namespace forerun
