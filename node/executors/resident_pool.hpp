#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/executors/executor.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {

struct ResidentSettings {
  std::size_t per_program = 1;      ///< Processes of one program at most: the node's slots.
  std::size_t processes_max = 256;  ///< Of all; idle ones of other programs make room.
  Duration cancel_grace = std::chrono::milliseconds(10);
  Duration backoff_first = std::chrono::milliseconds(100);
  Duration backoff_max = std::chrono::seconds(10);
  std::uint32_t ends_max = 5;  ///< In a row without an answer; then calls fail at once.
  Duration rest = std::chrono::seconds(30);  ///< Between starts after so many.
};

/// Decides which resident process answers which call, and when processes start, stop and are
/// replaced. Pure: equal inputs at equal times give equal outputs; knows no process, pipe or clock.
class ResidentPool {
public:
  using Time = RunClock::time_point;
  using CallNumber = std::uint64_t;     ///< The caller's.
  using ProcessNumber = std::uint64_t;  ///< The pool's: from 1, never used again.

  struct Start {
    ProcessNumber process = 0;
    Task task;  ///< One of those that share the program.
  };
  struct Send {
    ProcessNumber process = 0;
    std::string line;
  };
  struct Ended {
    CallNumber call = 0;
    RunEnded ended;
  };
  /// What must be done, in this order.
  struct Output {
    std::vector<ProcessNumber> kill;
    std::vector<Start> start;
    std::vector<Send> send;
    std::vector<Ended> ended;
    std::optional<Time> wake_at;  ///< Say time_passed() then.
  };

  explicit ResidentPool(const ResidentSettings& settings) : settings_(settings) {}

  /// What tasks must have in common to share processes; other tenants never do.
  static std::string program_of(const Task& task, std::string_view tenant);

  /// These may be called soon: one process a slot and program. What is not named and idle ends.
  Output prepare(Time now, const std::vector<Task>& tasks, std::string_view tenant);
  Output call(Time now, CallNumber call, Run run, std::string_view tenant);
  /// Unknown and ended calls are ignored.
  Output cancel(Time now, CallNumber call);
  Output line(Time now, ProcessNumber process, std::string_view line);
  /// It did what no resident may: `why`. It is killed, and its call fails.
  Output broken(Time now, ProcessNumber process, const std::string& why);
  /// It has ended, or could not be started; `is_lost`: by no doing of its own.
  Output gone(Time now, ProcessNumber process, const std::string& cause, bool is_lost,
              std::uint32_t dead_handles);
  Output time_passed(Time now);

private:
  struct Waiting {
    CallNumber call = 0;
    Run run;
  };
  struct Process {
    enum class Phase { idle, busy, cancelling, ending };
    std::string program;
    Phase phase = Phase::idle;
    bool has_answered = false;      ///< Or said that it is ready.
    bool was_broken = false;        ///< Killed for what it did.
    std::uint64_t last_id = 0;      ///< Of the lines sent to it.
    CallNumber call = 0;            ///< 0: none.
    Task task{};                    ///< Of the call.
    std::optional<RunEnded> end{};  ///< Of the call, once the process is gone.
    Time kill_at{};                 ///< While cancelling.
    Time since{};                   ///< When it became idle.
  };
  struct Program {
    Task task;                      ///< One of those that share it.
    std::size_t wanted = 0;         ///< Kept without calls.
    std::deque<Waiting> waiting{};  ///< Calls without a process.
    std::uint32_t ends = 0;         ///< In a row without an answer.
    std::string last_cause{};
    Time next_start{};
  };

  Output finish(Time now);
  void serve(Time now, const std::string& name, Program& program);
  void start(Time now, const std::string& name, Program& program);
  static void has_proved_itself(Process& process, Program& program);
  bool make_room();
  void give(ProcessNumber number, Process& process, Waiting waiting);
  void end_call(CallNumber call, RunEnded ended);
  void kill(ProcessNumber number, Process& process);
  std::size_t alive(const std::string& program) const;

  ResidentSettings settings_;
  std::map<std::string, Program> programs_;
  std::map<ProcessNumber, Process> processes_;
  ProcessNumber last_process_ = 0;
  Output output_;
};

}  // namespace forerun
