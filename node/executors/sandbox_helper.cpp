// forerun-sandbox: makes what bubblewrap binds into a sandbox, then becomes bubblewrap. Everything
// is mounted in namespaces of its own, so it vanishes with the last process in them: nothing to
// clean up, nothing that a later branch could find.
//
//   forerun-sandbox --stage DIR --scratch BYTES [--LIMIT N]... -- BWRAP ARGUMENT...
//
// Over DIR it mounts a tmpfs of the given size with `scratch`, `shm`, `nothing` (closed), and
// `view`: the current folder as a private copy, by an overlay or, where the kernel allows none, by
// copying. Run by root, it becomes nobody first: the kernel limits no process of root's.
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace {

constexpr uid_t nobody = 65534;
constexpr std::size_t copied_entries_max = 20'000;
constexpr int exit_not_prepared = 125;

[[noreturn]] void give_up(const std::string& what, const std::string& why) {
  std::fprintf(stderr, "forerun-sandbox: %s: %s\n", what.c_str(), why.c_str());
  std::exit(exit_not_prepared);
}

void require(bool is_done, const std::string& what) {
  if (!is_done) {
    give_up(what, strerrordesc_np(errno));
  }
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

const std::map<std::string_view, __rlimit_resource> limits = {
    {"--data", RLIMIT_DATA},       {"--address-space", RLIMIT_AS}, {"--file", RLIMIT_FSIZE},
    {"--processes", RLIMIT_NPROC}, {"--cpu", RLIMIT_CPU},
};

struct Request {
  std::string stage;
  std::uint64_t scratch = 0;
  std::map<__rlimit_resource, std::uint64_t> limited;
  char** command = nullptr;
};

Request read_request(int count, char** words) {
  Request request;
  int at = 1;
  for (; at + 1 < count && std::string_view(words[at]) != "--"; at += 2) {
    const std::string_view key = words[at];
    const auto value = number(words[at + 1]);
    if (key == "--stage") {
      request.stage = words[at + 1];
    } else if (key == "--scratch" && value) {
      request.scratch = *value;
    } else if (const auto limit = limits.find(key); limit != limits.end() && value) {
      request.limited[limit->second] = *value;
    } else {
      give_up(std::string(key), "unknown, or not a number");
    }
  }
  if (at + 1 >= count || request.stage.empty() || request.scratch == 0) {
    give_up("arguments", "expected --stage DIR --scratch BYTES … -- PROGRAM ARGUMENT…");
  }
  request.command = words + at + 1;
  return request;
}

void write_file(const char* path, const std::string& text) {
  const int file = ::open(path, O_WRONLY | O_CLOEXEC);
  const bool is_written =
      file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  require(is_written, path);
  ::close(file);
}

void become_nobody() {
  require(::setgroups(0, nullptr) == 0 && ::setresgid(nobody, nobody, nobody) == 0 &&
              ::setresuid(nobody, nobody, nobody) == 0,
          "becoming nobody");
  // Else its own files in /proc would be root's.
  require(::prctl(PR_SET_DUMPABLE, 1) == 0, "becoming nobody");
}

void enter_namespaces() {
  const std::string user = std::to_string(::geteuid());
  const std::string group = std::to_string(::getegid());
  require(::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0, "user namespace");
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", user + " " + user + " 1");
  write_file("/proc/self/gid_map", group + " " + group + " 1");
  require(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0, "mount namespace");
}

/// Copies this folder into `view`. What is neither file, folder nor link stays behind.
void copy_here_into(const std::filesystem::path& view) {
  namespace fs = std::filesystem;
  std::error_code problem;
  std::size_t entries = 0;
  for (fs::recursive_directory_iterator at(".", problem), end; !problem && at != end;
       at.increment(problem)) {
    if (++entries > copied_entries_max) {
      give_up("copying the work folder", "more than " + std::to_string(copied_entries_max) +
                                             " files; give the task a workdir of its own");
    }
    const fs::path to = view / at->path().relative_path();
    if (at->is_symlink(problem)) {
      fs::copy_symlink(at->path(), to, problem);
    } else if (at->is_directory(problem)) {
      fs::create_directory(to, at->path(), problem);
    } else if (at->is_regular_file(problem)) {
      fs::copy_file(at->path(), to, problem);
    }
    if (problem) {
      give_up("copying the work folder",
              at->path().string() + ": " + problem.message() + " (scratch_mb bounds the copy)");
    }
  }
  if (problem) {
    give_up("copying the work folder", problem.message());
  }
}

void make_view(const std::string& stage) {
  const bool may_overlay = std::getenv("FORERUN_SANDBOX_COPY") == nullptr;
  const std::string options =
      "lowerdir=.,upperdir=" + stage + "/upper,workdir=" + stage + "/work,userxattr";
  if (may_overlay &&
      ::mount("overlay", (stage + "/view").c_str(), "overlay", 0, options.c_str()) == 0) {
    return;
  }
  copy_here_into(stage + "/view");
}

void make_stage(const Request& request) {
  const std::string options = "mode=0755,nr_inodes=100000,size=" + std::to_string(request.scratch);
  const std::string& stage = request.stage;
  require(::mount("tmpfs", stage.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) == 0,
          "scratch over " + stage);
  for (const auto& [name, mode] :
       {std::pair{"/upper", 0755}, std::pair{"/work", 0755}, std::pair{"/view", 0755},
        std::pair{"/scratch", 0700}, std::pair{"/shm", 0700}, std::pair{"/nothing", 0000}}) {
    require(::mkdir((stage + name).c_str(), static_cast<mode_t>(mode)) == 0, stage + name);
  }
  make_view(stage);
}

void set_limits(const Request& request) {
  constexpr rlim_t descriptors_max = 1024;
  std::map<__rlimit_resource, std::uint64_t> limited = request.limited;
  limited[RLIMIT_CORE] = 0;
  limited[RLIMIT_NOFILE] = descriptors_max;
  for (const auto& [resource, value] : limited) {
    rlimit now{};
    require(::getrlimit(resource, &now) == 0, "limits");
    const rlim_t allowed = std::min<rlim_t>(value, now.rlim_max);
    // At the hard one the kernel kills without a word: SIGXCPU, which names the limit, comes first.
    const rlim_t grace = resource == RLIMIT_CPU && allowed < now.rlim_max ? 1 : 0;
    const rlimit wanted{allowed, allowed + grace};
    require(::setrlimit(resource, &wanted) == 0, "limits");
  }
  // If memory runs out, it goes before the node does. Not every kernel lets it say so.
  if (const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); file >= 0) {
    [[maybe_unused]] const ssize_t size = ::write(file, "1000", 4);
    ::close(file);
  }
}

}  // namespace

int main(int count, char** words) {
  const Request request = read_request(count, words);
  if (::geteuid() == 0) {
    become_nobody();
  }
  enter_namespaces();
  make_stage(request);
  set_limits(request);
  ::execv(request.command[0], request.command);
  give_up(request.command[0], strerrordesc_np(errno));
}
