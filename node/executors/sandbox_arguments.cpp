#include "node/executors/sandbox_arguments.hpp"

#include <algorithm>

namespace forerun {
namespace {

using Words = std::vector<std::string>;

constexpr std::uint64_t bytes_per_mb = 1U << 20U;
/// bubblewrap's two processes count as well.
constexpr std::uint64_t own_processes = 2;
/// Of address space above memory_mb: what runtimes reserve and never touch. It bounds what a
/// process can map without being charged as data (shared memory without a name).
constexpr std::uint64_t reserved_mb = 4096;

void add(Words& words, std::initializer_list<std::string> more) {
  words.insert(words.end(), more);
}

bool is_within(const std::filesystem::path& path, const std::filesystem::path& folder) {
  const auto [end, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return end == folder.end();
}

void add_limits(Words& words, const Task& task) {
  const CommandLimits& limits = task.exec.limits;
  const auto set = [&](const char* name, std::uint64_t value) {
    add(words, {std::string("--") + name, std::to_string(value)});
  };
  set("scratch", limits.scratch_mb * bytes_per_mb);
  set("data", limits.memory_mb * bytes_per_mb);
  set("address-space", (limits.memory_mb + reserved_mb) * bytes_per_mb);
  set("file", limits.file_mb * bytes_per_mb);
  set("processes", limits.processes + own_processes);
  if (limits.cpu_s > 0) {
    set("cpu", limits.cpu_s);
  }
}

}  // namespace

std::filesystem::path work_folder(const Task& task, const std::filesystem::path& tasks_folder) {
  // An absolute one replaces the folder that it is put behind.
  const auto path = (tasks_folder / task.exec.workdir).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

Result<Words> sandbox_words(const SandboxSite& site, const Task& task,
                            const std::filesystem::path& work) {
  const std::string& stage = site.stage;
  for (const std::string& hidden : site.hidden) {
    if (is_within(work, hidden)) {
      return fail(Errc::refused, "sandbox: workdir " + work.string() + " is in " + hidden +
                                     ", the node's own data or secrets, which no command may see");
    }
    for (const auto* paths : {&task.exec.readable, &task.exec.writable}) {
      for (const std::string& path : *paths) {
        if (is_within(path, hidden) || is_within(hidden, path)) {
          return fail(Errc::refused, "sandbox: " + path + " holds or is in " + hidden +
                                         ", the node's own data or secrets, which no command may "
                                         "see");
        }
      }
    }
  }
  Words words = {site.helper, "--stage", stage};
  add_limits(words, task);
  words.emplace_back("--");
  add(words,
      {site.bwrap, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts",
       "--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent", "--cap-drop", "ALL"});
  if (!task.exec.network) {
    words.emplace_back("--unshare-net");
  }
  for (const SystemPath& part : site.system) {
    if (part.link.empty()) {
      add(words, {"--ro-bind-try", part.path, part.path});
    } else {
      add(words, {"--symlink", part.link, part.path});
    }
  }
  if (task.exec.network) {
    for (const char* path : {"/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf"}) {
      add(words, {"--ro-bind-try", path, path});
    }
  }
  add(words, {"--proc", "/proc", "--dev", "/dev", "--bind", stage + "/shm", "/dev/shm",
              "--remount-ro", "/dev", "--bind", stage + "/scratch", sandbox_home});
  // A later mount covers an earlier one: what lies in the work folder comes after its view, which
  // may be a copy and then does not follow what changes outside.
  const auto show = [&](bool in_work) {
    for (const std::string& path : task.exec.readable) {
      if (is_within(path, work) == in_work) {
        add(words, {"--ro-bind", path, path});
      }
    }
  };
  show(false);
  add(words, {"--bind", stage + "/view", work.string()});
  show(true);
  for (const std::string& path : task.exec.writable) {
    add(words, {"--bind", path, path});
  }
  for (const std::string& hidden : site.hidden) {
    if (is_within(hidden, work)) {
      add(words, {"--ro-bind", stage + "/nothing", hidden});
    }
  }
  add(words, {"--remount-ro", "/", "--chdir", work.string()});
  if (site.with_filter) {
    add(words, {"--seccomp", "3"});
  }
  words.emplace_back("--");
  words.insert(words.end(), task.command.begin(), task.command.end());
  return words;
}

CgroupLimits cgroup_limits(const Task& task) {
  const CommandLimits& limits = task.exec.limits;
  return {(limits.memory_mb + limits.scratch_mb) * bytes_per_mb, limits.processes + own_processes};
}

Words command_environment(const Task& task, const std::string& path, const std::string& home,
                          const std::string& outside_key) {
  std::map<std::string, std::string> variables = {
      {"PATH", path}, {"HOME", home}, {"LANG", "C.UTF-8"}};
  if (task.sandbox) {
    variables["TMPDIR"] = home;
  }
  for (const auto& [name, value] : task.exec.environment) {
    variables[name] = value;
  }
  if (task.effect == Effect::write && !task.exec.resident) {
    variables["FORERUN_OUTSIDE_KEY"] = outside_key;
  }
  Words words;
  for (const auto& [name, value] : variables) {
    words.push_back(name + "=" + value);
  }
  return words;
}

}  // namespace forerun
