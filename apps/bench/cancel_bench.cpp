#include "apps/bench/cancel_bench.hpp"

#include <malloc.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <future>
#include <iomanip>
#include <mutex>
#include <ostream>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "apps/bench/silent_server.hpp"
#include "base/json.hpp"
#include "base/prng.hpp"
#include "base/statistics.hpp"
#include "cluster/local/process.hpp"
#include "cluster/local/temporary_folder.hpp"
#include "node/executors/cgroups.hpp"
#include "node/executors/executor.hpp"
#include "node/executors/http_loop.hpp"
#include "node/executors/sandbox.hpp"

namespace forerun {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t cancelled_within_us = 20'000;  ///< Of its start, evenly.
constexpr auto work_long = std::chrono::seconds(60);   ///< What a branch would take.
constexpr auto ignored_for = std::chrono::milliseconds(50);
constexpr auto settle_within = std::chrono::seconds(5);
constexpr std::size_t ignoring_max = 200;   ///< They take their time by design.
constexpr std::size_t replaced_max = 1000;  ///< Each costs a process.
constexpr std::chrono::seconds python_within{60};

/// A thread pool of asyncio with one slot: a call that needs 50 ms is cancelled after 5 ms, and the
/// next one waits for the slot. Prints the milliseconds from cancel to start.
constexpr const char* python_program = R"(
import asyncio, concurrent.futures, sys, time
async def main(count):
    loop = asyncio.get_running_loop()
    pool = concurrent.futures.ThreadPoolExecutor(1)
    for _ in range(count):
        loser = loop.run_in_executor(pool, time.sleep, 0.05)
        await asyncio.sleep(0.005)
        begin = time.perf_counter()
        loser.cancel()
        print((await loop.run_in_executor(pool, time.perf_counter) - begin) * 1000, flush=True)
    print("end", flush=True)
asyncio.run(main(int(sys.argv[1])))
)";
constexpr std::size_t python_count = 40;

FreedTimes times_of(const std::vector<double>& milliseconds) {
  FreedTimes times;
  times.count = milliseconds.size();
  if (!milliseconds.empty()) {
    times.p50_ms = quantile(milliseconds, 0.5);
    times.p99_ms = quantile(milliseconds, 0.99);
    times.most_ms = *std::max_element(milliseconds.begin(), milliseconds.end());
  }
  return times;
}

std::uint64_t open_descriptors() {
  std::error_code problem;
  const std::filesystem::directory_iterator all("/proc/self/fd", problem);
  return static_cast<std::uint64_t>(std::distance(begin(all), end(all)));
}

/// Children of this process, orphans and dead ones that nobody has waited for included.
std::uint64_t child_processes() {
  std::uint64_t count = 0;
  std::error_code problem;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", problem)) {
    std::ifstream file(task.path() / "children");
    for (int child = 0; file >> child;) {
      ++count;
    }
  }
  return count;
}

