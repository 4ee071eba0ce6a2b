#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "node/executors/command_log.hpp"
#include "node/executors/envelope.hpp"
#include "node/executors/exec_inbox.hpp"
#include "node/executors/process_table.hpp"
#include "node/executors/resident_lines.hpp"
#include "node/executors/resident_pool.hpp"
#include "node/executors/sandbox.hpp"

namespace forerun {
namespace {

using Time = RunClock::time_point;

constexpr std::size_t shown_command_max = 80;  ///< Of a resident's, in the log.
constexpr int signalled_status = 128;          ///< A sandbox's exit code for signal 0.

std::string with_last_error(std::string cause, std::string_view errors) {
  return errors.empty() ? cause : std::move(cause) + ": " + std::string(errors);
}

std::string cause_of_signal(int number) {
  const std::string cause = "killed by signal " + std::to_string(number);
  return number == SIGXCPU   ? cause + " (the limit cpu_s)"
         : number == SIGXFSZ ? cause + " (the limit file_mb)"
                             : cause;
}

/// Why a command ended, when it did not end well. `is_lost`: by no doing of its own.
struct BadEnd {
  std::string cause;
  bool is_lost = false;
};

std::optional<BadEnd> bad_end_of(const ProcessEnd& end, bool is_sandboxed) {
  if (!end.status) {
    return BadEnd{"exec: exit status taken by another part of the program", true};
  }
  const auto [by_signal, number] = *end.status;
  if (!by_signal && number == 0) {
    return std::nullopt;
  }
  const std::string& error = end.last_error;
  if (end.memory_kill != MemoryKill::none) {
    const bool is_own = end.memory_kill == MemoryKill::own_limit;
    return BadEnd{with_last_error(cause_of_signal(SIGKILL) +
                                      (is_own ? " (the limits memory_mb and scratch_mb)"
                                              : " (out of memory: not the task's own limits, but "
                                                "one above them, or the machine's memory)"),
                                  error),
                  !is_own};
  }
  if (is_sandboxed && !by_signal) {
    constexpr std::string_view not_found = "bwrap: execvp ";
    if (error.starts_with(not_found)) {
      return BadEnd{"cannot start " + error.substr(not_found.size()), false};
    }
    if (error.starts_with("bwrap: ") || error.starts_with("forerun-sandbox: ")) {
      return BadEnd{"sandbox: " + error, true};
    }
    if (number > signalled_status && number < signalled_status + NSIG) {
      return BadEnd{with_last_error(cause_of_signal(number - signalled_status), error), false};
    }
  }
  return BadEnd{
      with_last_error(by_signal ? cause_of_signal(number) : "exit code " + std::to_string(number),
                      error),
      false};
}

/// The thread of the executor. Owns every process; only the inbox is shared.
class ExecLoop final : public ProcessListener {
public:
  ExecLoop(const ExecSettings& settings, ExecInbox& inbox)
      : settings_(settings),
        inbox_(inbox),
        processes_(*this, settings.kill_after, settings.use_pidfd, settings.cgroups),
        residents_(ResidentSettings{.per_program = settings.residents}) {
    const char* const path = std::getenv("PATH");
    path_ = path != nullptr ? path : sandbox_path;
    std::error_code problem;
    folder_ = std::filesystem::absolute(settings_.folder, problem);
    if (problem || folder_.empty()) {
      folder_ = "/";
    }
    processes_.watch_wake(inbox_.wake_descriptor());
  }

  /// Returns once the inbox is closed and every run has been reported.
  void run() {
    while (!is_closing_ || !processes_.is_empty()) {
      processes_.turn(wake_at_.value_or(Time::max()));
      handle_inbox();
      if (wake_at_ && *wake_at_ <= RunClock::now()) {
        perform(residents_.time_passed(RunClock::now()));
      }
    }
  }

  // ---- ProcessListener

  void on_output(ProcessNumber process, std::string_view text) override {
    if (const auto at = commands_.find(process); at != commands_.end()) {
      take_output(process, at->second, text);
    } else if (const auto resident = resident_of_.find(process); resident != resident_of_.end()) {
      take_lines(process, resident->second, text);
    }
  }

  void on_errors(ProcessNumber process, std::string_view text) override {
    log(log_.take(RunClock::now(), process, name_of(process), text));
  }

  // A resident that closes a pipe is ending, and its end tells more; or else it is no good. A
  // command that runs once need not read its input, and may work on after its output.
  void on_output_closed(ProcessNumber process) override { is_closed(process, "its stdout"); }
  void on_input_closed(ProcessNumber process) override { is_closed(process, "its stdin"); }

