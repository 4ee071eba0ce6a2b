#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "files/traces.hpp"

namespace forerun {

inline constexpr std::size_t learn_body_bytes_max = 1U << 20U;  ///< What a coordinator takes.
inline constexpr Duration learn_wait_max = std::chrono::minutes(10);

/// Gathers sessions into bodies of `POST /v1/history`.
class HistoryBodies {
public:
  explicit HistoryBodies(std::size_t bytes_max = learn_body_bytes_max) : bytes_max_(bytes_max) {}
  /// Returns a body that is full without this session. @pre fits(session).
  std::optional<std::string> add(const std::string& session);
  /// The rest, when there is one.
  std::optional<std::string> take();
  bool fits(const std::string& session) const;

private:
  std::size_t bytes_max_;
  std::string body_;
  std::size_t count_ = 0;
};

/// A recorded session as the body of a request has it.
std::string history_text_of(const TraceSession& session);

/// What a learning asks of a coordinator; tests stand in for one.
struct LearnPorts {
  std::function<Result<json::Value>(const std::string& body)> post;  ///< To /v1/history.
  std::function<Result<json::Value>()> status;                       ///< Of /v1/status.
  std::function<void(Duration)> pause;
  std::function<void(const std::string&)> progress;  ///< A line for people.
};

struct LearnReport {
  std::size_t sessions = 0;  ///< Read.
  std::size_t steps = 0;
  std::uint64_t learned = 0;  ///< Sessions that were new to the coordinator.
  std::uint64_t learned_steps = 0;
  std::uint64_t known = 0;  ///< Learned before.
  std::uint64_t refused = 0;
  std::uint64_t left = 0;  ///< Steps that the coordinator has still to learn, from whatever source.
};
json::Value to_json(const LearnReport& report);
std::string to_text(const LearnReport& report);

/// Teaches all sessions, in order, and waits until the coordinator has learned what it keeps (at
/// most learn_wait_max). Names each session that is refused. Errors: those of the ports; invalid
/// for an answer that is not one of a coordinator.
Result<LearnReport> learn(const std::vector<TraceSession>& sessions, const LearnPorts& ports);

}  // namespace forerun
