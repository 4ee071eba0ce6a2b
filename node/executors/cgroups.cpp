#include "node/executors/cgroups.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr int names_tried_max = 64;
constexpr auto try_wait_max = std::chrono::seconds(10);
constexpr auto leftover_wait_max = std::chrono::seconds(1);
constexpr auto look_interval = std::chrono::milliseconds(1);
constexpr mode_t folder_mode = 0755;
constexpr const char* moved_to = "node";  ///< Where the node itself goes, below its folder.

/// Of a file of the kernel's, which is short.
std::string text_at(int folder, const char* name) {
  const Descriptor file(::openat(folder, name, O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t size = 0;
       file.is_open() && (size = ::read(file.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return text;
}

/// Returns an errno value.
int write_at(int folder, const char* name, const std::string& text) {
  const Descriptor file(::openat(folder, name, O_WRONLY | O_CLOEXEC));
  const bool is_written = file.is_open() && ::write(file.get(), text.data(), text.size()) ==
                                                static_cast<ssize_t>(text.size());
  return is_written ? 0 : errno;
}

Descriptor opened_folder(const std::string& path) {
  return Descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

bool is_populated_at(int folder) {
  return value_of(text_at(folder, "cgroup.events"), "populated") != 0;
}

template <class Condition>
bool comes_true(std::chrono::milliseconds within, const Condition& condition) {
  const auto until = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) {
      return false;
    }
    std::this_thread::sleep_for(look_interval);
  }
  return true;
}

std::string file_text(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Whoever holds the lock lives: the kernel drops it with the process. Two nodes cannot see each
/// other's processes by number when they are in different PID namespaces.
bool lock(const Descriptor& folder) {
  return folder.is_open() && ::flock(folder.get(), LOCK_EX | LOCK_NB) == 0;
}

/// Kills and removes what dead nodes have left in `own`.
void remove_leftovers(const std::string& own) {
  std::vector<std::string> found;
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator(own, problem)) {
    if (is_cgroup_of_node(entry.path().filename().string())) {
      found.push_back(entry.path().string());
    }
  }
  for (const std::string& path : found) {
    const Descriptor folder = opened_folder(path);
    if (!lock(folder)) {
      continue;
    }
    write_at(folder.get(), "cgroup.kill", "1");
    comes_true(leftover_wait_max, [&] { return !is_populated_at(folder.get()); });
    for (const auto& entry : fs::directory_iterator(path, problem)) {
      if (entry.is_directory(problem)) {
        ::rmdir(entry.path().c_str());
      }
    }
    ::rmdir(path.c_str());
  }
}

/// True when nothing but this process is in the cgroup.
bool is_alone_in(int folder) {
  std::istringstream processes(text_at(folder, "cgroup.procs"));
  pid_t first = 0;
  pid_t second = 0;
  return processes >> first && first == ::getpid() && !(processes >> second);
}

}  // namespace

// ---- one of them

struct Cgroup::Place {
  std::string path;
  Descriptor folder;
  CgroupLimits limits;
  MemoryEvents before;  ///< Of those who had it before.
  bool was_killed = false;

  MemoryEvents memory_events() const {
    return memory_events_of(text_at(folder.get(), "memory.events"));
  }
};

Cgroup::Cgroup() = default;

Cgroup::Cgroup(Cgroup&& other) noexcept
    : place_(std::move(other.place_)), owner_(std::exchange(other.owner_, nullptr)) {}

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
  std::swap(place_, other.place_);
  std::swap(owner_, other.owner_);
  return *this;
}

Cgroup::~Cgroup() {
  if (place_) {
    owner_->give_back(std::move(place_));
  }
}

int Cgroup::descriptor() const {
  return place_ ? place_->folder.get() : -1;
}

void Cgroup::kill() {
  if (place_) {
    place_->was_killed = true;
    write_at(place_->folder.get(), "cgroup.kill", "1");
  }
}

bool Cgroup::is_populated() const {
  return place_ && is_populated_at(place_->folder.get());
}

std::vector<pid_t> Cgroup::members() const {
  std::vector<pid_t> members;
  std::istringstream processes(place_ ? text_at(place_->folder.get(), "cgroup.procs") : "");
  for (pid_t pid = 0; processes >> pid;) {
    members.push_back(pid);  // 0 is one that this PID namespace does not show.
  }
  return members;
}

MemoryKill Cgroup::memory_kill() const {
  return place_ ? forerun::memory_kill(place_->before, place_->memory_events()) : MemoryKill::none;
}

// ---- all

Cgroups::Cgroups(std::string why) : why_(std::move(why)) {}

Cgroups::~Cgroups() {
  remove_empty(0);
  if (folder_.empty()) {
    return;
  }
  const Descriptor above = opened_folder(own_);
  for (const std::string& name : turned_on_) {
    write_at(lock_.get(), "cgroup.subtree_control", "-" + name);
    write_at(above.get(), "cgroup.subtree_control", "-" + name);
  }
  if (has_moved_) {
    write_at(above.get(), "cgroup.procs", "0");
    ::unlinkat(lock_.get(), moved_to, AT_REMOVEDIR);
  }
  ::rmdir(folder_.c_str());
}

std::shared_ptr<Cgroups> Cgroups::probe(std::string own) {
  if (own.empty()) {
    auto found = own_cgroup(file_text("/proc/self/mountinfo"), file_text("/proc/self/cgroup"));
    if (!found) {
      return std::make_shared<Cgroups>(found.error().message);
    }
    own = std::move(*found);
  }
  auto cgroups = std::make_shared<Cgroups>(std::string());
  cgroups->own_ = std::move(own);
  remove_leftovers(cgroups->own_);
  cgroups->why_ = cgroups->make_folder();
  if (cgroups->why_.empty()) {
    cgroups->turn_on_limits();
    cgroups->why_ = cgroups->try_out();
  }
  return cgroups;
}

/// Returns why there is none.
std::string Cgroups::make_folder() {
  for (int i = 0; i < names_tried_max && folder_.empty(); ++i) {
    const std::string path = own_ + "/" + std::string(cgroup_prefix) + std::to_string(::getpid()) +
                             "-" + std::to_string(i);
    if (::mkdir(path.c_str(), folder_mode) != 0) {
      if (errno == EEXIST) {
        continue;
      }
      return "this process may not make cgroups in " + own_ + ": " + strerrordesc_np(errno) +
             " (a systemd unit may with Delegate=yes)";
    }
    Descriptor folder = opened_folder(path);
    struct stat mine {};
    struct stat there {};
    // Another node that starts may have taken it for a dead one's before it was locked.
    if (lock(folder) && ::fstat(folder.get(), &mine) == 0 && ::stat(path.c_str(), &there) == 0 &&
        mine.st_ino == there.st_ino) {
      folder_ = path;
      lock_ = std::move(folder);
    }
  }
  if (folder_.empty()) {
    return "no name is free for a cgroup in " + own_;
  }
  return ::faccessat(lock_.get(), "cgroup.kill", W_OK, 0) == 0
             ? std::string()
             : "this kernel has no cgroup.kill, which came with Linux 5.14";
}

/// In a cgroup with limits below it there is no process but in the topmost: "no internal process"
/// of cgroups(7).
void Cgroups::turn_on_limits() {
  const Descriptor above = opened_folder(own_);
  for (const auto& [name, is_on] :
       {std::pair{"memory", &limits_memory_}, std::pair{"pids", &limits_processes_}}) {
    const std::string on = std::string("+") + name;
    if (!has_word(text_at(above.get(), "cgroup.controllers"), name)) {
      continue;
    }
    if (!has_word(text_at(above.get(), "cgroup.subtree_control"), name)) {
      int problem = write_at(above.get(), "cgroup.subtree_control", on);
      if (problem == EBUSY && is_alone_in(above.get()) &&
          ::mkdirat(lock_.get(), moved_to, folder_mode) == 0 &&
          write_at(lock_.get(), (std::string(moved_to) + "/cgroup.procs").c_str(), "0") == 0) {
        has_moved_ = true;
        problem = write_at(above.get(), "cgroup.subtree_control", on);
      }
      if (problem != 0) {
        continue;
      }
      turned_on_.emplace_back(name);
    }
    *is_on = write_at(lock_.get(), "cgroup.subtree_control", on) == 0;
  }
}

std::string Cgroups::try_out() {
  const auto failed = [](const std::string& why) { return "trying a cgroup out: " + why; };
  const Cgroup cgroup = take({});
  if (!cgroup.is_open()) {
    return failed("none can be made in " + folder_);
  }
  CommandLine line;
  line.words = {"true"};
  line.folder = "/";
  const auto child = start_command(line, false, cgroup.descriptor());
  if (!child) {
    return failed(child.error().message);
  }
  if (!comes_true(try_wait_max, [&] { return leader_has_ended(child->pid); })) {
    signal_group(child->pid, SIGKILL);
    reap_leader(child->pid);
    return failed("it took longer than 10 s");
  }
  reap_leader(child->pid);
  return child->is_in_cgroup ? std::string()
                             : failed("this kernel or processor starts no process in one");
}

std::string Cgroups::description() const {
  if (!is_usable()) {
    return "a command is killed by its process group, in a sandbox by its PID namespace; no cgroup "
           "for each: " +
           why_;
  }
  const char* const limited = limits_memory_ && limits_processes_ ? "memory and processes"
                              : limits_memory_                    ? "memory"
                              : limits_processes_                 ? "processes"
                                                                  : "nothing";
  return std::string("a command is killed by a cgroup of its own, which limits ") + limited +
         ", in " + folder_;
}

Cgroup Cgroups::take(const CgroupLimits& limits) {
  Cgroup cgroup;
  if (!is_usable()) {
    return cgroup;
  }
  const CgroupLimits given{limits_memory_ ? limits.memory_bytes : 0,
                           limits_processes_ ? limits.processes : 0};
  const auto at = std::find_if(idle_.begin(), idle_.end(), [&](const auto& place) {
    return !place->was_killed && place->limits == given && !is_populated_at(place->folder.get());
  });
  if (at != idle_.end()) {
    cgroup.place_ = std::move(*at);
    idle_.erase(at);
    cgroup.place_->before = limits_memory_ ? cgroup.place_->memory_events() : MemoryEvents{};
  } else {
    cgroup.place_ = make(given);
  }
  cgroup.owner_ = cgroup.place_ ? this : nullptr;
  return cgroup;
}

std::unique_ptr<Cgroup::Place> Cgroups::make(const CgroupLimits& limits) {
  auto place = std::make_unique<Cgroup::Place>();
  place->path = folder_ + "/command-" + std::to_string(++made_);
  place->limits = limits;
  if (::mkdir(place->path.c_str(), folder_mode) != 0) {
    return nullptr;
  }
  place->folder = opened_folder(place->path);
  const int folder = place->folder.get();
  bool is_limited = place->folder.is_open();
  if (is_limited && limits.memory_bytes != 0) {
    is_limited = write_at(folder, "memory.max", std::to_string(limits.memory_bytes)) == 0;
    // All of a command or nothing. No file of these: a kernel without swap, or an old one.
    write_at(folder, "memory.oom.group", "1");
    write_at(folder, "memory.swap.max", "0");
  }
  if (is_limited && limits.processes != 0) {
    is_limited = write_at(folder, "pids.max", std::to_string(limits.processes)) == 0;
  }
  if (!is_limited) {
    ::rmdir(place->path.c_str());
    return nullptr;
  }
  return place;
}

void Cgroups::give_back(std::unique_ptr<Cgroup::Place> place) {
  idle_.push_back(std::move(place));
  remove_empty(cgroups_kept_max);
}

/// What has been killed, and of the others the oldest until `kept` are left. Where cgroup.kill was
/// written, kernels (6.18 at least) also kill what is born there afterwards by clone3(), so nothing
/// may be started there again.
void Cgroups::remove_empty(std::size_t kept) {
  std::erase_if(idle_, [](const auto& place) {
    return place->was_killed && ::rmdir(place->path.c_str()) == 0;
  });
  for (auto at = idle_.begin(); at != idle_.end() && idle_.size() > kept;) {
    at = ::rmdir((*at)->path.c_str()) == 0 ? idle_.erase(at) : at + 1;
  }
}

}  // namespace forerun