  void on_end(ProcessNumber process, const ProcessEnd& end) override {
    log(log_.closed(RunClock::now(), process, name_of(process)));
    if (const auto at = commands_.find(process); at != commands_.end()) {
      Command command = std::move(at->second);
      commands_.erase(at);
      process_of_.erase(command.start.id);
      RunEnded ended = ending_of(command, end);
      ended.dead_handles = end.dead_handles;
      report(std::move(command.start), std::move(ended));
    } else if (const auto resident = resident_of_.find(process); resident != resident_of_.end()) {
      resident_ended(process, resident->second, end);
    }
  }

private:
  /// A command that runs once.
  struct Command {
    ExecStart start;
    std::string output{};
    bool is_stopped = false;
    std::optional<std::string> failure{};  ///< Found while it ran.
  };
  struct Resident {
    ProcessNumber process = 0;
    Task task;
    std::string unread{};          ///< The beginning of a line.
    const char* closed = nullptr;  ///< The pipe that it closed.
  };

  // ---- log

  std::string name_of(ProcessNumber process) const {
    if (const auto at = commands_.find(process); at != commands_.end()) {
      return "task " + at->second.start.run.task.name;
    }
    const auto resident = resident_of_.find(process);
    if (resident == resident_of_.end()) {
      return "command";
    }
    // Which of its tasks it runs is not said on stderr.
    std::string name = "resident";
    for (const std::string& word : residents_by_number_.at(resident->second).task.command) {
      name += " " + word;
    }
    return name.size() <= shown_command_max ? name : name.substr(0, shown_command_max) + "…";
  }

  void log(const std::vector<std::string>& lines) const {
    for (const std::string& line : lines) {
      if (settings_.log) {
        settings_.log(line);
      }
    }
  }

  // ---- inbox

  void handle_inbox() {
    ExecInbox::Content content = inbox_.take();
    if (content.prepared && !is_closing_) {
      perform(residents_.prepare(RunClock::now(), *content.prepared, run_tenant_default));
    }
    is_closing_ = is_closing_ || content.is_closed;
    // A run whose stop came with its start costs no process.
    std::sort(content.stops.begin(), content.stops.end());
    for (ExecStart& start : content.starts) {
      const bool is_stopped =
          is_closing_ || std::binary_search(content.stops.begin(), content.stops.end(), start.id);
      begin(std::move(start), is_stopped);
    }
    for (const std::uint64_t id : content.stops) {
      stop(id);
    }
    if (content.is_closed && !has_stopped_all_) {
      has_stopped_all_ = true;
      stop_all();
    }
  }

  void stop_all() {
    std::vector<std::uint64_t> runs;
    for (const auto& [id, process] : process_of_) {
      runs.push_back(id);
    }
    for (const auto& [id, start] : resident_runs_) {
      runs.push_back(id);
    }
    for (const std::uint64_t id : runs) {
      stop(id);
    }
    for (const auto& [process, number] : resident_of_) {
      processes_.kill(process);
    }
  }

  void begin(ExecStart start, bool is_stopped) {
    const Task& task = start.run.task;
    if (is_stopped) {
      report(std::move(start),
             ended_without_output(Ending::cancelled, "stopped before it started"));
    } else if (start.is_refused) {
      report(std::move(start),
             ended_without_output(Ending::lost, "exec: " + std::to_string(exec_runs_max) +
                                                    " commands are running, which is the limit"));
    } else if (task.command.empty()) {
      report(std::move(start),
             ended_without_output(Ending::failed, "task " + task.name + ": no command"));
    } else if (task.exec.resident) {
      const std::uint64_t id = start.id;
      Run run = start.run;
      const std::string tenant = run.tenant;
      resident_runs_.emplace(id, std::move(start));
      perform(residents_.call(RunClock::now(), id, std::move(run), tenant));
    } else {
      begin_command(std::move(start));
    }
  }

  void begin_command(ExecStart start) {
    const auto process = start_process(start.run.task, start.run.outside_key);
    if (!process) {
      const Error& error = process.error();
      report(std::move(start),
             ended_without_output(error.code == Errc::refused ? Ending::lost : Ending::failed,
                                  error.message));
      return;
    }
    const std::uint64_t id = start.id;
    std::string input = text_for(start.run);
    commands_.emplace(*process, Command{.start = std::move(start)});
    process_of_.emplace(id, *process);
    processes_.send(*process, std::move(input));
    processes_.finish_input(*process);
  }

