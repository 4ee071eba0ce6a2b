#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "base/assert.hpp"
#include "node/executors/child_process.hpp"
#include "node/executors/envelope.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {
namespace {

using Time = RunClock::time_point;

constexpr std::size_t exec_runs_max = 1024;     ///< Started and not ended; more are refused.
constexpr std::size_t read_bytes = 64U << 10U;  ///< One read, and one turn of one pipe.
constexpr std::size_t drain_reads_max = 32;     ///< Reads of one pipe once its command ended.
constexpr std::size_t error_tail_bytes = 4096;  ///< Kept of stderr.
constexpr int events_per_turn = 64;
constexpr Duration poll_interval = std::chrono::milliseconds(2);  ///< Where there are no pidfds.
// Once a leader has ended: looks at what is left of its group, each twice as late as the last.
constexpr Duration look_first = std::chrono::microseconds(500);
constexpr Duration look_interval_max = std::chrono::milliseconds(10);
constexpr Duration kill_wait_max = std::chrono::seconds(2);  ///< For what was killed to end.
/// For a pipe to close that no known process holds.
constexpr Duration escape_wait_max = std::chrono::milliseconds(50);

struct StartCommand {
  std::uint64_t id = 0;
  Run run;
  RunDone done;
  Time started;
  bool is_refused = false;
};

/// How other threads reach the executor's thread. Outlives the executor while handles refer to it.
class Inbox {
public:
  Inbox() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { FORERUN_ASSERT(wake_.is_open()); }

  std::uint64_t start(Run run, RunDone done) {
    std::uint64_t id = 0;
    {
      const std::lock_guard lock(mutex_);
      FORERUN_ASSERT(!is_closed_);
      id = ++last_id_;
      const bool is_refused = open_.size() >= exec_runs_max;
      open_.insert(id);
      starts_.push_back({id, std::move(run), std::move(done), RunClock::now(), is_refused});
    }
    wake();
    return id;
  }
  void stop(std::uint64_t id) {
    {
      const std::lock_guard lock(mutex_);
      if (!open_.contains(id)) {
        return;
      }
      stops_.push_back(id);
    }
    wake();
  }
  void close() {
    {
      const std::lock_guard lock(mutex_);
      is_closed_ = true;
    }
    wake();
  }
  /// A run has ended: there is room for another, and stopping it does nothing.
  void ended(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    open_.erase(id);
  }

  struct Content {
    std::vector<StartCommand> starts;
    std::vector<std::uint64_t> stops;
    bool is_closed = false;
  };
  Content take() {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t size = ::read(wake_.get(), &count, sizeof count);
    const std::lock_guard lock(mutex_);
    return {std::exchange(starts_, {}), std::exchange(stops_, {}), is_closed_};
  }
  int wake_descriptor() const { return wake_.get(); }

private:
  void wake() {
    const std::uint64_t one = 1;
    // Fails only when the counter is full, and then the thread is awake anyway.
    [[maybe_unused]] const ssize_t size = ::write(wake_.get(), &one, sizeof one);
  }

  Descriptor wake_;
  std::mutex mutex_;
  std::vector<StartCommand> starts_;
  std::vector<std::uint64_t> stops_;
  std::set<std::uint64_t> open_;
  std::uint64_t last_id_ = 0;
  bool is_closed_ = false;
};

/// One command from its start until its group is gone.
struct ExecRun {
  enum class Phase {
    running,
    terminating,  ///< SIGTERM sent; SIGKILL follows at `next`.
    killing,      ///< SIGKILL sent; the leader has not ended yet.
    closing,      ///< The leader is reaped; what it left behind is going.
    abandoned,    ///< Reported with a dead handle: the kernel does not let it die.
  };
  std::uint64_t id = 0;
  Task task;
  std::string input;  ///< What it reads.
  RunDone done;
  Time started;
  Child child;
  Phase phase = Phase::running;
  std::size_t input_written = 0;
  std::string output{};
  std::string error_tail{};
  bool is_stopped = false;
  std::optional<std::string> failure{};  ///< Found while it ran.
  std::optional<ExitStatus> status{};
  std::optional<Time> next{};  ///< When its phase must be looked at again.
  Time closing_since{};
  Duration closing_wait{};
  bool was_looked_at = false;
};

std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  const std::size_t before = text.rfind('\n');
  return std::string(before == std::string_view::npos ? text : text.substr(before + 1));
}

