#include "base/failpoint.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>

#include "base/prng.hpp"

namespace forerun {

#ifdef FORERUN_FAILPOINTS

namespace {

struct PointName {
  std::string_view name;
  bool can_fail;
};

constexpr PointName points[] = {
#define FORERUN_FAILPOINT_NAME(identifier, name, can_fail) {name, can_fail},
    FORERUN_FAILPOINT_LIST(FORERUN_FAILPOINT_NAME)
#undef FORERUN_FAILPOINT_NAME
};

enum class Action : std::uint8_t { kill, stop, exit, fail, power };
constexpr std::array<std::string_view, 5> action_names = {"kill", "stop", "exit", "fail", "power"};

struct Armed {
  std::optional<std::size_t> point;  ///< Empty: nothing is.
  std::uint64_t nth = 1;
  Action action = Action::kill;
};

void say(const std::string& line) {
  // Nobody to tell when it cannot be written.
  static_cast<void>(::write(STDERR_FILENO, line.data(), line.size()) < 0);
}

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  say("FORERUN_FAILPOINT: \"" + std::string(text) + "\": " + why +
      ", expected NAME[:NTH[:ACTION]]; forerun selftest --failpoints lists the names\n");
  std::_Exit(2);
}

Armed armed_by(const char* variable) {
  Armed armed;
  if (variable == nullptr || *variable == '\0') {
    return armed;
  }
  const std::string_view text = variable;
  const std::size_t colon = std::min(text.find(':'), text.size());
  const std::string_view name = text.substr(0, colon);
  for (std::size_t i = 0; i < std::size(points); ++i) {
    if (points[i].name == name) {
      armed.point = i;
    }
  }
  if (!armed.point) {
    refuse(text, "no such point");
  }
  if (colon == text.size()) {
    return armed;
  }
  const std::string_view rest = text.substr(colon + 1);
  const std::size_t second = std::min(rest.find(':'), rest.size());
  const char* end = rest.data() + second;
  if (std::from_chars(rest.data(), end, armed.nth).ptr != end || armed.nth == 0) {
    refuse(text, "not a number from 1");
  }
  if (second < rest.size()) {
    std::size_t found = 0;
    while (found < action_names.size() && action_names[found] != rest.substr(second + 1)) {
      ++found;
    }
    if (found == action_names.size()) {
      refuse(text, "found an unknown action");
    }
    armed.action = static_cast<Action>(found);
  }
  if (armed.action == Action::fail && !points[*armed.point].can_fail) {
    refuse(text, "nothing can fail there");
  }
  return armed;
}

const Armed& armed() {
  static const Armed value = armed_by(std::getenv("FORERUN_FAILPOINT"));
  return value;
}

struct PowerCut {
  std::mutex mutex;
  std::vector<std::function<void(const std::function<bool()>&)>> disks;
};

PowerCut& power_cut() {
  static PowerCut* const cut = new PowerCut;  // Threads may outlive static objects.
  return *cut;
}

void cut_power() {
  Prng prng(armed().nth);
  PowerCut& cut = power_cut();
  const std::scoped_lock lock(cut.mutex);
  for (const auto& loses : cut.disks) {
    loses([&prng] { return prng.chance(0.5); });
  }
}

/// True: the step is to fail.
bool happen() {
  const Armed& what = armed();
  say("failpoint " + std::string(points[*what.point].name) + ": " +
      std::string(action_names[static_cast<std::size_t>(what.action)]) + "\n");
  switch (what.action) {
    case Action::fail:
      return true;
    case Action::stop:
      ::kill(::getpid(), SIGSTOP);
      return false;
    case Action::exit:
      std::_Exit(1);
    case Action::power:
      cut_power();
      break;
    case Action::kill:
      break;
  }
  for (;;) {
    ::kill(::getpid(), SIGKILL);
  }
}

}  // namespace

bool fails_at(Failpoint point) {
  const Armed& what = armed();
  if (!what.point || *what.point != static_cast<std::size_t>(point)) [[likely]] {
    return false;
  }
  static std::atomic<std::uint64_t> count{0};
  return ++count == what.nth && happen();
}

std::vector<std::string_view> failpoint_names() {
  std::vector<std::string_view> names;
  for (const PointName& point : points) {
    names.push_back(point.name);
  }
  return names;
}

bool is_failpoint_armed() {
  return armed().point.has_value();
}

bool is_failpoint_armed(Failpoint point) {
  return armed().point == static_cast<std::size_t>(point);
}

bool is_power_cut_armed() {
  return armed().point && armed().action == Action::power;
}

void on_power_cut(std::function<void(const std::function<bool()>&)> loses) {
  PowerCut& cut = power_cut();
  const std::scoped_lock lock(cut.mutex);
  cut.disks.push_back(std::move(loses));
}

#else

bool fails_at(Failpoint) {
  return false;
}
std::vector<std::string_view> failpoint_names() {
  return {};
}
bool is_failpoint_armed() {
  return false;
}
bool is_failpoint_armed(Failpoint) {
  return false;
}
bool is_power_cut_armed() {
  return false;
}
void on_power_cut(std::function<void(const std::function<bool()>&)>) {}

#endif

}  // namespace forerun