  Result<ProcessNumber> start_process(const Task& task, const std::string& outside_key) {
    if (!task.sandbox) {
      CommandLine line;
      line.words = task.command;
      line.folder = work_folder(task, folder_).string();
      line.environment = command_environment(task, path_, folder_.string(), outside_key);
      return processes_.start(line);
    }
    static const Sandbox none;
    const Sandbox& sandbox = settings_.sandbox ? *settings_.sandbox : none;
    const auto command = sandbox.command(task, folder_, outside_key);
    if (!command) {
      return tl::unexpected<Error>(command.error());
    }
    return processes_.start(command->line, cgroup_limits(task));
  }

  void stop(std::uint64_t id) {
    if (resident_runs_.contains(id)) {
      perform(residents_.cancel(RunClock::now(), id));
    } else if (const auto at = process_of_.find(id); at != process_of_.end()) {
      Command& command = commands_.at(at->second);
      command.is_stopped = true;
      // What a sandboxed command leaves half done vanishes with it.
      if (command.start.run.task.sandbox) {
        processes_.kill(at->second);
      } else {
        processes_.terminate(at->second);
      }
    }
  }

  // ---- commands that run once

  std::size_t output_bytes(const Task& task) const {
    return std::min<std::size_t>(settings_.output_bytes,
                                 std::size_t{task.exec.limits.output_kb} << 10U);
  }

  void take_output(ProcessNumber process, Command& command, std::string_view text) {
    const std::size_t most = output_bytes(command.start.run.task);
    if (command.output.size() + text.size() <= most) {
      command.output += text;
      return;
    }
    if (!command.failure) {
      command.failure = "output larger than " + std::to_string(most) + " bytes";
    }
    processes_.stop_reading(process);
    processes_.kill(process);
  }

  RunEnded ending_of(const Command& command, const ProcessEnd& end) const {
    const Task& task = command.start.run.task;
    if (command.is_stopped) {
      return ended_without_output(Ending::cancelled, "stopped");
    }
    if (command.failure) {
      return ended_without_output(Ending::failed, *command.failure);
    }
    if (const auto bad = bad_end_of(end, task.sandbox)) {
      return ended_without_output(bad->is_lost ? Ending::lost : Ending::failed, bad->cause);
    }
    auto ended = ended_with(task, command.output, output_bytes(task));
    return ended ? std::move(*ended)
                 : ended_without_output(Ending::failed,
                                        with_last_error(ended.error().message, end.last_error));
  }

  void report(ExecStart start, RunEnded ended) {
    ended.latency = run_time_since(start.started);
    inbox_.ended(start.id);
    start.done(std::move(ended));
  }

  // ---- residents

  void is_closed(ProcessNumber process, const char* pipe) {
    if (const auto at = resident_of_.find(process); at != resident_of_.end()) {
      residents_by_number_.at(at->second).closed = pipe;
      processes_.expect_end(process);
    }
  }

  /// Does what the pool says. What comes of that is another turn of the pool's, after this one.
  void perform(ResidentPool::Output output) {
    todo_.push_back(std::move(output));
    if (is_performing_) {
      return;
    }
    is_performing_ = true;
    while (!todo_.empty()) {
      const ResidentPool::Output next = std::move(todo_.front());
      todo_.pop_front();
      perform_one(next);
    }
    is_performing_ = false;
  }

  void perform_one(const ResidentPool::Output& output) {
    wake_at_ = output.wake_at;
    for (const ResidentPool::ProcessNumber number : output.kill) {
      if (const auto at = residents_by_number_.find(number); at != residents_by_number_.end()) {
        processes_.kill(at->second.process);
      }
    }
    for (const ResidentPool::Start& start : output.start) {
      start_resident(start);
    }
    for (const ResidentPool::Send& send : output.send) {
      if (const auto at = residents_by_number_.find(send.process);
          at != residents_by_number_.end()) {
        processes_.send(at->second.process, send.line);
      }
    }
    for (const ResidentPool::Ended& end : output.ended) {
      const auto at = resident_runs_.find(end.call);
      FORERUN_ASSERT(at != resident_runs_.end());
      ExecStart start = std::move(at->second);
      resident_runs_.erase(at);
      report(std::move(start), end.ended);
    }
  }

  void start_resident(const ResidentPool::Start& start) {
    if (is_closing_) {
      perform(residents_.gone(RunClock::now(), start.process, "the node is ending", true, 0));
      return;
    }
    const auto process = start_process(start.task, "");
    if (!process) {
      perform(residents_.gone(RunClock::now(), start.process, process.error().message,
                              process.error().code == Errc::refused, 0));
      return;
    }
    residents_by_number_.emplace(start.process, Resident{.process = *process, .task = start.task});
    resident_of_.emplace(*process, start.process);
  }