std::string with_last_error(std::string cause, std::string_view errors) {
  const std::string line = last_line(errors);
  return line.empty() ? cause : std::move(cause) + ": " + line;
}

/// The thread of the executor. Owns every command; only the inbox is shared.
class ExecLoop {
public:
  ExecLoop(const ExecSettings& settings, Inbox& inbox) : settings_(settings), inbox_(inbox) {
    const char* const path = std::getenv("PATH");
    path_ = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
    std::error_code problem;
    home_ = std::filesystem::absolute(settings_.folder, problem).string();
    if (problem || home_.empty()) {
      home_ = "/";
    }
    FORERUN_ASSERT(epoll_.is_open());
    watch(inbox_.wake_descriptor(), EPOLLIN, 0, Source::leader);
  }

  /// Returns once the inbox is closed and every run has been reported.
  void run() {
    std::array<epoll_event, events_per_turn> events{};
    while (!is_closing_ || has_unreported()) {
      const int count =
          ::epoll_wait(epoll_.get(), events.data(), events_per_turn, milliseconds_to_wait());
      FORERUN_ASSERT(count >= 0 || errno == EINTR);
      for (int i = 0; i < count; ++i) {
        handle(events[static_cast<std::size_t>(i)]);
      }
      ask_for_ended_leaders();
      pass_time();
    }
  }

private:
  using Runs = std::map<std::uint64_t, ExecRun>;
  /// What an event comes from. The number of a run and its source make the event's data.
  enum class Source : std::uint64_t { leader, input, output, errors };
  static constexpr std::uint64_t sources = 4;

  // ---- events

  void handle(const epoll_event& event) {
    const std::uint64_t id = event.data.u64 / sources;
    if (id == 0) {
      handle_inbox();
      return;
    }
    const auto at = runs_.find(id);
    if (at == runs_.end()) {
      return;  // It ended earlier in this turn.
    }
    switch (static_cast<Source>(event.data.u64 % sources)) {
      case Source::leader:
        leader_ended(at);
        break;
      case Source::input:
        write_input(at->second);
        break;
      case Source::output:
        read_output(at->second);
        break;
      case Source::errors:
        read_errors(at->second);
        break;
    }
  }

  void handle_inbox() {
    Inbox::Content content = inbox_.take();
    is_closing_ = is_closing_ || content.is_closed;
    // A run whose stop came with its start costs no process.
    std::sort(content.stops.begin(), content.stops.end());
    for (StartCommand& start : content.starts) {
      const bool is_stopped =
          is_closing_ || std::binary_search(content.stops.begin(), content.stops.end(), start.id);
      begin(std::move(start), is_stopped);
    }
    for (const std::uint64_t id : content.stops) {
      if (const auto at = runs_.find(id); at != runs_.end()) {
        stop(at->second);
      }
    }
    if (is_closing_) {
      for (auto& [id, run] : runs_) {
        stop(run);
      }
    }
  }