double resident_kb() {
  ::malloc_trim(0);
  std::ifstream file("/proc/self/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  file >> all >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1024;
}

/// Whether it holds before it took too long.
template <class Condition>
bool comes_true(const Condition& condition) {
  const auto until = Clock::now() + settle_within;
  while (!condition()) {
    if (Clock::now() > until) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

NativeFunctions functions() {
  NativeFunctions all;
  all.emplace("cooperative", [](const NativeCall& call) -> Result<NativeAnswer> {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, call.stop, work_long, [] { return false; });
    return NativeAnswer();
  });
  all.emplace("ignoring", [](const NativeCall&) -> Result<NativeAnswer> {
    std::this_thread::sleep_for(ignored_for);
    return NativeAnswer();
  });
  return all;
}

Run run_of(Task task) {
  Call call = Call::make(task.name, json::Object());
  Run run{std::move(task), std::move(call), json::Object(), {}, {}};
  return run;
}

Task sleeping(bool is_sandboxed) {
  Task task;
  task.name = "sleeping";
  task.effect = Effect::pure;
  task.command = {"sleep", "60"};
  task.sandbox = is_sandboxed;
  return task;
}

/// A resident in the shell, which reads its next line as soon as it has a call: the cancellation.
Task honouring(bool is_sandboxed) {
  Task task = sleeping(is_sandboxed);
  task.name = "honouring";
  task.exec.resident = true;
  task.command = {"sh", "-c",
                  "while read -r line; do case $line in *cancel*) number=${line##*:}; "
                  "echo \"{\\\"id\\\":${number%?},\\\"cancelled\\\":true}\";; esac; done"};
  return task;
}

/// One that waits for a program that it has started, whatever it is told.
Task stubborn(bool is_sandboxed) {
  Task task = honouring(is_sandboxed);
  task.name = "stubborn";
  task.command = {"sh", "-c", "while read -r line; do sleep 60 & wait; done"};
  return task;
}

Task silent(const std::string& url) {
  Task task;
  task.name = "silent";
  task.executor = ExecutorKind::http;
  task.effect = Effect::pure;
  task.http.url = url;
  return task;
}

Task native(const std::string& function) {
  Task task;
  task.name = function;
  task.executor = ExecutorKind::native;
  task.effect = Effect::pure;
  task.function = function;
  return task;
}

class CancelBench {
public:
  CancelBench(const CancelBenchSettings& settings, std::ostream& progress)
      : settings_(settings), progress_(progress) {}

  Result<CancelBenchResult> run() {
    // What a command leaves behind becomes a child of this process, where it is counted.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (auto started = server_.start(); !started) {
      return tl::unexpected<Error>(std::move(started.error()));
    }
    auto sandbox = Sandbox::probe({});
    result_.no_sandbox = sandbox.why();
    ExecSettings exec;
    exec.sandbox = std::make_shared<const Sandbox>(std::move(sandbox));
    exec.cgroups = Cgroups::probe();
    exec.residents = settings_.in_flight;
    const bool is_sandboxed = result_.no_sandbox.empty();
    result_.killed_by = exec.cgroups->description();
    const auto commands = make_exec_executor(exec);
    const auto loop = std::make_shared<HttpLoop>();
    const auto requests = make_http_executor(loop, ".");
    const auto natives = make_native_executor(functions(), settings_.in_flight);
    const auto all = [&](std::size_t count, const auto& measured) {
      if (is_sandboxed) {
        measured("exec", *commands, sleeping(true), count);
      }
      measured("exec_without_sandbox", *commands, sleeping(false), count);
      {
        // With them end the residents, which wait for the next call.
        const auto honour = make_exec_executor(exec);
        const auto replaced = make_exec_executor(exec);
        measured("resident", *honour, honouring(is_sandboxed), count);
        measured("resident_ignoring", *replaced, stubborn(is_sandboxed),
                 std::min(count, replaced_max));
      }
      measured("http", *requests, silent(server_.url()), count);
      measured("native", *natives, native("cooperative"), count);
      measured("native_ignoring", *natives, native("ignoring"), std::min(count, ignoring_max));
    };
    // A tenth first: what is kept for reuse is there by then.
    const std::size_t warm = std::max<std::size_t>(settings_.count / 10, settings_.in_flight * 2);
    all(warm, [&](const char*, Executor& on, const Task& task, std::size_t count) {
      cancel_many(on, task, count);
    });
    wait_for_silence(0);
    const std::uint64_t descriptors = open_descriptors();
    const double memory = resident_kb();
    all(settings_.count, [&](const char* kind, Executor& on, const Task& task, std::size_t count) {
      progress_ << "bench: " << kind << "\n";
      result_.kinds[kind] = times_of(cancel_many(on, task, count));
    });
    wait_for_silence(descriptors);
    result_.memory_growth_kb = resident_kb() - memory;
    result_.processes_left = child_processes();
    result_.connections_left = server_.open_connections();
    const std::uint64_t now = open_descriptors();
    result_.descriptors_left = now > descriptors ? now - descriptors : 0;
    result_.dead_handles +=
        result_.processes_left + result_.connections_left + result_.descriptors_left;
    measure_python();
    return result_;
  }

private:
  void wait_for_silence(std::uint64_t descriptors) const {
    comes_true([&] {
      return server_.open_connections() == 0 && child_processes() == 0 &&
             (descriptors == 0 || open_descriptors() <= descriptors);
    });
  }

  /// Starts and cancels `count` branches; the milliseconds that each took to free its slot.
  std::vector<double> cancel_many(Executor& executor, const Task& task, std::size_t count) {
    std::vector<double> milliseconds;
    std::mutex mutex;
    std::vector<std::jthread> slots;
    for (std::size_t slot = 0; slot < settings_.in_flight; ++slot) {
      slots.emplace_back([&, slot] {
        Prng prng(slot + 1);
        for (std::size_t i = slot; i < count; i += settings_.in_flight) {
          std::promise<std::pair<Clock::time_point, std::uint32_t>> promise;
          auto freed = promise.get_future();
          const auto running = executor.start(run_of(task), [&promise](const RunEnded& ended) {
            promise.set_value({Clock::now(), ended.dead_handles});
          });
          std::this_thread::sleep_for(std::chrono::microseconds(prng.below(cancelled_within_us)));
          const auto cancelled_at = Clock::now();
          if (running) {
            running->stop();
          }
          const auto [freed_at, dead_handles] = freed.get();
          const std::lock_guard lock(mutex);
          milliseconds.push_back(std::max(
              0.0, std::chrono::duration<double, std::milli>(freed_at - cancelled_at).count()));
          result_.dead_handles += dead_handles;
        }
      });
    }
    slots.clear();
    return milliseconds;
  }

  void measure_python() {
    progress_ << "bench: python threads\n";
    const auto folder = TemporaryFolder::make("forerun-bench");
    if (!folder) {
      return;
    }
    auto child = ChildProcess::start(
        {{"/usr/bin/env", "python3", "-c", python_program, std::to_string(python_count)},
         folder->path() / "python.log"});
    std::vector<double> milliseconds;
    while (child) {
      const auto line = child->read_line(Clock::now() + python_within);
      if (!line || *line == "end") {
        break;
      }
      milliseconds.push_back(std::strtod(line->c_str(), nullptr));
    }
    if (milliseconds.size() == python_count) {
      result_.python_threads = times_of(milliseconds);
    }
  }

  const CancelBenchSettings settings_;
  std::ostream& progress_;
  SilentServer server_;
  CancelBenchResult result_;
};

json::Object json_of(const FreedTimes& times) {
  json::Object out;
  out.set("count", static_cast<std::uint64_t>(times.count));
  out.set("free_ms_max", times.most_ms);
  out.set("free_ms_p50", times.p50_ms);
  out.set("free_ms_p99", times.p99_ms);
  return out;
}

void print_json(const CancelBenchResult& result, std::ostream& out) {
  json::Object all;
  for (const auto& [kind, times] : result.kinds) {
    all.set(kind, json_of(times));
  }
  if (!result.no_sandbox.empty()) {
    all.set("no_sandbox", json::clean_text(result.no_sandbox, 1000));
  }
  if (result.python_threads) {
    all.set("python_threads", json_of(*result.python_threads));
  }
  all.set("dead_handles", result.dead_handles);
  all.set("killed_by", json::clean_text(result.killed_by, 1000));
  json::Object left;
  left.set("connections", result.connections_left);
  left.set("descriptors", result.descriptors_left);
  left.set("processes", result.processes_left);
  all.set("left", std::move(left));
  all.set("memory_growth_kb", result.memory_growth_kb);
  out << json::canonical(all) << "\n";
}

void print_line(const std::string& name, const FreedTimes& times, std::ostream& out) {
  std::ostringstream line;
  line << std::left << std::setw(22) << name << std::right << std::fixed << std::setprecision(2)
       << std::setw(9) << times.p50_ms << std::setw(9) << times.p99_ms << std::setw(9)
       << times.most_ms << std::setw(9) << times.count << "\n";
  out << line.str();
}

void print_table(const CancelBenchResult& result, std::ostream& out) {
  out << "slot free after, ms         p50      p99      max    count\n";
  for (const auto& [kind, times] : result.kinds) {
    print_line(kind, times, out);
  }
  if (result.python_threads) {
    print_line("asyncio, thread pool", *result.python_threads, out);
  }
  if (!result.no_sandbox.empty()) {
    out << "exec in a sandbox: not measured: " << result.no_sandbox << "\n";
  }
  out << result.killed_by << "\n";
  out << "dead handles " << result.dead_handles << " (left: " << result.processes_left
      << " processes, " << result.descriptors_left << " descriptors, " << result.connections_left
      << " connections), memory " << static_cast<std::int64_t>(result.memory_growth_kb)
      << " KiB more\n";
}

}  // namespace

Result<int> run_cancel_bench(const CancelBenchSettings& settings, std::ostream& out,
                             std::ostream& progress) {
  const auto result = CancelBench(settings, progress).run();
  if (!result) {
    return tl::unexpected<Error>(result.error());
  }
  settings.is_json ? print_json(*result, out) : print_table(*result, out);
  if (result->dead_handles != 0) {
    return fail(Errc::verification, "bench: " + std::to_string(result->dead_handles) +
                                        " handles outlived their branches, expected none");
  }
  return 0;
}

}  // namespace forerun
