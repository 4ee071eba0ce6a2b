#include "node/executors/child_process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "base/assert.hpp"
#include "node/executors/cgroup_spawn.hpp"

namespace forerun {
namespace {

constexpr int standard_descriptors = 3;
constexpr std::size_t family_max = 4096;  ///< Processes that are looked at to say that all die.

std::string reason(int number) {
  return strerrordesc_np(number);
}

struct Pipe {
  Descriptor ours;
  Descriptor theirs;
};

/// Moves a descriptor above the standard three, where the child's own cannot overwrite it.
Result<Descriptor> above_standard(int number) {
  Descriptor low(number);
  if (number >= standard_descriptors) {
    return low;
  }
  const int high = ::fcntl(number, F_DUPFD_CLOEXEC, standard_descriptors);
  if (high < 0) {
    return fail(Errc::refused, "exec: descriptor: " + reason(errno));
  }
  return Descriptor(high);
}

/// A pipe whose end for us does not block. `is_input`: we write, the child reads.
Result<Pipe> make_pipe(bool is_input) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(Errc::refused, "exec: pipe: " + reason(errno));
  }
  auto reading = above_standard(ends[0]);
  auto writing = above_standard(ends[1]);
  if (!reading || !writing) {
    return tl::unexpected<Error>(!reading ? reading.error() : writing.error());
  }
  Pipe pipe;
  pipe.ours = is_input ? std::move(*writing) : std::move(*reading);
  pipe.theirs = is_input ? std::move(*reading) : std::move(*writing);
  FORERUN_ASSERT(::fcntl(pipe.ours.get(), F_SETFL, O_NONBLOCK) == 0);
  return pipe;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const std::string& text : texts) {
    result.push_back(const_cast<char*>(text.c_str()));  // POSIX promises not to write there.
  }
  result.push_back(nullptr);
  return result;
}

/// Attributes and file actions of a spawn, destroyed with it.
class SpawnPlan {
public:
  SpawnPlan() {
    FORERUN_ASSERT(::posix_spawn_file_actions_init(&actions_) == 0);
    FORERUN_ASSERT(::posix_spawnattr_init(&attributes_) == 0);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&actions_);
  }

  /// Returns an errno value.
  int add(int input, int output, int errors, const CommandLine& command) {
    const std::array<int, standard_descriptors> given{input, output, errors};
    for (int target = 0; target < standard_descriptors; ++target) {
      const int source = given[static_cast<std::size_t>(target)];
      if (const int failed = ::posix_spawn_file_actions_adddup2(&actions_, source, target)) {
        return failed;
      }
    }
    int kept = standard_descriptors;
    if (command.extra >= 0) {
      // Duplicating onto itself only takes close-on-exec off, as it must.
      if (const int failed = ::posix_spawn_file_actions_adddup2(&actions_, command.extra, kept)) {
        return failed;
      }
      ++kept;
    }
    if (const int failed =
            ::posix_spawn_file_actions_addchdir_np(&actions_, command.folder.c_str())) {
      return failed;
    }
    return ::posix_spawn_file_actions_addclosefrom_np(&actions_, kept);
  }

  int spawn(pid_t& pid, const CommandLine& command) {
    std::vector<char*> words = pointers(command.words);
    std::vector<char*> environment = pointers(command.environment);
    return ::posix_spawnp(&pid, words[0], &actions_, &attributes_, words.data(),
                          environment.data());
  }

private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

/// Where a program may lie, in the order of PATH; itself if it has a slash.
std::vector<std::string> places_of(const std::string& program) {
  if (program.find('/') != std::string::npos) {
    return {program};
  }
  std::vector<std::string> places;
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/bin:/usr/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    places.push_back((folder.empty() ? "." : folder) + "/" + program);
  }
  return places;
}

bool is_shortage(int number) {
  return number == EAGAIN || number == ENOMEM || number == EMFILE || number == ENFILE;
}

