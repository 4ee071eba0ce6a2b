#include "node/executors/process_table.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/assert.hpp"
#include "node/executors/outcome.hpp"

namespace forerun {
namespace {

constexpr std::size_t drain_reads_max = 32;     ///< Reads of one pipe once its command ended.
constexpr std::size_t error_tail_bytes = 4096;  ///< Kept of stderr.
constexpr int events_per_turn = 64;
constexpr Duration poll_interval = std::chrono::milliseconds(2);  ///< Where there are no pidfds.
// Once a leader has ended: looks at what is left of its group, each twice as late as the last.
constexpr Duration look_first = std::chrono::microseconds(500);
constexpr Duration look_interval_max = std::chrono::milliseconds(10);
constexpr Duration kill_wait_max = std::chrono::seconds(2);  ///< For what was killed to end.
constexpr Duration death_look_max = std::chrono::milliseconds(2);
/// Dead commands whose namespaces the kernel has not removed; beyond that it is waited for, since
/// else starts could outrun it.
constexpr std::size_t removed_max = 64;
/// For a pipe to close that no known process holds.
constexpr Duration escape_wait_max = std::chrono::milliseconds(50);

bool has_open_pipe(const Child& child) {
  return child.output.is_open() || child.errors.is_open();
}

}  // namespace

ProcessTable::ProcessTable(ProcessListener& listener, Duration kill_after, bool use_pidfd,
                           std::shared_ptr<Cgroups> cgroups)
    : listener_(listener),
      kill_after_(kill_after),
      use_pidfd_(use_pidfd),
      cgroups_(std::move(cgroups)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  FORERUN_ASSERT(epoll_.is_open());
}

Result<ProcessNumber> ProcessTable::start(const CommandLine& command, const CgroupLimits& limits) {
  Cgroup cgroup = cgroups_ ? cgroups_->take(limits) : Cgroup();
  auto child = start_command(command, use_pidfd_, cgroup.descriptor());
  if (!child) {
    return tl::unexpected<Error>(child.error());
  }
  const ProcessNumber number = ++last_number_;
  const auto at =
      processes_.emplace(number, Process{.number = number, .child = std::move(*child)}).first;
  at->second.has_pid_namespace = command.has_pid_namespace;
  if (at->second.child.is_in_cgroup) {
    at->second.cgroup = std::move(cgroup);
  }
  const Child& made = at->second.child;
  watch(made.output.get(), EPOLLIN, number, Source::output);
  watch(made.errors.get(), EPOLLIN, number, Source::errors);
  // Edge-triggered: a resident's stdin is writable for most of its life.
  watch(made.input.get(),
        static_cast<std::uint32_t>(EPOLLOUT) | static_cast<std::uint32_t>(EPOLLET), number,
        Source::input);
  if (made.pidfd.is_open()) {
    watch(made.pidfd.get(), EPOLLIN, number, Source::leader);
  } else {
    without_pidfd_.insert(number);
  }
  return number;
}

void ProcessTable::send(ProcessNumber number, std::string text) {
  if (const auto at = processes_.find(number); at != processes_.end()) {
    at->second.unwritten += text;
    write_input(at->second);
  }
}

void ProcessTable::finish_input(ProcessNumber number) {
  if (const auto at = processes_.find(number); at != processes_.end()) {
    at->second.is_input_finished = true;
    write_input(at->second);
  }
}

void ProcessTable::stop_reading(ProcessNumber number) {
  if (const auto at = processes_.find(number); at != processes_.end()) {
    close(at->second.child.output);
  }
}

void ProcessTable::terminate(ProcessNumber number) {
  const auto at = processes_.find(number);
  if (at != processes_.end() && at->second.phase == Process::Phase::running) {
    at->second.phase = Process::Phase::terminating;
    signal_group(at->second.child.pid, SIGTERM);
    look_again(at->second, RunClock::now() + kill_after_);
  }
}

void ProcessTable::expect_end(ProcessNumber number) {
  const auto at = processes_.find(number);
  if (at != processes_.end() && at->second.phase == Process::Phase::running) {
    at->second.phase = Process::Phase::terminating;
    look_again(at->second, RunClock::now() + end_wait_max);
  }
}

void ProcessTable::kill(ProcessNumber number) {
  const auto at = processes_.find(number);
  if (at == processes_.end() || (at->second.phase != Process::Phase::running &&
                                 at->second.phase != Process::Phase::terminating)) {
    return;
  }
  Process& process = at->second;
  process.phase = Process::Phase::killing;
  signal_group(process.child.pid, SIGKILL);
  process.cgroup.kill();
  process.killed_at = RunClock::now();
  if (process.has_pid_namespace) {
    process.first = first_of_namespace(process.child.pid);
  }
  process.look_wait = look_first;
  look_again(process,
             process.killed_at + (process.has_pid_namespace ? process.look_wait : kill_wait_max));
}

void ProcessTable::turn(Time until) {
  std::array<epoll_event, events_per_turn> events{};
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), events_per_turn, milliseconds_to_wait(until));
  FORERUN_ASSERT(count >= 0 || errno == EINTR);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t data = events[static_cast<std::size_t>(i)].data.u64;
    handle(data / sources, static_cast<Source>(data % sources));
  }
  ask_for_ended_leaders();
  pass_time();
}