  void begin(StartCommand start, bool is_stopped) {
    const Task& task = start.run.task;
    std::optional<RunEnded> ended;
    Result<Child> child = fail(Errc::invalid, "");
    if (is_stopped) {
      ended = ended_without_output(Ending::cancelled, "stopped before it started");
    } else if (start.is_refused) {
      ended = ended_without_output(Ending::lost, "exec: " + std::to_string(exec_runs_max) +
                                                     " commands are running, which is the limit");
    } else if (task.command.empty()) {
      ended = ended_without_output(Ending::failed, "task " + task.name + ": no command");
    } else if (child = start_command(command_line(start.run), settings_.use_pidfd); !child) {
      ended =
          ended_without_output(child.error().code == Errc::refused ? Ending::lost : Ending::failed,
                               child.error().message);
    }
    if (ended) {
      ended->latency = run_time_since(start.started);
      inbox_.ended(start.id);
      start.done(std::move(*ended));
      return;
    }
    const std::uint64_t id = start.id;
    ExecRun run{.id = id,
                .task = start.run.task,
                .input = text_for(start.run),
                .done = std::move(start.done),
                .started = start.started,
                .child = std::move(*child)};
    const auto at = runs_.emplace(id, std::move(run)).first;
    const Child& made = at->second.child;
    watch(made.output.get(), EPOLLIN, id, Source::output);
    watch(made.errors.get(), EPOLLIN, id, Source::errors);
    watch(made.input.get(), EPOLLOUT, id, Source::input);
    if (made.pidfd.is_open()) {
      watch(made.pidfd.get(), EPOLLIN, id, Source::leader);
    } else {
      without_pidfd_.insert(id);
    }
    write_input(at->second);
  }

  CommandLine command_line(const Run& run) const {
    CommandLine line;
    line.words = run.task.command;
    line.folder = settings_.folder;
    line.environment = {"PATH=" + path_, "HOME=" + home_, "LANG=C.UTF-8"};
    if (run.task.effect == Effect::write) {
      line.environment.push_back("FORERUN_OUTSIDE_KEY=" + run.outside_key);
    }
    return line;
  }

  // ---- pipes