tl::unexpected<Error> spawn_failure(int number, const CommandLine& command) {
  struct stat found {};
  if (::stat(command.folder.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) {
    return fail(Errc::refused, "exec: tasks folder " + command.folder + ": not a folder");
  }
  return fail(is_shortage(number) ? Errc::refused : Errc::invalid,
              "cannot start " + command.words[0] + ": " + reason(number));
}

/// One process as /proc/PID/stat tells it (proc(5)).
struct ProcessLine {
  char state = '?';
  pid_t group = 0;
  pid_t session = 0;
  bool is_exiting = false;
  long threads = 0;
  bool has_memory = true;

  bool is_ended() const { return state == 'Z' || state == 'X'; }
};

std::optional<ProcessLine> read_process(const char* pid) {
  const std::string path = std::string("/proc/") + pid + "/stat";
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 512> buffer{};
  const ssize_t size = file.is_open() ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
  if (size <= 0) {
    return std::nullopt;
  }
  std::string_view text(buffer.data(), static_cast<std::size_t>(size));
  // The name stands in parentheses and may hold anything, parentheses included.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_end + 4 > text.size()) {
    return std::nullopt;
  }
  ProcessLine line;
  line.state = text[name_end + 2];
  const char* at = text.data() + name_end + 4;
  const char* const end = text.data() + text.size();
  std::array<std::int64_t, 20> numbers{};  // From the fourth field, the parent, on.
  for (std::int64_t& number : numbers) {
    const auto [next, problem] = std::from_chars(at, end, number);
    if (problem != std::errc() || next == end) {
      return std::nullopt;
    }
    at = next + 1;
  }
  constexpr std::int64_t exiting = 0x4;  // PF_EXITING: it runs no code of its program any more.
  line.group = static_cast<pid_t>(numbers[1]);
  line.session = static_cast<pid_t>(numbers[2]);
  line.is_exiting = (numbers[5] & exiting) != 0;
  line.threads = static_cast<long>(numbers[16]);
  line.has_memory = numbers[19] != 0;
  return line;
}

/// The children of a process, of all its threads. Nothing where the kernel does not tell.
std::optional<std::vector<pid_t>> children_of(pid_t parent) {
  std::vector<pid_t> children;
  const std::string path = "/proc/" + std::to_string(parent) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> threads(::opendir(path.c_str()), ::closedir);
  while (const dirent* thread = threads ? ::readdir(threads.get()) : nullptr) {
    if (thread->d_name[0] == '.') {
      continue;
    }
    std::ifstream file(path + "/" + thread->d_name + "/children");
    if (!file && ::access((path + "/" + thread->d_name).c_str(), F_OK) == 0) {
      return std::nullopt;
    }
    for (pid_t child = 0; file >> child;) {
      children.push_back(child);
    }
  }
  return children;
}

/// These and all that descend from them, sorted. Nothing where the kernel does not tell.
std::optional<std::vector<pid_t>> family_of(std::vector<pid_t> family) {
  for (std::size_t i = 0; i < family.size(); ++i) {
    const auto children = children_of(family[i]);
    if (!children || family.size() > family_max) {
      return std::nullopt;
    }
    family.insert(family.end(), children->begin(), children->end());
  }
  std::sort(family.begin(), family.end());
  family.erase(std::unique(family.begin(), family.end()), family.end());
  return family;
}

}  // namespace

void Descriptor::close() {
  if (number_ >= 0) {
    ::close(number_);
    number_ = -1;
  }
}

