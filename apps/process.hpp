#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.hpp"

namespace forerun {

/// Exit codes of every command (docs/commands.md).
enum ExitCode : int {
  exit_ok = 0,
  exit_error = 1,
  exit_usage = 2,
  exit_not_found = 3,
  exit_refused = 4,
  exit_verification = 5,
};
int exit_code_of(const Error& error);

/// SIGTERM and SIGINT as something to wait for. Make it before any thread, so that all of them
/// block the signals.
class Shutdown {
public:
  Shutdown();
  /// Waits for a signal, a request or the interval's end. True when the process should end.
  bool wait_for(std::chrono::milliseconds interval);
  /// Thread-safe: ends the wait, with this code for the process.
  static void request(int exit_code);
  static int exit_code();
};

/// Lets this process have as many descriptors as it may, up to `wanted`: what a shell or service
/// manager sets is often far less. Leaves what is higher; what cannot be raised stays.
void raise_descriptor_limit(std::size_t wanted);

/// One line on stderr, with the time, in one write. Thread-safe.
void log_line(const std::string& text);

/// One line on stderr as it is, in one write: a record for programs. Thread-safe.
void log_record(const std::string& json_line);

/// One JSON line on stdout, flushed: what scripts wait for.
void print_event(const std::string& json_line);

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
/// Reads "HOST:PORT" or "[V6]:PORT". Errors: invalid.
Result<HostPort> parse_host_port(const std::string& flag, const std::string& text);

}  // namespace forerun