  void write_input(ExecRun& run) {
    const std::string_view rest = std::string_view(run.input).substr(run.input_written);
    if (!run.child.input.is_open()) {
      return;
    }
    const ssize_t size = ::write(run.child.input.get(), rest.data(), rest.size());
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
      return;
    }
    // A command need not read its input: EPIPE is no failure.
    run.input_written += size > 0 ? static_cast<std::size_t>(size) : 0;
    if (size < 0 || static_cast<std::size_t>(size) == rest.size()) {
      close(run.child.input);
    }
  }

  /// One read. Nothing while the pipe is empty and open; an empty text closes it.
  std::optional<std::string_view> read_some(Descriptor& pipe) {
    const ssize_t size = ::read(pipe.get(), buffer_.data(), buffer_.size());
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
      return std::nullopt;
    }
    if (size <= 0) {
      close(pipe);
      return std::string_view();
    }
    return std::string_view(buffer_.data(), static_cast<std::size_t>(size));
  }

  /// Returns false when there was nothing to read.
  bool read_output(ExecRun& run) {
    if (!run.child.output.is_open()) {
      return false;
    }
    const auto text = read_some(run.child.output);
    if (!text || text->empty()) {
      return false;
    }
    if (run.output.size() + text->size() <= settings_.output_bytes) {
      run.output += *text;
      return true;
    }
    if (!run.failure) {
      run.failure = "output larger than " + std::to_string(settings_.output_bytes) + " bytes";
    }
    close(run.child.output);
    if (run.phase == ExecRun::Phase::running) {
      kill(run);
    }
    return false;
  }

  bool read_errors(ExecRun& run) {
    if (!run.child.errors.is_open()) {
      return false;
    }
    const auto text = read_some(run.child.errors);
    if (!text || text->empty()) {
      return false;
    }
    run.error_tail += *text;
    if (run.error_tail.size() > error_tail_bytes) {
      run.error_tail.erase(0, run.error_tail.size() - error_tail_bytes);
    }
    return true;
  }

  void drain(ExecRun& run) {
    for (std::size_t i = 0; i < drain_reads_max && read_output(run); ++i) {
    }
    for (std::size_t i = 0; i < drain_reads_max && read_errors(run); ++i) {
    }
  }

  // ---- ends

  void stop(ExecRun& run) {
    if (run.phase != ExecRun::Phase::running) {
      return;
    }
    run.is_stopped = true;
    run.phase = ExecRun::Phase::terminating;
    signal_group(run.child.pid, SIGTERM);
    look_again(run, RunClock::now() + settings_.kill_after);
  }

  void kill(ExecRun& run) {
    run.phase = ExecRun::Phase::killing;
    signal_group(run.child.pid, SIGKILL);
    look_again(run, RunClock::now() + kill_wait_max);
  }

  void leader_ended(Runs::iterator at) {
    ExecRun& run = at->second;
    // The leader is not reaped yet, so its ID still names this group and no other.
    signal_group(run.child.pid, SIGKILL);
    close(run.child.pidfd);
    without_pidfd_.erase(run.id);
    run.status = reap_leader(run.child.pid);
    if (run.phase == ExecRun::Phase::abandoned) {
      runs_.erase(at);
      return;
    }
    run.phase = ExecRun::Phase::closing;
    // All that the leader wrote is in the pipes by now.
    drain(run);
    close(run.child.input);
    run.closing_since = RunClock::now();
    run.closing_wait = look_first;
    close_down(at);
  }

  /// Reports the run once nothing of it is left, or says how much is.
  void close_down(Runs::iterator at) {
    ExecRun& run = at->second;
    drain(run);
    if (!group_has_members(run.child.pid) && !has_open_pipe(run)) {
      report(at, 0);
      return;
    }
    if (!run.was_looked_at) {
      // What was just killed is mostly gone by the next look, and that look is not cheap.
      run.was_looked_at = true;
      look_again(run, RunClock::now() + run.closing_wait);
      return;
    }
    // Members may have left the group but not the session; and the dead may lie unreaped.
    const std::vector<pid_t> members = live_members(run.child.pid);
    for (const pid_t pid : members) {
      ::kill(pid, SIGKILL);
    }
    drain(run);  // A member closed its pipes before it left the list.
    if (members.empty() && !has_open_pipe(run)) {
      report(at, 0);
      return;
    }
    const Time now = RunClock::now();
    const Time until = run.closing_since + (members.empty() ? escape_wait_max : kill_wait_max);
    if (now >= until) {
      // A pipe held by a process that left the session counts as one.
      report(at, static_cast<std::uint32_t>(std::max<std::size_t>(members.size(), 1)));
      return;
    }
    run.closing_wait = std::min(2 * run.closing_wait, look_interval_max);
    look_again(run, std::min(now + run.closing_wait, until));
  }

  static bool has_open_pipe(const ExecRun& run) {
    return run.child.output.is_open() || run.child.errors.is_open();
  }

  void report(Runs::iterator at, std::uint32_t dead_handles) {
    ExecRun& run = at->second;
    RunEnded ended = ending_of(run);
    ended.dead_handles = dead_handles;
    ended.latency = run_time_since(run.started);
    const RunDone done = std::move(run.done);
    const std::uint64_t id = run.id;
    forget_time(run);
    if (run.phase == ExecRun::Phase::abandoned) {
      run.done = nullptr;
    } else {
      close(run.child.output);
      close(run.child.errors);
      runs_.erase(at);
    }
    inbox_.ended(id);
    done(std::move(ended));
  }

  RunEnded ending_of(const ExecRun& run) const {
    if (run.is_stopped) {
      return ended_without_output(Ending::cancelled, "stopped");
    }
    if (run.failure) {
      return ended_without_output(Ending::failed, *run.failure);
    }
    if (!run.status) {
      return ended_without_output(Ending::lost,
                                  "exec: exit status taken by another part of the program");
    }
    if (run.status->by_signal || run.status->number != 0) {
      const std::string what = run.status->by_signal ? "killed by signal " : "exit code ";
      return ended_without_output(
          Ending::failed,
          with_last_error(what + std::to_string(run.status->number), run.error_tail));
    }
    auto ended = ended_with(run.task, run.output, settings_.output_bytes);
    return ended ? std::move(*ended)
                 : ended_without_output(Ending::failed,
                                        with_last_error(ended.error().message, run.error_tail));
  }

  // ---- time

  void look_again(ExecRun& run, Time when) {
    forget_time(run);
    run.next = when;
    times_.emplace(when, run.id);
  }

  void forget_time(ExecRun& run) {
    if (run.next) {
      times_.erase({*run.next, run.id});
      run.next.reset();
    }
  }

  void pass_time() {
    const Time now = RunClock::now();
    while (!times_.empty() && times_.begin()->first <= now) {
      const auto at = runs_.find(times_.begin()->second);
      FORERUN_ASSERT(at != runs_.end());
      ExecRun& run = at->second;
      forget_time(run);
      switch (run.phase) {
        case ExecRun::Phase::terminating:
          kill(run);
          break;
        case ExecRun::Phase::killing:
          abandon(at);
          break;
        case ExecRun::Phase::closing:
          close_down(at);
          break;
        case ExecRun::Phase::running:
        case ExecRun::Phase::abandoned:
          break;
      }
    }
  }

  /// SIGKILL was sent long ago and the leader lives: stuck in the kernel. Its slot must not be.
  void abandon(Runs::iterator at) {
    ExecRun& run = at->second;
    run.phase = ExecRun::Phase::abandoned;
    close(run.child.input);
    close(run.child.output);
    close(run.child.errors);
    const std::size_t alive = live_members(run.child.pid).size();
    report(at, static_cast<std::uint32_t>(std::max<std::size_t>(alive, 1)));
  }

  void ask_for_ended_leaders() {
    const std::set<std::uint64_t> ids = without_pidfd_;
    for (const std::uint64_t id : ids) {
      const auto at = runs_.find(id);
      FORERUN_ASSERT(at != runs_.end());
      if (leader_has_ended(at->second.child.pid)) {
        leader_ended(at);
      }
    }
  }

  int milliseconds_to_wait() const {
    Duration wait = std::chrono::hours(1);
    if (!times_.empty()) {
      const auto left = times_.begin()->first - RunClock::now();
      wait = std::max(Duration::zero(), std::chrono::ceil<Duration>(left));
    }
    if (!without_pidfd_.empty()) {
      wait = std::min(wait, poll_interval);
    }
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count());
  }

  bool has_unreported() const {
    return std::any_of(runs_.begin(), runs_.end(), [](const auto& entry) {
      return entry.second.phase != ExecRun::Phase::abandoned;
    });
  }

  // ---- descriptors

  void watch(int descriptor, std::uint32_t events, std::uint64_t id, Source source) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id * sources + static_cast<std::uint64_t>(source);
    FORERUN_ASSERT(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0);
  }

  /// A process that is just being spawned by another thread may hold a copy for a moment, so
  /// closing alone would not end the watch.
  void close(Descriptor& descriptor) {
    if (descriptor.is_open()) {
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor.get(), nullptr);
      descriptor.close();
    }
  }

  const ExecSettings settings_;
  Inbox& inbox_;
  std::string path_;
  std::string home_;
  Descriptor epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  Runs runs_;
  std::set<std::pair<Time, std::uint64_t>> times_;
  std::set<std::uint64_t> without_pidfd_;
  std::array<char, read_bytes> buffer_{};
  bool is_closing_ = false;
};

class ExecTask final : public RunningTask {
public:
  ExecTask(std::shared_ptr<Inbox> inbox, std::uint64_t id) : inbox_(std::move(inbox)), id_(id) {}
  ~ExecTask() override { inbox_->stop(id_); }
  void stop() override { inbox_->stop(id_); }

private:
  std::shared_ptr<Inbox> inbox_;
  std::uint64_t id_;
};

class ExecExecutor final : public Executor {
public:
  explicit ExecExecutor(const ExecSettings& settings) : inbox_(std::make_shared<Inbox>()) {
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

private:
  std::shared_ptr<Inbox> inbox_;
  std::jthread thread_;  ///< Last: joined before the rest goes.
};

}  // namespace

std::unique_ptr<Executor> make_exec_executor(const ExecSettings& settings) {
  return std::make_unique<ExecExecutor>(settings);
}

}  // namespace forerun
