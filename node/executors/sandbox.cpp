#include "node/executors/sandbox.hpp"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "node/executors/outcome.hpp"
#include "node/executors/seccomp_filter.hpp"

namespace forerun {
namespace {

namespace fs = std::filesystem;

constexpr auto probe_wait_max = std::chrono::seconds(10);
constexpr auto probe_interval = std::chrono::milliseconds(1);
constexpr const char* helper_name = "forerun-sandbox";

/// What commands need of a machine. Of /etc nothing that tells of users, keys or hosts.
constexpr const char* system_paths[] = {"/usr",
                                        "/bin",
                                        "/sbin",
                                        "/lib",
                                        "/lib32",
                                        "/lib64",
                                        "/libx32",
                                        "/opt",
                                        "/nix/store",
                                        "/etc/alternatives",
                                        "/etc/ca-certificates",
                                        "/etc/fonts",
                                        "/etc/group",
                                        "/etc/java-17-openjdk",
                                        "/etc/ld.so.cache",
                                        "/etc/ld.so.conf",
                                        "/etc/ld.so.conf.d",
                                        "/etc/localtime",
                                        "/etc/mime.types",
                                        "/etc/nsswitch.conf",
                                        "/etc/passwd",
                                        "/etc/pki",
                                        "/etc/protocols",
                                        "/etc/python3",
                                        "/etc/python3.11",
                                        "/etc/R",
                                        "/etc/services",
                                        "/etc/ssl/certs",
                                        "/etc/ssl/openssl.cnf",
                                        "/etc/timezone"};
/// Of folders that every machine has, those that commands need least.
constexpr const char* stages[] = {"/sys", "/mnt", "/media", "/tmp"};

constexpr const char* namespaces_hint =
    "; this machine refuses what a sandbox is made of. In a container, start it with "
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt "
    "systempaths=unconfined; elsewhere allow user namespaces: sysctl -w "
    "user.max_user_namespaces=10000, kernel.unprivileged_userns_clone=1 (Debian), "
    "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)";

std::vector<SystemPath> found_system() {
  std::vector<SystemPath> system;
  for (const char* path : system_paths) {
    std::error_code problem;
    const auto status = fs::symlink_status(path, problem);
    if (problem || !fs::exists(status)) {
      continue;
    }
    // /bin -> usr/bin stays a link; a linked file of /etc shows what it leads to.
    const bool is_link = fs::is_symlink(status) && std::string_view(path).rfind('/') == 0;
    system.push_back({path, is_link ? fs::read_symlink(path, problem).string() : std::string()});
  }
  return system;
}

std::string found_program(const std::string& given, const std::vector<fs::path>& places) {
  if (!given.empty()) {
    return ::access(given.c_str(), X_OK) == 0 ? given : std::string();
  }
  for (const fs::path& place : places) {
    if (::access(place.c_str(), X_OK) == 0) {
      return place.string();
    }
  }
  return {};
}

/// Beside the program, in the build's folder or in what is installed; for a node of a user's own,
/// where Forerun is installed.
std::vector<fs::path> helper_places(const fs::path& self) {
  std::vector<fs::path> places = {self / helper_name, self.parent_path() / helper_name,
                                  self / "../libexec" / helper_name};
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (folder.starts_with('/')) {
      places.push_back(fs::path(folder) / "../libexec" / helper_name);
    }
  }
  return places;
}

std::string last_line_in(const Descriptor& pipe) {
  std::array<char, 4096> buffer{};
  const ssize_t size = ::read(pipe.get(), buffer.data(), buffer.size());
  return last_line({buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0});
}

/// A folder for the time of a probe.
class ProbeFolder {
public:
  ProbeFolder() {
    std::error_code problem;
    const fs::path parent = fs::temp_directory_path(problem);
    std::string name = ((problem ? fs::path("/tmp") : parent) / "forerun-probe-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) {
      path_ = name;
      ::chmod(name.c_str(), 0755);
    }
  }
  ProbeFolder(const ProbeFolder&) = delete;
  ProbeFolder& operator=(const ProbeFolder&) = delete;
  ~ProbeFolder() {
    if (!path_.empty()) {
      ::rmdir(path_.c_str());
    }
  }
  const fs::path& path() const { return path_; }

private:
  fs::path path_;
};

}  // namespace

