#include "demo/local_cluster.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/assert.hpp"
#include "base/json.hpp"
#include "base/prng.hpp"
#include "cluster/local/process.hpp"

namespace forerun {
namespace {

constexpr std::size_t log_bytes_shown_max = 2000;
constexpr std::size_t lines_before_ready_max = 1000;
constexpr std::chrono::milliseconds exit_after_output{500};
constexpr Duration tool_within = std::chrono::seconds(20);
constexpr const char* loopback = "127.0.0.1:0";

using Clock = std::chrono::steady_clock;

std::filesystem::path coordinator_folder(const LocalClusterSettings& settings) {
  return settings.folder / "coordinator";
}

std::string node_name(std::size_t number) {
  return "node-" + std::to_string(number);
}

std::filesystem::path token_file(const LocalClusterSettings& settings, std::size_t number) {
  return settings.folder / (node_name(number) + ".token");
}

/// The end of a process's log: what it said last.
std::string log_tail(const std::filesystem::path& file) {
  std::ifstream log(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(log), {}};
  if (text.size() > log_bytes_shown_max) {
    text = "…" + text.substr(text.size() - log_bytes_shown_max);
  }
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  return text;
}

std::string with_log(const std::string& message, const std::filesystem::path& log) {
  const std::string tail = log_tail(log);
  return tail.empty() ? message : message + "\n" + tail;
}

std::chrono::milliseconds milliseconds_until(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

/// Runs a short-lived command to its end. Returns the first line that it printed, empty for none.
Result<std::string> run_tool(std::vector<std::string> arguments, const std::filesystem::path& log) {
  const std::string name = arguments.size() > 1 ? arguments[1] : arguments[0];
  auto process = ChildProcess::start({std::move(arguments), log});
  if (!process) {
    return tl::unexpected(process.error());
  }
  const auto deadline = Clock::now() + tool_within;
  std::string first;
  std::size_t count = 0;
  while (auto line = process->read_line(
             deadline)) {  // To the output's end, so that it never waits for a reader.
    if (count++ == 0) {
      first = std::move(*line);
    }
  }
  const auto exit = process->wait(milliseconds_until(deadline));
  if (!exit || *exit != ChildExit{}) {
    const std::string how = exit ? "ended with code " + std::to_string(exit->code) : "did not end";
    return fail(Errc::io, with_log("cluster: forerun " + name + ": " + how, log));
  }
  return first;
}

Result<void> write_token(const std::filesystem::path& file, const std::string& token) {
  std::ofstream out(file, std::ios::binary);
  std::error_code error;
  // Before a byte is in it: nobody else may read it.
  std::filesystem::permissions(
      file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
  out << token << '\n';
  out.close();
  if (!out || error) {
    return fail(Errc::io, "cluster: cannot write " + file.string());
  }
  return {};
}

/// What a command's exit code stands for (docs/commands.md).
Errc meaning_of(int exit_code) {
  switch (exit_code) {
    case 2:
      return Errc::invalid;
    case 3:
      return Errc::not_found;
    case 4:
      return Errc::refused;
    case 5:
      return Errc::verification;
    default:
      return Errc::io;
  }
}

std::string text_of(const json::Value& value, std::string_view name) {
  const json::Value* member = value.find(name);
  return member == nullptr || member->string() == nullptr ? std::string() : *member->string();
}

}  // namespace

struct LocalCluster::Impl {
  struct Process {
    std::string name;
    std::filesystem::path log;
    ChildProcess child;
  };

  explicit Impl(const LocalClusterSettings& given) : settings(given) {}
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Result<void> start() {
    std::error_code error;
    std::filesystem::create_directories(settings.folder, error);
    if (error) {
      return fail(Errc::io, "cluster: " + settings.folder.string() + ": " + error.message());
    }
    for (std::size_t number = 1; number <= settings.nodes; ++number) {
      if (auto added = add_key(number); !added) {
        return added;
      }
    }
    const auto ready = start_process("coordinator", coordinator_arguments(settings), "ready");
    if (!ready) {
      return tl::unexpected(ready.error());
    }
    if (ready->http.empty() || ready->join.empty()) {
      return fail(Errc::invalid,
                  "cluster: coordinator: the ready line has no \"http\" or no \"join\"");
    }
    url = ready->http;
    for (std::size_t number = 1; number <= settings.nodes; ++number) {
      const auto joined =
          start_process(node_name(number), node_arguments(settings, number, ready->join), "joined");
      if (!joined && !(settings.starts_without_killed && was_last_killed())) {
        return tl::unexpected(joined.error());
      }
    }
    if (settings.starts_without_killed && nodes_running() == 0) {
      return fail(Errc::io, "cluster: every node was killed before it joined");
    }
    return {};
  }

  bool was_last_killed() {
    const auto exit = processes.back().child.wait(std::chrono::milliseconds(0));
    return exit && exit->signal != 0;
  }

  Result<void> add_key(std::size_t number) {
    if (std::filesystem::exists(token_file(settings, number))) {
      return {};  // Kept from an earlier start in this folder.
    }
    const std::string data = coordinator_folder(settings).string();
    auto token =
        run_tool({settings.binary.string(), "keys", "add", node_name(number), "--data", data},
                 settings.folder / "keys.log");
    if (!token) {
      return tl::unexpected(token.error());
    }
    if (token->empty()) {
      return fail(Errc::invalid, "cluster: forerun keys: printed no token");
    }
    return write_token(token_file(settings, number), *token);
  }

  /// Starts a process and waits for the line in which it says `event`.
  Result<ReadyLine> start_process(const std::string& name, std::vector<std::string> arguments,
                                  std::string_view event) {
    const std::filesystem::path log = settings.folder / (name + ".log");
    auto child = ChildProcess::start({std::move(arguments), log});
    if (!child) {
      return tl::unexpected(child.error());
    }
    processes.push_back({name, log, std::move(*child)});
    const auto deadline = Clock::now() + settings.start_within;
    for (std::size_t count = 0; count < lines_before_ready_max; ++count) {
      const auto line = processes.back().child.read_line(deadline);
      if (!line) {
        const auto exit = processes.back().child.wait(exit_after_output);
        return fail(exit ? meaning_of(exit->code) : Errc::io,
                    with_log("cluster: " + name + ": " + line.error().message, log));
      }
      const auto ready = read_ready_line(*line);
      if (!ready) {
        return fail(Errc::invalid,
                    with_log("cluster: " + name + ": " + ready.error().message, log));
      }
      if (ready->event == event) {
        return ready;
      }
    }
    return fail(Errc::invalid, "cluster: " + name + ": never said \"" + std::string(event) + "\"");
  }

  std::string ended_process() {
    for (Process& process : processes) {
      if (const auto exit = process.child.wait(std::chrono::milliseconds(0))) {
        const std::string how = exit->signal != 0 ? "by signal " + std::to_string(exit->signal)
                                                  : "with code " + std::to_string(exit->code);
        return with_log("cluster: " + process.name + " ended " + how, process.log);
      }
    }
    return {};
  }

  std::size_t nodes_running() {
    std::size_t running = 0;
    for (std::size_t i = 1; i < processes.size(); ++i) {
      running += processes[i].child.wait(std::chrono::milliseconds(0)) ? 0 : 1;
    }
    return running;
  }

  /// Nodes first, so that the coordinator does not log their loss as a fault of theirs to be
  /// healed.
  void stop() {
    if (processes.empty()) {
      return;
    }
    end_processes(1, processes.size());
    end_processes(0, 1);
    processes.clear();  // Kills what did not listen, and reaps.
  }

  void end_processes(std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      processes[i].child.kill(SIGTERM);
    }
    const auto deadline = Clock::now() + settings.stop_within;
    for (std::size_t i = first; i < last; ++i) {
      processes[i].child.wait(milliseconds_until(deadline));
    }
  }

  LocalClusterSettings settings;
  std::string url;
  std::vector<Process> processes;  ///< The coordinator first.
};

LocalCluster::LocalCluster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LocalCluster::~LocalCluster() = default;
LocalCluster::LocalCluster(LocalCluster&&) noexcept = default;
LocalCluster& LocalCluster::operator=(LocalCluster&&) noexcept = default;

Result<LocalCluster> LocalCluster::start(const LocalClusterSettings& settings) {
  FORERUN_ASSERT(settings.nodes > 0);
  auto impl = std::make_unique<Impl>(settings);
  if (auto started = impl->start(); !started) {
    return tl::unexpected(started.error());  // What runs already ends with `impl`.
  }
  return LocalCluster(std::move(impl));
}

const std::string& LocalCluster::url() const {
  return impl_->url;
}

std::filesystem::path LocalCluster::coordinator_data() const {
  return coordinator_folder(impl_->settings);
}

std::string LocalCluster::ended_process() {
  return impl_->ended_process();
}

std::size_t LocalCluster::nodes_running() {
  return impl_->nodes_running();
}

void LocalCluster::stop() {
  impl_->stop();
}

Result<void> export_ledger(const std::filesystem::path& binary, const std::filesystem::path& data,
                           const std::filesystem::path& folder) {
  const auto done =
      run_tool({binary.string(), "ledger", "export", folder.string(), "--data", data.string()},
               data.parent_path() / "export.log");
  if (!done) {
    return tl::unexpected(done.error());
  }
  return {};
}

Uuid demo_worker_uuid(std::uint64_t seed, std::size_t node) {
  Prng prng(seed);
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t skipped = 0; skipped <= node; ++skipped) {
    for (std::uint8_t& byte : bytes) {
      byte = static_cast<std::uint8_t>(prng.below(256));
    }
  }
  return Uuid::from_random(bytes);
}

std::vector<std::string> coordinator_arguments(const LocalClusterSettings& settings) {
  std::vector<std::string> arguments = {settings.binary.string(),
                                        "coordinator",
                                        "--data",
                                        coordinator_folder(settings).string(),
                                        "--catalog",
                                        settings.catalog.string(),
                                        "--listen",
                                        loopback,
                                        "--http",
                                        loopback};
  arguments.insert(arguments.end(), settings.coordinator_flags.begin(),
                   settings.coordinator_flags.end());
  return arguments;
}

std::vector<std::string> node_arguments(const LocalClusterSettings& settings, std::size_t number,
                                        const std::string& join) {
  std::string speedup;
  json::append_number(speedup, settings.speedup);
  std::vector<std::string> arguments = {settings.binary.string(),
                                        "node",
                                        "--join",
                                        join,
                                        "--token-file",
                                        token_file(settings, number).string(),
                                        "--data",
                                        (settings.folder / node_name(number)).string(),
                                        "--name",
                                        node_name(number),
                                        "--slots",
                                        std::to_string(settings.slots)};
  if (!settings.world.empty()) {
    // One store for all nodes: it stands for the world outside.
    arguments.insert(arguments.end(),
                     {"--worker", to_string(demo_worker_uuid(settings.seed, number)), "--world",
                      settings.world.string(), "--read-only", settings.read_only, "--seed",
                      std::to_string(settings.seed), "--speedup", speedup, "--demo-store",
                      (settings.folder / "store").string()});
  }
  arguments.insert(arguments.end(), settings.node_flags.begin(), settings.node_flags.end());
  return arguments;
}

Result<ReadyLine> read_ready_line(const std::string& line) {
  const auto value = json::parse(line);
  ReadyLine ready;
  if (value) {
    ready.event = text_of(*value, "event");
    ready.http = text_of(*value, "http");
    ready.join = text_of(*value, "join");
  }
  if (ready.event.empty()) {
    return fail(Errc::invalid, "found the line \"" + line.substr(0, 200) +
                                   "\", expected an object with an \"event\"");
  }
  return ready;
}

}  // namespace forerun