Result<Child> start_command(const CommandLine& command, bool use_pidfd, int cgroup) {
  FORERUN_ASSERT(!command.words.empty());
  auto input = make_pipe(true);
  auto output = make_pipe(false);
  auto errors = make_pipe(false);
  for (const auto* pipe : {&input, &output, &errors}) {
    if (!*pipe) {
      return tl::unexpected<Error>(pipe->error());
    }
  }
  Child child;
  int failed = 0;
  if (cgroup >= 0) {
    const std::vector<std::string> places = places_of(command.words[0]);
    CgroupSpawn spawn;
    spawn.cgroup = cgroup;
    for (const std::string& place : places) {
      spawn.programs.push_back(place.c_str());
    }
    spawn.words = pointers(command.words);
    spawn.environment = pointers(command.environment);
    spawn.folder = command.folder.c_str();
    spawn.descriptors = {input->theirs.get(), output->theirs.get(), errors->theirs.get(),
                         command.extra};
    const CgroupSpawned spawned = spawn_in_cgroup(spawn);
    child.pid = spawned.pid;
    child.is_in_cgroup = spawned.pid > 0;
    failed = is_shortage(spawned.not_made) ? spawned.not_made : spawned.not_started;
  }
  if (failed == 0 && child.pid < 0) {
    SpawnPlan plan;
    failed = plan.add(input->theirs.get(), output->theirs.get(), errors->theirs.get(), command);
    failed = failed == 0 ? plan.spawn(child.pid, command) : failed;
  }
  if (failed != 0) {
    return spawn_failure(failed, command);
  }
  child.input = std::move(input->ours);
  child.output = std::move(output->ours);
  child.errors = std::move(errors->ours);
  if (use_pidfd) {
    // Without one (old kernel, no descriptor left) the caller has to ask from time to time.
    child.pidfd = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
  }
  return child;
}

bool leader_has_ended(pid_t leader) {
  siginfo_t info{};
  const int result = ::waitid(P_PID, static_cast<id_t>(leader), &info, WEXITED | WNOHANG | WNOWAIT);
  // ECHILD: someone else in this process took the status; then it has ended too.
  return result == 0 ? info.si_pid == leader : errno == ECHILD;
}

std::optional<ExitStatus> reap_leader(pid_t leader) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(leader), &info, WEXITED) != 0) {
    return std::nullopt;
  }
  return ExitStatus{info.si_code != CLD_EXITED, info.si_status};
}

void signal_group(pid_t leader, int signal) {
  FORERUN_ASSERT(leader > 1);
  ::kill(-leader, signal);
}

bool group_has_members(pid_t leader) {
  while (::waitpid(-leader, nullptr, WNOHANG) > 0) {
  }
  return ::kill(-leader, 0) == 0 || errno == EPERM;
}

pid_t first_of_namespace(pid_t leader) {
  const auto children = children_of(leader);
  return children && !children->empty() ? children->front() : 0;
}

bool family_is_dying(const std::vector<pid_t>& roots) {
  const auto family = family_of(roots);
  if (!family || !std::all_of(family->begin(), family->end(), is_dying)) {
    return false;
  }
  // One that has ended since may have left a child to a parent that had been looked at before.
  const auto again = family_of(roots);
  return again && std::includes(family->begin(), family->end(), again->begin(), again->end());
}

bool is_dying(pid_t pid) {
  const auto line = read_process(std::to_string(pid).c_str());
  return !line ||
         (line->threads <= 1 && (line->is_ended() || (line->is_exiting && !line->has_memory)));
}

bool is_gone(pid_t pid) {
  const auto line = read_process(std::to_string(pid).c_str());
  if (line && line->is_ended() && line->session != pid) {
    ::waitpid(pid, nullptr, WNOHANG);
  }
  return !line || line->is_ended();
}

void reap_orphans() {
  int inherits = 0;
  if (::getpid() != 1 && (::prctl(PR_GET_CHILD_SUBREAPER, &inherits) != 0 || inherits == 0)) {
    return;
  }
  const auto children = children_of(::getpid());
  if (!children) {
    return;
  }
  const pid_t own = ::getsid(0);
  for (const pid_t pid : *children) {
    const auto line = read_process(std::to_string(pid).c_str());
    if (line && line->is_ended() && line->session != pid && line->session != own &&
        ::kill(line->session, 0) != 0 && errno == ESRCH) {
      ::waitpid(pid, nullptr, WNOHANG);
    }
  }
}

std::vector<pid_t> live_members(pid_t leader) {
  std::vector<pid_t> members;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), ::closedir);
  while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) {
    pid_t pid = 0;
    const char* const name = entry->d_name;
    if (std::from_chars(name, name + std::strlen(name), pid).ec != std::errc() || pid <= 1) {
      continue;
    }
    const auto line = read_process(name);
    if (line && (line->group == leader || line->session == leader) && !line->is_ended()) {
      members.push_back(pid);
    }
  }
  return members;
}

}  // namespace forerun
