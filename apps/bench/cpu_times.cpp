#include "apps/bench/cpu_times.hpp"

#include <cctype>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>

namespace forerun {

std::map<std::string, Duration> cpu_times(int pid) {
  std::map<std::string, std::chrono::nanoseconds> times;
  std::error_code error;
  const std::filesystem::path tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    std::ifstream name_file(task.path() / "comm");
    std::ifstream time_file(task.path() / "schedstat");  // Nanoseconds on a processor come first.
    std::string name;
    std::int64_t spent = 0;
    if (!std::getline(name_file, name) || !(time_file >> spent)) {
      continue;  // It ended meanwhile.
    }
    while (!name.empty() && std::isdigit(static_cast<unsigned char>(name.back())) != 0) {
      name.pop_back();
    }
    times[name] += std::chrono::nanoseconds(spent);
  }
  std::map<std::string, Duration> result;
  for (const auto& [name, time] : times) {
    result[name] = std::chrono::duration_cast<Duration>(time);
  }
  return result;
}

std::map<std::string, Duration> cpu_used(const std::map<std::string, Duration>& before,
                                         const std::map<std::string, Duration>& after) {
  std::map<std::string, Duration> used;
  for (const auto& [name, time] : after) {
    const auto known = before.find(name);
    used[name] = known == before.end() ? time : time - known->second;
  }
  return used;
}

Duration sum_of(const std::map<std::string, Duration>& times) {
  Duration sum{};
  for (const auto& [name, time] : times) {
    sum += time;
  }
  return sum;
}

}  // namespace forerun