void ProcessTable::watch_wake(int wake) {
  watch(wake, EPOLLIN, 0, Source::leader);  // 0 is no process.
}

bool ProcessTable::is_empty() const {
  return std::all_of(processes_.begin(), processes_.end(), [](const auto& entry) {
    return entry.second.phase == Process::Phase::abandoned;
  });
}

void ProcessTable::handle(ProcessNumber number, Source source) {
  const auto at = processes_.find(number);
  if (at == processes_.end()) {
    return;  // The wake, or it ended earlier in this turn.
  }
  switch (source) {
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

// ---- pipes

void ProcessTable::write_input(Process& process) {
  while (process.child.input.is_open() && !process.unwritten.empty()) {
    const ssize_t size =
        ::write(process.child.input.get(), process.unwritten.data(), process.unwritten.size());
    if (size < 0 && errno == EINTR) {
      continue;
    }
    if (size < 0 && errno == EAGAIN) {
      return;
    }
    if (size < 0) {
      close(process.child.input);
      process.unwritten.clear();
      listener_.on_input_closed(process.number);
      return;
    }
    process.unwritten.erase(0, static_cast<std::size_t>(size));
  }
  if (process.is_input_finished) {
    close(process.child.input);
  }
}

/// One read. Nothing while the pipe is empty and open; an empty text closes it.
std::optional<std::string_view> ProcessTable::read_some(Descriptor& pipe) {
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
bool ProcessTable::read_output(Process& process) {
  if (!process.child.output.is_open()) {
    return false;
  }
  const auto text = read_some(process.child.output);
  if (!text) {
    return false;
  }
  if (text->empty()) {
    listener_.on_output_closed(process.number);
    return false;
  }
  listener_.on_output(process.number, *text);
  return true;
}

bool ProcessTable::read_errors(Process& process) {
  if (!process.child.errors.is_open()) {
    return false;
  }
  const auto text = read_some(process.child.errors);
  if (!text || text->empty()) {
    return false;
  }
  listener_.on_errors(process.number, *text);
  process.error_tail += *text;
  if (process.error_tail.size() > error_tail_bytes) {
    process.error_tail.erase(0, process.error_tail.size() - error_tail_bytes);
  }
  return true;
}

void ProcessTable::drain(Process& process) {
  for (std::size_t i = 0; i < drain_reads_max && read_output(process); ++i) {
  }
  for (std::size_t i = 0; i < drain_reads_max && read_errors(process); ++i) {
  }
}

// ---- ends

/// Of a killed command in a PID namespace: it is reported when nothing of it can run any more. That
/// the kernel has removed its namespaces and mounts, nobody waits for.
void ProcessTable::look_for_death(Processes::iterator at) {
  Process& process = at->second;
  const Time now = RunClock::now();
  if (now >= process.killed_at + kill_wait_max) {
    abandon(at);
    return;
  }
  drain(process);
  if (!is_dead(process)) {
    process.look_wait = std::min(2 * process.look_wait, death_look_max);
    look_again(process, std::min(now + process.look_wait, process.killed_at + kill_wait_max));
    return;
  }
  process.phase = Process::Phase::buried;
  reap_orphans();
  close(process.child.input);
  look_again(process, process.killed_at + kill_wait_max);
  listener_.on_end(process.number,
                   {ExitStatus{true, SIGKILL}, last_line(process.error_tail), 0, MemoryKill::none});
}

/// Notes, if so, that the kernel has something of it left to remove.
bool ProcessTable::is_dead(const Process& process) {
  if (!process.has_pid_namespace || has_open_pipe(process.child)) {
    return false;
  }
  std::erase_if(removed_, is_gone);
  if (removed_.size() >= removed_max) {
    return false;
  }
  const bool has_leader = process.phase == Process::Phase::killing;
  std::vector<pid_t> roots;
  if (has_leader) {
    roots.push_back(process.child.pid);
  }
  if (process.first != 0) {
    roots.push_back(process.first);
  }
  // A leader that has ended has left a first process that is not known to another parent.
  if (roots.empty() || !family_is_dying(roots) ||
      (process.first == 0 && leader_has_ended(process.child.pid))) {
    return false;
  }
  removed_.push_back(roots.back());
  return true;
}

void ProcessTable::leader_ended(Processes::iterator at) {
  Process& process = at->second;
  // The leader is not reaped yet, so its ID still names this group and no other.
  signal_group(process.child.pid, SIGKILL);
  if (process.cgroup.is_populated()) {
    process.cgroup.kill();
  }
  close(process.child.pidfd);
  without_pidfd_.erase(process.number);
  process.status = reap_leader(process.child.pid);
  if (process.phase == Process::Phase::abandoned || process.phase == Process::Phase::buried) {
    forget_time(process);
    processes_.erase(at);
    return;
  }
  process.phase = Process::Phase::closing;
  // All that the leader wrote is in the pipes by now.
  drain(process);
  close(process.child.input);
  process.closing_since = RunClock::now();
  process.look_wait = look_first;
  close_down(at);
}

/// Reports the process once nothing of it is left, or says how much is.
void ProcessTable::close_down(Processes::iterator at) {
  Process& process = at->second;
  drain(process);
  if ((!has_members(process) && !has_open_pipe(process.child)) || is_dead(process)) {
    report(at, 0);
    return;
  }
  if (process.first != 0 && RunClock::now() < process.closing_since + kill_wait_max) {
    // The kernel kills all of its namespace: to look for who is left would cost more than to wait.
    process.look_wait = std::min(2 * process.look_wait, death_look_max);
    look_again(process, RunClock::now() + process.look_wait);
    return;
  }
  if (!process.was_looked_at) {
    // What was just killed is mostly gone by the next look, and that look is not cheap.
    process.was_looked_at = true;
    look_again(process, RunClock::now() + process.look_wait);
    return;
  }
  const std::size_t members = kill_members(process);
  drain(process);  // A member closed its pipes before it left the list.
  if (members == 0 && !has_open_pipe(process.child)) {
    report(at, 0);
    return;
  }
  const Time now = RunClock::now();
  const Time until = process.closing_since + (members == 0 ? escape_wait_max : kill_wait_max);
  if (now >= until) {
    // A pipe held by a process that left the session counts as one.
    report(at, static_cast<std::uint32_t>(std::max<std::size_t>(members, 1)));
    return;
  }
  process.look_wait = std::min(2 * process.look_wait, look_interval_max);
  look_again(process, std::min(now + process.look_wait, until));
}

/// Whether something of it is left, dead or alive.
bool ProcessTable::has_members(const Process& process) {
  const bool has_group = group_has_members(process.child.pid);  // Reaps, so it is asked always.
  return has_group || process.cgroup.is_populated();
}

/// Kills what lives of it, and returns how many there were.
std::size_t ProcessTable::kill_members(Process& process) {
  if (process.cgroup.is_open()) {
    process.cgroup.kill();
    return process.cgroup.members().size();
  }
  // They may have left the group but not the session; and the dead may lie unreaped.
  const std::vector<pid_t> members = live_members(process.child.pid);
  for (const pid_t pid : members) {
    ::kill(pid, SIGKILL);
  }
  return members.size();
}

void ProcessTable::report(Processes::iterator at, std::uint32_t dead_handles) {
  Process& process = at->second;
  const ProcessNumber number = process.number;
  const ProcessEnd end{process.status, last_line(process.error_tail), dead_handles,
                       process.cgroup.memory_kill()};
  reap_orphans();
  forget_time(process);
  if (process.phase != Process::Phase::abandoned) {
    close(process.child.output);
    close(process.child.errors);
    processes_.erase(at);
  }
  listener_.on_end(number, end);
}

/// SIGKILL was sent long ago and the leader lives: stuck in the kernel. Its slot must not be.
void ProcessTable::abandon(Processes::iterator at) {
  Process& process = at->second;
  process.phase = Process::Phase::abandoned;
  close(process.child.input);
  close(process.child.output);
  close(process.child.errors);
  const std::size_t alive = live_members(process.child.pid).size();
  report(at, static_cast<std::uint32_t>(std::max<std::size_t>(alive, 1)));
}

// ---- time

void ProcessTable::look_again(Process& process, Time when) {
  forget_time(process);
  process.next = when;
  times_.emplace(when, process.number);
}

void ProcessTable::forget_time(Process& process) {
  if (process.next) {
    times_.erase({*process.next, process.number});
    process.next.reset();
  }
}

void ProcessTable::pass_time() {
  const Time now = RunClock::now();
  while (!times_.empty() && times_.begin()->first <= now) {
    const auto at = processes_.find(times_.begin()->second);
    FORERUN_ASSERT(at != processes_.end());
    Process& process = at->second;
    forget_time(process);
    switch (process.phase) {
      case Process::Phase::terminating:
        kill(process.number);
        break;
      case Process::Phase::killing:
        look_for_death(at);
        break;
      case Process::Phase::buried:
        process.phase = Process::Phase::abandoned;
        break;
      case Process::Phase::closing:
        close_down(at);
        break;
      case Process::Phase::running:
      case Process::Phase::abandoned:
        break;
    }
  }
}

void ProcessTable::ask_for_ended_leaders() {
  const std::set<ProcessNumber> numbers = without_pidfd_;
  for (const ProcessNumber number : numbers) {
    const auto at = processes_.find(number);
    FORERUN_ASSERT(at != processes_.end());
    if (leader_has_ended(at->second.child.pid)) {
      leader_ended(at);
    }
  }
}

int ProcessTable::milliseconds_to_wait(Time until) const {
  const Time first = times_.empty() ? until : std::min(until, times_.begin()->first);
  const auto left = first - RunClock::now();
  Duration wait = std::clamp<Duration>(std::chrono::ceil<Duration>(left), Duration::zero(),
                                       std::chrono::hours(1));
  if (!without_pidfd_.empty()) {
    wait = std::min(wait, poll_interval);
  }
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count());
}

// ---- descriptors

void ProcessTable::watch(int descriptor, std::uint32_t events, ProcessNumber number,
                         Source source) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = number * sources + static_cast<std::uint64_t>(source);
  FORERUN_ASSERT(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0);
}

/// A process that is just being spawned by another thread may hold a copy for a moment, so
/// closing alone would not end the watch.
void ProcessTable::close(Descriptor& descriptor) {
  if (descriptor.is_open()) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor.get(), nullptr);
    descriptor.close();
  }
}

}  // namespace forerun
