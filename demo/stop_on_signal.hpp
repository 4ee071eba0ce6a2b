#pragma once

#include <csignal>

namespace forerun {

/// While it lives, turns the first SIGINT or SIGTERM into a flag; the second acts as if nobody had
/// caught it. One at a time.
class StopOnSignal {
public:
  StopOnSignal();
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  static bool is_requested();

private:
  struct sigaction old_int_ {};
  struct sigaction old_term_ {};
};

}  // namespace forerun
