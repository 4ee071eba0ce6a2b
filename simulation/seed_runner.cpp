#include "simulation/seed_runner.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

namespace forerun::simulation {
namespace {

/// A report as it goes through a pipe; the violation's text follows.
struct ReportHead {
  Totals totals;
  Digest trace_hash;
  bool has_violation = false;
  Rule rule = Rule::assertion;
  std::size_t text_bytes = 0;
};
static_assert(std::is_trivially_copyable_v<ReportHead>);

void write_all(int pipe, const void* bytes, std::size_t count) {
  const char* next = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(pipe, next, count);
    if (written <= 0) {
      ::_exit(EXIT_FAILURE);  // Nobody reads any more.
    }
    next += written;
    count -= static_cast<std::size_t>(written);
  }
}

bool read_all(int pipe, void* bytes, std::size_t count) {
  char* next = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t got = ::read(pipe, next, count);
    if (got <= 0) {
      return false;
    }
    next += got;
    count -= static_cast<std::size_t>(got);
  }
  return true;
}

void write_report(int pipe, const SimulationReport& report) {
  ReportHead head{report.totals, report.trace_hash, report.violation.has_value()};
  if (report.violation) {
    head.rule = report.violation->rule;
    head.text_bytes = report.violation->text.size();
  }
  write_all(pipe, &head, sizeof head);
  if (report.violation) {
    write_all(pipe, report.violation->text.data(), head.text_bytes);
  }
}

std::optional<SimulationReport> read_report(int pipe) {
  ReportHead head;
  if (!read_all(pipe, &head, sizeof head)) {
    return std::nullopt;
  }
  SimulationReport report{{}, head.trace_hash, head.totals};
  if (head.has_violation) {
    std::string text(head.text_bytes, ' ');
    if (!read_all(pipe, text.data(), text.size())) {
      return std::nullopt;
    }
    report.violation = Violation{head.rule, std::move(text)};
  }
  return report;
}

/// A process that runs every stride-th seed and says how each went.
class Child {
public:
  void start(const SimulationSettings& settings, std::uint64_t first, std::uint64_t end,
             std::uint64_t stride) {
    std::array<int, 2> ends{};
    std::fflush(nullptr);
    if (::pipe(ends.data()) != 0) {
      std::perror("forerun-sim: pipe");
      std::exit(EXIT_FAILURE);
    }
    pid_ = ::fork();
    if (pid_ < 0) {
      std::perror("forerun-sim: fork");
      std::exit(EXIT_FAILURE);
    }
    if (pid_ == 0) {
      ::close(ends[0]);
      for (std::uint64_t seed = first; seed < end; seed += stride) {
        SimulationSettings one = settings;
        one.seed = seed;
        write_report(ends[1], simulate(one));
      }
      std::fflush(nullptr);
      ::_exit(EXIT_SUCCESS);
    }
    ::close(ends[1]);
    pipe_ = ends[0];
  }
  /// Of its next seed; nothing: it ended under it.
  std::optional<SimulationReport> next() { return read_report(pipe_); }
  /// Returns its wait status.
  int stop() {
    int status = 0;
    if (pid_ > 0) {
      ::close(pipe_);
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, &status, 0);
      pid_ = 0;
    }
    return status;
  }

private:
  pid_t pid_ = 0;
  int pipe_ = -1;
};

}  // namespace

void run_seeds(const SimulationSettings& settings, std::uint64_t from, std::uint64_t count,
               unsigned processes,
               const std::function<bool(std::uint64_t seed, const SimulationReport&)>& take) {
  const std::uint64_t stride =
      std::max<std::uint64_t>(1, std::min<std::uint64_t>(processes, count));
  const std::uint64_t end = from + count;
  std::vector<Child> children(stride);
  for (std::uint64_t i = 0; i < stride && from + i < end; ++i) {
    children[i].start(settings, from + i, end, stride);
  }
  for (std::uint64_t seed = from; seed < end; ++seed) {
    Child& child = children[(seed - from) % stride];
    auto report = child.next();
    if (!report) {
      child.stop();
      report = SimulationReport{};
      report->violation =
          Violation{Rule::assertion, "the process ended: what it said stands above"};
      child.start(settings, seed + stride, end, stride);
    }
    if (!take(seed, *report)) {
      break;
    }
  }
  for (Child& child : children) {
    child.stop();
  }
}

SimulationReport run_seed_apart(const SimulationSettings& settings) {
  SimulationReport result;
  run_seeds(settings, settings.seed, 1, 1, [&](std::uint64_t, const SimulationReport& report) {
    result = report;
    return true;
  });
  return result;
}

SimulationSettings minimise(const SimulationSettings& settings, Rule rule) {
  SimulationSettings least = settings;
  least.prints_trace = false;
  const auto keep_if_broken = [&](const SimulationSettings& tried) {
    const SimulationReport report = run_seed_apart(tried);
    const bool is_broken = report.violation && report.violation->rule == rule;
    if (is_broken) {
      least = tried;
    }
    return is_broken;
  };
  const auto lower = [&](std::uint64_t Limits::*limit, std::initializer_list<std::uint64_t> to) {
    for (const std::uint64_t value : to) {
      SimulationSettings tried = least;
      tried.limits.*limit = value;
      if (value < least.limits.*limit && keep_if_broken(tried)) {
        return;
      }
    }
  };
  lower(&Limits::clients, {1, 2, 3});
  lower(&Limits::nodes, {1, 2, 3, 5});
  lower(&Limits::sessions, {1, 2});
  lower(&Limits::faults_ms, {50, 100, 200, 400, 800, 1600});
  for (std::size_t i = 0; i < fault_count; ++i) {
    SimulationSettings tried = least;
    if (tried.off.insert(static_cast<Fault>(i)).second) {
      keep_if_broken(tried);
    }
  }
  return least;
}

}  // namespace forerun::simulation