  void take_lines(ProcessNumber process, ResidentPool::ProcessNumber number,
                  std::string_view text) {
    Resident& resident = residents_by_number_.at(number);
    const std::size_t most = output_bytes(resident.task) + resident_line_extra;
    resident.unread += text;
    std::size_t begin = 0;
    for (std::size_t end = resident.unread.find('\n'); end != std::string::npos;
         end = resident.unread.find('\n', begin)) {
      const std::string line = resident.unread.substr(begin, end - begin);
      begin = end + 1;
      perform(line.size() > most ? residents_.broken(RunClock::now(), number, too_long(most))
                                 : residents_.line(RunClock::now(), number, line));
    }
    resident.unread.erase(0, begin);
    if (resident.unread.size() > most) {
      resident.unread.clear();
      processes_.stop_reading(process);
      perform(residents_.broken(RunClock::now(), number, too_long(most)));
    }
  }

  static std::string too_long(std::size_t most) {
    return "answer: a line larger than " + std::to_string(most) + " bytes";
  }

  void resident_ended(ProcessNumber process, ResidentPool::ProcessNumber number,
                      const ProcessEnd& end) {
    const Resident resident = std::move(residents_by_number_.at(number));
    residents_by_number_.erase(number);
    resident_of_.erase(process);
    const auto bad = bad_end_of(end, resident.task.sandbox);
    const bool was_killed = end.status && end.status->by_signal && end.status->number == SIGKILL;
    const std::string cause =
        resident.closed != nullptr && was_killed
            ? with_last_error(std::string("closed ") + resident.closed, end.last_error)
        : bad ? bad->cause
              : with_last_error("ended with exit code 0", end.last_error);
    perform(residents_.gone(RunClock::now(), number, cause, bad && bad->is_lost, end.dead_handles));
  }

  const ExecSettings settings_;
  ExecInbox& inbox_;
  std::string path_;
  std::filesystem::path folder_;
  ProcessTable processes_;
  CommandLog log_;
  std::map<ProcessNumber, Command> commands_;
  std::map<std::uint64_t, ProcessNumber> process_of_;  ///< By run.
  ResidentPool residents_;
  std::map<ResidentPool::ProcessNumber, Resident> residents_by_number_;
  std::map<ProcessNumber, ResidentPool::ProcessNumber> resident_of_;
  std::map<std::uint64_t, ExecStart> resident_runs_;
  std::deque<ResidentPool::Output> todo_;
  std::optional<Time> wake_at_;
  bool is_performing_ = false;
  bool is_closing_ = false;
  bool has_stopped_all_ = false;
};

class ExecTask final : public RunningTask {
public:
  ExecTask(std::shared_ptr<ExecInbox> inbox, std::uint64_t id)
      : inbox_(std::move(inbox)), id_(id) {}
  ~ExecTask() override { inbox_->stop(id_); }
  void stop() override { inbox_->stop(id_); }

private:
  std::shared_ptr<ExecInbox> inbox_;
  std::uint64_t id_;
};

class ExecExecutor final : public Executor {
public:
  explicit ExecExecutor(const ExecSettings& settings) : inbox_(std::make_shared<ExecInbox>()) {
    // The thread inherits the mask: signals are the program's business, and a command that closed
    // its input must not raise SIGPIPE here.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::jthread([settings, inbox = inbox_] {
      const auto loop = std::make_unique<ExecLoop>(settings, *inbox);
      loop->run();
    });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~ExecExecutor() override { inbox_->close(); }

  std::unique_ptr<RunningTask> start(Run run, RunDone done) override {
    return std::make_unique<ExecTask>(inbox_, inbox_->start(std::move(run), std::move(done)));
  }

  void prepare(const Catalog& catalog) override {
    std::vector<Task> residents;
    for (const auto& [name, task] : catalog.tasks()) {
      if (task.executor == ExecutorKind::exec && task.exec.resident) {
        residents.push_back(task);
      }
    }
    inbox_->prepare(std::move(residents));
  }

private:
  std::shared_ptr<ExecInbox> inbox_;
  std::jthread thread_;  ///< Last: joined before the rest goes.
};

}  // namespace

std::unique_ptr<Executor> make_exec_executor(const ExecSettings& settings) {
  return std::make_unique<ExecExecutor>(settings);
}

}  // namespace forerun
