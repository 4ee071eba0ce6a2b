#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/executors/cgroups.hpp"
#include "node/executors/child_process.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {

/// For a process to end that has closed its pipes.
inline constexpr Duration end_wait_max = std::chrono::milliseconds(100);

/// Names a process within its table; never used again.
using ProcessNumber = std::uint64_t;

/// How a process ended.
struct ProcessEnd {
  std::optional<ExitStatus> status;  ///< Empty: something else in this program took it.
  std::string last_error;            ///< The last line of its stderr.
  std::uint32_t dead_handles = 0;    ///< Of its processes, those that outlived it.
  MemoryKill memory_kill = MemoryKill::none;
};

/// Hears of processes. Called in turn() and kill(); may call the table.
class ProcessListener {
public:
  virtual ~ProcessListener() = default;
  virtual void on_output(ProcessNumber process, std::string_view text) = 0;
  virtual void on_errors(ProcessNumber process, std::string_view text) = 0;
  /// It has closed its stdout, and everything that it wrote has been given.
  virtual void on_output_closed(ProcessNumber process) = 0;
  /// It has closed its stdin before everything was written.
  virtual void on_input_closed(ProcessNumber process) = 0;
  /// Nothing is left of it, or `dead_handles` says how much. The last word about it.
  virtual void on_end(ProcessNumber process, const ProcessEnd& end) = 0;
};

/// Commands in progress, each with all that it started: their pipes, their ends, their killing.
/// One thread.
class ProcessTable {
public:
  /// `kill_after`: from SIGTERM to SIGKILL. Without `use_pidfd` it asks every 2 ms who has ended.
  /// `cgroups`: one for each command; null: none.
  ProcessTable(ProcessListener& listener, Duration kill_after, bool use_pidfd,
               std::shared_ptr<Cgroups> cgroups = {});
  ProcessTable(const ProcessTable&) = delete;
  ProcessTable& operator=(const ProcessTable&) = delete;

  /// `limits`: of its cgroup. Errors: as start_command().
  Result<ProcessNumber> start(const CommandLine& command, const CgroupLimits& limits = {});
  /// Writes `text` after all before it, as fast as the process reads.
  void send(ProcessNumber process, std::string text);
  /// Closes its stdin once everything is written.
  void finish_input(ProcessNumber process);
  /// Its output is not wanted any more.
  void stop_reading(ProcessNumber process);
  /// SIGTERM to its group, and SIGKILL `kill_after` later.
  void terminate(ProcessNumber process);
  /// It is about to end by itself; SIGKILL to its group if it does not within `end_wait_max`.
  void expect_end(ProcessNumber process);
  /// SIGKILL to its group and all of its cgroup.
  void kill(ProcessNumber process);

  /// Waits until something happens, but not beyond `until`, and handles it. Something to read at
  /// `wake` ends the wait.
  void turn(RunClock::time_point until);
  void watch_wake(int wake);
  /// True when there is none left but what the kernel does not let die.
  bool is_empty() const;

private:
  using Time = RunClock::time_point;
  struct Process {
    enum class Phase {
      running,
      terminating,  ///< SIGTERM sent, or about to end; SIGKILL follows at `next`.
      killing,      ///< SIGKILL sent; the leader has not ended yet.
      buried,       ///< Reported: dead, but the kernel still removes its namespaces.
      closing,      ///< The leader is reaped; what it left behind is going.
      abandoned,    ///< Reported with a dead handle: the kernel does not let it die.
    };
    ProcessNumber number = 0;
    Cgroup cgroup{};
    Child child;
    Phase phase = Phase::running;
    std::string unwritten{};
    bool is_input_finished = false;
    std::string error_tail{};
    std::optional<ExitStatus> status{};
    std::optional<Time> next{};  ///< When its phase must be looked at again.
    Time killed_at{};
    Time closing_since{};
    Duration look_wait{};  ///< Between looks, the next twice as long.
    bool was_looked_at = false;
    bool has_pid_namespace = false;
    pid_t first = 0;  ///< Of its PID namespace, once it is killed; 0: not known.
  };
  using Processes = std::map<ProcessNumber, Process>;
  /// What an event comes from. The number of a process and its source make the event's data.
  enum class Source : std::uint64_t { leader, input, output, errors };

  void handle(ProcessNumber number, Source source);
  void write_input(Process& process);
  std::optional<std::string_view> read_some(Descriptor& pipe);
  bool read_output(Process& process);
  bool read_errors(Process& process);
  void drain(Process& process);
  void look_for_death(Processes::iterator at);
  bool is_dead(const Process& process);
  static bool has_members(const Process& process);
  static std::size_t kill_members(Process& process);
  void leader_ended(Processes::iterator at);
  void close_down(Processes::iterator at);
  void report(Processes::iterator at, std::uint32_t dead_handles);
  void abandon(Processes::iterator at);
  void look_again(Process& process, Time when);
  void forget_time(Process& process);
  void pass_time();
  void ask_for_ended_leaders();
  int milliseconds_to_wait(Time until) const;
  void watch(int descriptor, std::uint32_t events, ProcessNumber number, Source source);
  void close(Descriptor& descriptor);

  static constexpr std::uint64_t sources = 4;
  static constexpr std::size_t read_bytes = 64U << 10U;  ///< One read, one turn of one pipe.

  ProcessListener& listener_;
  const Duration kill_after_;
  const bool use_pidfd_;
  const std::shared_ptr<Cgroups> cgroups_;  ///< Outlives the processes.
  Descriptor epoll_;
  Processes processes_;
  ProcessNumber last_number_ = 0;
  std::set<std::pair<Time, ProcessNumber>> times_;
  std::set<ProcessNumber> without_pidfd_;
  std::vector<pid_t> removed_;  ///< Of reported processes: whose namespaces the kernel removes.
  std::array<char, read_bytes> buffer_{};
};

}  // namespace forerun