Sandbox::Sandbox(std::string why) : why_(std::move(why)) {}

Sandbox Sandbox::probe(const SandboxSettings& settings) {
  std::error_code problem;
  const fs::path self = fs::read_symlink("/proc/self/exe", problem).parent_path();
  Sandbox sandbox;
  sandbox.site_.hidden = settings.hidden;
  sandbox.site_.system = found_system();
  sandbox.site_.bwrap =
      found_program(settings.bwrap, {"/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"});
  if (sandbox.site_.bwrap.empty()) {
    return Sandbox("bubblewrap is not there: install it (apt-get install bubblewrap)");
  }
  sandbox.site_.helper = found_program(settings.helper, helper_places(self));
  if (sandbox.site_.helper.empty()) {
    return Sandbox(std::string(helper_name) + " is neither beside the program in " + self.string() +
                   " nor in the libexec of a folder in PATH: install Forerun whole");
  }
  auto filter = make_seccomp_filter();
  if (!filter) {
    return Sandbox(filter.error().message);
  }
  sandbox.filter_ = std::move(*filter);
  for (const char* stage : stages) {
    sandbox.site_.stage = stage;
    sandbox.why_.clear();
    sandbox.why_ = sandbox.try_out();
    if (sandbox.why_.find(std::string("scratch over ") + stage) == std::string::npos) {
      break;
    }
  }
  return sandbox;
}

std::string Sandbox::try_out() const {
  const ProbeFolder folder;
  Task task;
  task.name = "probe";
  task.command = {"true"};
  const auto command = this->command(task, folder.path(), "");
  if (folder.path().empty() || !command) {
    return folder.path().empty() ? "no folder could be made in the one for temporary files"
                                 : command.error().message;
  }
  const auto child = start_command(command->line, false);
  if (!child) {
    return child.error().message;
  }
  const auto until = std::chrono::steady_clock::now() + probe_wait_max;
  while (!leader_has_ended(child->pid)) {
    if (std::chrono::steady_clock::now() > until) {
      signal_group(child->pid, SIGKILL);
      reap_leader(child->pid);
      return "trying it out took longer than 10 s";
    }
    std::this_thread::sleep_for(probe_interval);
  }
  const auto status = reap_leader(child->pid);
  if (status && !status->by_signal && status->number == 0) {
    return {};
  }
  const std::string text = last_line_in(child->errors);
  return (text.empty() ? "trying it out failed" : text) + namespaces_hint;
}

Result<SandboxedCommand> Sandbox::command(const Task& task, const fs::path& tasks_folder,
                                          const std::string& outside_key) const {
  if (!is_usable()) {
    return fail(Errc::refused, "no usable sandbox on this node: " + why_ +
                                   "; or say sandbox = false for the task, which gives its "
                                   "command all the rights of its node");
  }
  const fs::path work = work_folder(task, tasks_folder);
  // Where `${file:secrets/…}` of http tasks points to: no business of a command's.
  SandboxSite site = site_;
  const fs::path secrets = (tasks_folder / secrets_folder).lexically_normal();
  if (std::error_code problem; fs::is_directory(fs::symlink_status(secrets, problem))) {
    site.hidden.push_back(secrets.string());
  }
  auto words = sandbox_words(site, task, work);
  if (!words) {
    return tl::unexpected<Error>(words.error());
  }
  SandboxedCommand command;
  command.line.words = std::move(*words);
  command.line.environment = command_environment(task, sandbox_path, sandbox_home, outside_key);
  command.line.folder = work.string();
  command.filter = reopened(filter_);
  if (!command.filter.is_open()) {
    return fail(Errc::refused, "sandbox: no descriptor left");
  }
  command.line.extra = command.filter.get();
  command.line.has_pid_namespace = true;
  return command;
}

}  // namespace forerun
