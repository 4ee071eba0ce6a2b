#include "apps/process.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstdio>

#include "base/assert.hpp"

namespace forerun {
namespace {

std::atomic<int> requested_code{exit_ok};
std::atomic<bool> was_requested{false};

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

void write_all(int descriptor, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(descriptor, text.data() + done, text.size() - done);
    if (count <= 0) {
      return;  // The reader is gone; there is nobody to tell.
    }
    done += static_cast<std::size_t>(count);
  }
}

}  // namespace

int exit_code_of(const Error& error) {
  switch (error.code) {
    case Errc::invalid:
      return exit_usage;
    case Errc::not_found:
      return exit_not_found;
    case Errc::refused:
      return exit_refused;
    case Errc::verification:
      return exit_verification;
    case Errc::too_large:
    case Errc::io:
      return exit_error;
  }
  return exit_error;
}

Shutdown::Shutdown() {
  const sigset_t set = ending_signals();
  FORERUN_ASSERT(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // A file at its limit is a write that fails, and says so.
}

bool Shutdown::wait_for(std::chrono::milliseconds interval) {
  if (was_requested) {
    return true;
  }
  const sigset_t set = ending_signals();
  const timespec timeout{static_cast<time_t>(interval.count() / 1000),
                         static_cast<long>(interval.count() % 1000) * 1'000'000};
  return sigtimedwait(&set, nullptr, &timeout) > 0 || was_requested;
}

void Shutdown::request(int exit_code) {
  if (!was_requested.exchange(true)) {
    requested_code = exit_code;
    kill(getpid(), SIGTERM);
  }
}

int Shutdown::exit_code() {
  return requested_code;
}

void raise_descriptor_limit(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
    return;
  }
  limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void log_line(const std::string& text) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  std::array<char, 80> stamp{};
  std::snprintf(stamp.data(), stamp.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ ",
                parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                parts.tm_sec, now.tv_nsec / 1'000'000);
  write_all(STDERR_FILENO, stamp.data() + text + "\n");
}

void log_record(const std::string& json_line) {
  write_all(STDERR_FILENO, json_line + '\n');
}

void print_event(const std::string& json_line) {
  write_all(STDOUT_FILENO, json_line + "\n");
}

Result<HostPort> parse_host_port(const std::string& flag, const std::string& text) {
  const std::size_t colon = text.rfind(':');
  HostPort result;
  const char* const first = text.data() + colon + 1;
  const char* const last = text.data() + text.size();
  const bool has_port = colon != std::string::npos && colon > 0 && first != last &&
                        std::from_chars(first, last, result.port).ptr == last;
  if (!has_port) {
    return fail(Errc::invalid,
                flag + ": \"" + text + "\", expected HOST:PORT such as 127.0.0.1:7400");
  }
  result.host = text.substr(0, colon);
  if (result.host.size() > 2 && result.host.front() == '[' && result.host.back() == ']') {
    result.host = result.host.substr(1, result.host.size() - 2);
  }
  return result;
}

}  // namespace forerun
